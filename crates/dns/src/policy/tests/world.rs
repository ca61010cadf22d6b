//! Zones with routes from a text like the file's, pools that are what a test says, and questions of clients.

use crate::answer::tests::edns::add_opt;
use crate::answer::tests::world::{Response, question, read};
use crate::policy::{
    Follower, Known, LatencyConfig, PlaceConfig, Places, PlacesConfig, PoolHealth, Pools, Route,
    RoutesConfig, Which, check_places, check_routes,
};
use crate::{Facts, Loaded, Outcome, Query, Transport, ZoneBuilder, Zones, answer};
use domain::base::iana::Class;
use notation::{Faults, Named};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// What a test has of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) zone: Named<ZoneText>,
    pub(super) place: Named<PlaceConfig>,
    pub(super) latency: Vec<LatencyConfig>,
    pub(super) geo: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ZoneText {
    records: String,
    pub(super) route: RoutesConfig,
}

impl File {
    pub(super) fn places(&self) -> PlacesConfig<'_> {
        PlacesConfig { place: &self.place, latency: &self.latency, geo: self.geo.as_ref() }
    }

    /// What is wrong with it.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Faults::default();
        check_places(self.places(), &mut faults);
        let zones: Vec<crate::Name> = self.zone.keys().map(|name| name.parse().expect("a name")).collect();
        for (name, zone) in &self.zone {
            check_routes(name, &zone.route, Known { zones: &zones, places: &self.place }, &mut faults);
        }
        let told = |fault: notation::Fault| match fault.help {
            Some(help) => format!("{}; {help}", fault.message),
            None => fault.message,
        };
        faults.into_vec().into_iter().map(told).collect()
    }
}

/// A pool with endpoints at `10.0.N.1…`, of which the first so many are available.
pub(super) struct Pool {
    available: AtomicUsize,
    addresses: Mutex<Vec<IpAddr>>,
    followers: Mutex<Vec<Follower>>,
}

impl PoolHealth for Pool {
    fn follow(&self, follower: Follower) {
        follower.tell(self.available.load(Relaxed));
        self.followers.lock().expect("no test panics here").push(follower);
    }

    fn addresses(&self, of: Which, look: &mut dyn FnMut(&[IpAddr])) {
        let addresses = self.addresses.lock().expect("no test panics here");
        let count = if of == Which::Available { self.available.load(Relaxed) } else { addresses.len() };
        look(&addresses[..count]);
    }

    fn causes(&self) -> String {
        "1 unhealthy".to_owned()
    }
}

/// Zones that are served, and their pools.
pub(super) struct World {
    pub(super) zones: Zones,
    pub(super) warnings: Vec<String>,
    pools: BTreeMap<String, Arc<Pool>>,
}

impl World {
    /// The file must be one that passes its checks. Each pool that it names has two endpoints, which are up.
    pub(super) fn new(text: &str) -> Self {
        let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(file.faults(), [""; 0]);
        let places = Arc::new(Places::load(file.places(), Path::new("/")).expect("places"));
        let binding = Pools::default();
        let mut warnings = Vec::new();
        let zones = file.zone.iter().map(|(name, zone)| {
            let loaded = load(name, zone, &places, &binding).unwrap_or_else(|error| panic!("{error}"));
            warnings.extend(loaded.warnings.iter().map(ToString::to_string));
            Arc::new(loaded.zone)
        });
        let zones = Zones::new(zones);
        let names =
            file.zone.values().flat_map(|zone| zone.route.values()).flat_map(crate::RouteConfig::pools);
        let names: std::collections::BTreeSet<String> = names.map(ToString::to_string).collect();
        let endpoints = |number| [1, 2].map(|host| IpAddr::from([10, 0, number, host])).to_vec();
        let pools: BTreeMap<String, Arc<Pool>> = names
            .into_iter()
            .zip(0..)
            .map(|(name, number)| {
                (
                    name,
                    Arc::new(Pool {
                        available: 2.into(),
                        addresses: endpoints(number).into(),
                        followers: Mutex::default(),
                    }),
                )
            })
            .collect();
        binding.bind(pools.iter().map(|(name, pool)| (name.as_str(), pool.clone() as Arc<dyn PoolHealth>)));
        Self { zones, warnings, pools }
    }

