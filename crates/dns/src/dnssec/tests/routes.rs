//! Routes of a signed zone whose answers are known beforehand, and signed.

use super::world::{NOW, Record, Validator, ask_with, plan, signed};
use crate::answer::tests::world::zones;
use crate::dnssec::signing::check;
use crate::dnssec::signing::config::{DenialConfig, SignConfig};
use crate::protocol::Name;
use crate::zone::Zone;
use crate::{
    Facts, Follower, PlaceConfig, Places, PlacesConfig, PoolHealth, Pools, Route, RoutesConfig, Transport,
    Which, ZoneBuilder,
};
use domain::base::iana::Rtype;
use notation::Named;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

#[derive(Default)]
struct Health(OnceLock<Follower>);

impl Health {
    fn set(&self, available: usize) {
        self.0.get().expect("it is bound").tell(available);
    }
}

impl PoolHealth for Health {
    fn follow(&self, follower: Follower) {
        follower.tell(1);
        assert!(self.0.set(follower).is_ok(), "it is bound once");
    }

    fn addresses(&self, _: Which, look: &mut dyn FnMut(&[IpAddr])) {
        look(&[]);
    }

    fn causes(&self) -> String {
        String::new()
    }
}

/// A zone with these routes over pools `a` to `d`, and what they have.
fn routed(routes: &str, lines: &str) -> (Zone, Vec<Arc<Health>>) {
    let (pools, names) = (Pools::default(), ["a", "b", "c", "d"]);
    let up: Vec<Arc<Health>> = names.iter().map(|_| Arc::default()).collect();
    pools.bind(names.iter().zip(&up).map(|(name, up)| (*name, Arc::clone(up) as Arc<dyn PoolHealth>)));
    (zone_with(routes, lines, &pools), up)
}

/// A zone with these routes over these pools.
pub(super) fn zone_with(routes: &str, lines: &str, pools: &Pools) -> Zone {
    let routes: RoutesConfig = toml::from_str(routes).unwrap();
    let place: Named<PlaceConfig> = Named::new();
    let places = Arc::new(
        Places::load(PlacesConfig { place: &place, latency: &[], geo: None }, Path::new(".")).unwrap(),
    );
    let apex: Name = "example.org".parse().unwrap();
    let mut builder = ZoneBuilder::new(apex.clone());
    builder.text(
        "zone",
        format!("$TTL 3600\n@ SOA ns admin 7 3600 600 86400 300\n@ NS ns.elsewhere.test.\n{lines}")
            .as_bytes(),
    );
    for (name, route) in &routes {
        builder.route(name, Route::new(route, &apex, &places, pools).unwrap());
    }
    builder.finish().unwrap_or_else(|error| panic!("{error}")).zone
}

const FOUR: &str = "{ pool = 'a', addresses = ['192.0.2.1', '2001:db8::1'] },
    { pool = 'b', addresses = ['192.0.2.2', '192.0.2.3', '2001:db8::2'] },
    { pool = 'c', addresses = ['192.0.2.1', '2001:db8::3'] }, { addresses = ['192.0.2.4', '2001:db8::4'] }";

#[test]
fn each_choice_that_health_makes_is_signed() {
    let routes = format!(
        "www.answers = [{FOUR}]\n'*.w'.answers = [{FOUR}]\nfew = {{ choose = ['healthy', 'multivalue'], values = 2, answers = [{FOUR}] }}\n\
        one = {{ choose = ['healthy', 'weighted'], answers = [{FOUR}] }}\n'@'.alias = 'www'\nlike.alias = 'plain'\nfar.alias = 'alias'"
    );
    for denial in [DenialConfig::Nsec, DenialConfig::Nsec3] {
        let (source, up) = routed(&routes, "plain A 192.0.2.77\nalias CNAME plain");
        let plan = plan(denial);
        let zones = zones([Arc::new(signed(&source, None, &plan).zone)]);
        let apex = source.apex().clone();
        let validator = Validator { apex: &apex, keys: &plan.published, now: NOW };
        let mut seen = BTreeSet::new();
        for down in 0..8u64 {
            up.iter().enumerate().for_each(|(nth, up)| up.set(usize::from(down >> nth & 1 == 0)));
            for draw in 0..40u64 {
                let sender = IpAddr::from((draw as u32).wrapping_mul(0x9e37_79b9).to_be_bytes());
                let facts = Facts {
                    sender,
                    draw: draw.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    ..Facts::of_transport(Transport::Udp)
                };
                for (name, rtype) in [
                    ("www", Rtype::A),
                    ("www", Rtype::AAAA),
                    ("x.y.w", Rtype::A),
                    ("few", Rtype::A),
                    ("one", Rtype::AAAA),
                    ("like", Rtype::A),
                    ("far", Rtype::A),
                    ("@", Rtype::A),
                ] {
                    let name: Name = if name == "@" {
                        apex.clone()
                    } else {
                        format!("{name}.example.org").parse().unwrap()
                    };
                    let reply = ask_with(&zones, &name, rtype, &facts);
                    let rrsets = validator.rrsets(&reply.answer);
                    assert!(
                        rrsets.len() == 1 && rrsets[0].1 == rtype && rrsets[0].2.is_some(),
                        "{name} {rtype}: {reply:?}"
                    );
                    if name.labels() == 5 {
                        assert!(validator.proof(&reply).is_expanded(&name, 3));
                    }
                    let addresses: BTreeSet<Vec<u8>> = reply
                        .answer
                        .iter()
                        .filter(|record| record.rtype == rtype)
                        .map(|record| record.data.clone())
                        .collect();
                    seen.insert((name.to_string(), addresses));
                }
            }
        }
        let sets = |name: &str| seen.iter().filter(|(own, _)| own == name).count();
        // Of a, b, c and one that is always up: those with it; but a and c have the same IPv4 address.
        assert!(
            sets("few.example.org") >= 4 && sets("one.example.org") == 4 && sets("like.example.org") == 1
        );
        // What no candidate has is denied.
        let name: Name = "www.example.org".parse().unwrap();
        let reply = ask_with(&zones, &name, Rtype::MX, &Facts::of_transport(Transport::Udp));
        assert!(validator.proof(&reply).is_no_data(&name, Rtype::MX));
    }
}

#[test]
fn signatures_of_routes_are_kept_while_they_are_fresh() {
    let (source, _) = routed(&format!("www.answers = [{FOUR}]"), "");
    let mut plan = plan(DenialConfig::Nsec);
    let first = signed(&source, None, &plan).zone;
    plan.now += 60;
    let second = signed(&source, Some(&first), &plan).zone;
    let shown = |zone: Zone| {
        let reply = ask_with(
            &zones([Arc::new(zone)]),
            &"www.example.org".parse().unwrap(),
            Rtype::A,
            &Facts::of_transport(Transport::Udp),
        );
        reply.answer.into_iter().find(|record| record.rtype == Rtype::RRSIG).unwrap()
    };
    assert_eq!(shown(first), shown(second));
}

#[test]
fn an_alias_in_a_circle_is_refused() {
    let (zone, _) = routed("one.alias = 'two'\ntwo.alias = 'one'", "");
    let error = check(&zone, &SignConfig::default(), false).unwrap_err().to_string();
    assert!(error.contains("leads in a circle"), "{error}");
}

#[test]
fn other_servers_get_all_addresses_with_their_signatures() {
    let (source, _) = routed(&format!("www.answers = [{FOUR}]\n'@'.alias = 'www'"), "plain A 192.0.2.9");
    check(&source, &SignConfig::default(), true).unwrap();
    for denial in [DenialConfig::Nsec, DenialConfig::Nsec3] {
        let plan = plan(denial);
        let zone = signed(&source, None, &plan).zone;
        let copied: Vec<Record> = zone
            .records()
            .chain(crate::transfer::records_of_routes(&zone))
            .map(|record| Record {
                owner: Name::from_wire(&record.owner).unwrap(),
                rtype: record.rtype,
                ttl: record.ttl,
                data: record.data.to_vec(),
            })
            .collect();
        let validator = Validator { apex: source.apex(), keys: &plan.published, now: NOW };
        let rrsets = validator.rrsets(&copied);
        for name in ["www.example.org", "example.org"] {
            let name: Name = name.parse().unwrap();
            for (rtype, records) in [(Rtype::A, 4), (Rtype::AAAA, 4)] {
                let is_it = |record: &&Record| record.owner == name && record.rtype == rtype;
                assert_eq!(copied.iter().filter(is_it).count(), records, "{name} {rtype}");
                let of = rrsets.iter().find(|(owner, other, _)| *owner == name && *other == rtype);
                assert!(of.is_some_and(|(.., signed)| signed.is_some()), "{name} {rtype}");
            }
        }
    }
}

#[test]
fn what_other_servers_could_not_prove_is_refused_where_they_copy_the_zone() {
    for (routes, said) in [
        ("www.answers = [{ pool = 'a' }]", "its pool's endpoints, so other servers"),
        ("'@'.alias = 'www.elsewhere.test.'", "its alias leads to another zone, so other servers"),
    ] {
        let (zone, _) = routed(routes, "");
        assert!(check(&zone, &SignConfig::default(), false).is_ok());
        let error = check(&zone, &SignConfig::default(), true).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