    pub(super) fn set_available(&self, pool: &str, available: usize) {
        let pool = &self.pools[pool];
        pool.available.store(available, Relaxed);
        pool.followers.lock().expect("no test panics here").retain(|follower| follower.tell(available));
    }

    /// Nothing may be chosen, and nobody was told yet.
    pub(super) fn loses_all(&self, pool: &str) {
        self.pools[pool].available.store(0, Relaxed);
    }

    pub(super) fn set_addresses(&self, pool: &str, addresses: &[&str]) {
        let addresses: Vec<IpAddr> =
            addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.set_available(pool, addresses.len());
        *self.pools[pool].addresses.lock().expect("no test panics here") = addresses;
    }

    /// `name type`, asked by a client from its own address over TCP.
    pub(super) fn ask(&self, asked: &str, client: &str) -> Response {
        self.ask_by(asked, client, 0).0
    }

    pub(super) fn ask_by(&self, asked: &str, client: &str, draw: u64) -> (Response, Outcome<'_>) {
        self.send(&message(asked), client, draw)
    }

    /// Asked for a subnet. Also says the scope of the answer.
    pub(super) fn ask_for(&self, asked: &str, subnet: &str) -> (Response, u8) {
        let mut asking = message(asked);
        let option = subnet_option(subnet);
        add_opt(&mut asking, 1232, [0; 4], &option);
        let query = Query::parse(&asking).expect("a query");
        let mut out = Vec::new();
        answer(&self.zones, &query, &Facts::of_transport(Transport::Tcp), &mut out);
        // The option is the last of the message, and repeats all but the scope.
        let (rest, echoed) = out.split_at(out.len() - option.len());
        assert!(!rest.is_empty());
        assert_eq!((&echoed[..7], &echoed[8..]), (&option[..7], &option[8..]));
        (read(&out), echoed[7])
    }

    /// The addresses that a client gets, in order of their text.
    pub(super) fn addresses(&self, asked: &str, client: &str) -> Vec<String> {
        data(&self.ask(asked, client))
    }

    fn send(&self, message: &[u8], client: &str, draw: u64) -> (Response, Outcome<'_>) {
        let query = Query::parse(message).expect("a query");
        let facts = Facts {
            sender: client.parse().expect("an address"),
            draw,
            ..Facts::of_transport(Transport::Tcp)
        };
        let mut out = Vec::new();
        let outcome = answer(&self.zones, &query, &facts, &mut out);
        (read(&out), outcome)
    }
}

pub(super) fn load(
    name: &str,
    zone: &ZoneText,
    places: &Arc<Places>,
    pools: &Pools,
) -> Result<Loaded, crate::Error> {
    let apex: crate::Name = name.parse().expect("a name");
    let mut builder = ZoneBuilder::new(apex.clone());
    let head = "$TTL 3600\n@ SOA ns admin 7 3600 600 86400 300\n@ NS ns.elsewhere.test.";
    builder.lines("test", head.lines().chain(zone.records.lines().map(str::trim_start)));
    for (route, config) in &zone.route {
        builder.route(route, Route::new(config, &apex, places, pools).expect("a route"));
    }
    builder.finish()
}

pub(super) fn message(asked: &str) -> Vec<u8> {
    let (name, rtype) = asked.split_once(' ').expect("a name and a type");
    question(name, rtype.parse().expect("a type"), Class::IN)
}

/// The data of the answer's records, sorted.
pub(super) fn data(response: &Response) -> Vec<String> {
    let mut data: Vec<String> =
        response.answer.iter().filter_map(|line| line.rsplit(' ').next()).map(ToOwned::to_owned).collect();
    data.sort_unstable();
    data
}

/// `192.0.2.0/24` as RFC 7871 has it.
fn subnet_option(subnet: &str) -> Vec<u8> {
    let (address, prefix) = subnet.split_once('/').expect("a subnet");
    let prefix: u8 = prefix.parse().expect("a prefix");
    let (family, octets) = match address.parse().expect("an address") {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let octets = &octets[..usize::from(prefix).div_ceil(8)];
    [&[0, 8, 0, 4 + octets.len() as u8, 0, family, prefix, 0], octets].concat()
}
