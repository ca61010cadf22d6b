//! Places: where clients are, and which place is near to which.

use super::config::{PlaceConfig, Places as Config};
use super::geography::{Coordinates, Whereabouts, distance_km, networks};
use super::regions::{NOWHERE, Networks, Region, Regions};
use notation::Named;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use thiserror::Error;

/// All places of a file.
#[derive(Debug, Default)]
pub struct Places {
    names: Vec<String>,
    /// The place of each client.
    clients: Regions,
    /// For each place of clients, how near each place is: 0 is nearest, and the same number as near.
    ranks: Vec<Box<[u16]>>,
}

/// A geo database that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("geo database {path}: {cause}")]
pub struct PlacesError {
    path: String,
    cause: String,
}

/// How far one place is from another: what is said first counts.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Distance {
    Here,
    /// By the order that the place gives.
    Listed(usize),
    Milliseconds(f64),
    Kilometres(f64),
    Unknown,
}

impl Places {
    /// The places of a file, which was checked; `dir` is the folder that paths start from. This reads a file, and so is not for a core.
    ///
    /// # Errors
    /// When the geo database cannot be read.
    pub fn load(config: Config<'_>, dir: &Path) -> Result<Self, PlacesError> {
        let names: Vec<String> = config.place.keys().map(ToString::to_string).collect();
        let number: BTreeMap<&str, u16> =
            names.iter().map(String::as_str).zip(0u16..).filter(|(_, number)| *number != NOWHERE).collect();
        let below = match config.geo {
            Some(path) => {
                let path = dir.join(path);
                let error = |cause| PlacesError { path: path.display().to_string(), cause };
                let finder = Finder::new(config.place);
                Regions::new(
                    networks(&path, |whereabouts| finder.place(whereabouts)).map_err(error)?,
                    &Regions::default(),
                )
            }
            None => Regions::default(),
        };
        let mut own = Networks::default();
        for (place, number) in config.place.values().zip(0..) {
            for network in place.networks() {
                own.add(network.first(), network.prefix(), number);
            }
        }
        let latencies = latencies(config, &number);
        let ranks = (0..config.place.len()).map(|from| ranks(from, config.place, &latencies)).collect();
        Ok(Self { clients: Regions::new(own, &below), ranks, names })
    }

    /// The number of a place.
    pub(crate) fn number(&self, name: &str) -> Option<u16> {
        self.names.iter().position(|known| known == name).and_then(|number| u16::try_from(number).ok())
    }

    pub(crate) fn name(&self, number: u16) -> Option<&str> {
        self.names.get(usize::from(number)).map(String::as_str)
    }

    /// Where a client is, or nowhere.
    #[inline]
    pub(crate) fn of_client(&self, address: IpAddr) -> Region {
        self.clients.of(address)
    }

    /// How near each place is, seen from this one; `None` from nowhere.
    #[inline]
    pub(crate) fn ranks_from(&self, place: u16) -> Option<&[u16]> {
        self.ranks.get(usize::from(place)).map(|ranks| &**ranks)
    }

    /// Ranges of addresses that are told apart.
    pub fn ranges(&self) -> usize {
        self.clients.len()
    }
}

/// Tells the place of a client that a database knows.
struct Finder<'c> {
    countries: BTreeMap<&'c str, u16>,
    continents: BTreeMap<&'c str, u16>,
    coordinates: Vec<(Coordinates, u16)>,
}

impl<'c> Finder<'c> {
    fn new(places: &'c Named<PlaceConfig>) -> Self {
        let mut finder =
            Self { countries: BTreeMap::new(), continents: BTreeMap::new(), coordinates: Vec::new() };
        for (place, number) in places.values().zip(0..) {
            finder.countries.extend(place.countries.iter().map(|country| (country.as_str(), number)));
            finder.continents.extend(place.continents.iter().map(|continent| (continent.as_str(), number)));
            finder.coordinates.extend(place.coordinates.map(|coordinates| (coordinates, number)));
        }
        finder
    }

    fn place(&self, found: &Whereabouts) -> Option<u16> {
        let by_code =
            |known: &BTreeMap<&str, u16>, code: &Option<String>| known.get(code.as_deref()?).copied();
        let nearest = |from: Coordinates| {
            let distance = |place: &&(Coordinates, u16)| distance_km(from, place.0);
            self.coordinates
                .iter()
                .min_by(|one, other| distance(one).total_cmp(&distance(other)))
                .map(|(_, place)| *place)
        };
        by_code(&self.countries, &found.country)
            .or_else(|| by_code(&self.continents, &found.continent))
            .or_else(|| nearest(found.coordinates?))
    }
}

/// The round trips by place: both ways, where only one is said.
fn latencies(config: Config<'_>, number: &BTreeMap<&str, u16>) -> BTreeMap<(u16, u16), f64> {
    let rows: Vec<(u16, u16, f64)> = config
        .latency
        .iter()
        .filter_map(|row| {
            let ms = row.rtt.get().as_secs_f64() * 1000.0;
            Some((*number.get(row.from.as_str())?, *number.get(row.to.as_str())?, ms))
        })
        .collect();
    let back = rows.iter().map(|(from, to, ms)| ((*to, *from), *ms));
    // What is said of this way itself comes last, and stays.
    back.chain(rows.iter().map(|(from, to, ms)| ((*from, *to), *ms))).collect()
}

fn ranks(from: usize, places: &Named<PlaceConfig>, latencies: &BTreeMap<(u16, u16), f64>) -> Box<[u16]> {
    let own = places.values().nth(from);
    let distance = |to: usize, name: &str, place: &PlaceConfig| {
        let own = own?;
        if to == from {
            return Some(Distance::Here);
        }
        let listed = own.near.iter().position(|near| near.as_str() == name).map(Distance::Listed);
        let measured = || Some(Distance::Milliseconds(*latencies.get(&(from as u16, to as u16))?));
        let by_globe = || Some(Distance::Kilometres(distance_km(own.coordinates?, place.coordinates?)));
        listed.or_else(measured).or_else(by_globe)
    };
    let distances: Vec<Distance> = places
        .iter()
        .enumerate()
        .map(|(to, (name, place))| distance(to, name, place).unwrap_or(Distance::Unknown))
        .collect();
    // How many places are nearer.
    let rank = |own: &Distance| distances.iter().filter(|other| *other < own).count() as u16;
    distances.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::database::{Database, Value};
    use super::*;
    use crate::policy::LatencyConfig;
    use std::path::PathBuf;

    #[derive(serde::Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct File {
        place: Named<PlaceConfig>,
        latency: Vec<LatencyConfig>,
        geo: Option<PathBuf>,
    }

    fn places(text: &str) -> Places {
        let file: File = toml::from_str(text).expect("a file");
        let config = Config { place: &file.place, latency: &file.latency, geo: file.geo.as_ref() };
        Places::load(config, Path::new("/")).expect("places")
    }

    /// The places by nearness, those that are as near as each other with a `=` between them.
    fn order(places: &Places, from: &str) -> String {
        let ranks = places.ranks_from(places.number(from).expect("a place")).expect("ranks");
        let mut order: Vec<(u16, &str)> =
            ranks.iter().copied().zip(places.names.iter().map(String::as_str)).collect();
        order.sort_unstable();
        let groups = order.chunk_by(|one, other| one.0 == other.0);
        groups
            .map(|group| group.iter().map(|(_, name)| *name).collect::<Vec<_>>().join("="))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn at<'p>(places: &'p Places, address: &str) -> Option<&'p str> {
        places.name(places.of_client(address.parse().expect("an address")).value)
    }

    #[test]
    fn an_order_comes_before_latencies_and_those_before_distances() {
        let places = places(
            "place.ber = { coordinates = [52.5, 13.4], near = ['syd'] }
             place.lon = { coordinates = [51.5, -0.1] }
             place.nyc = { coordinates = [40.7, -74.0] }
             place.syd = { coordinates = [-33.9, 151.2] }
             place.moon = {}
             latency = [{ from = 'ber', to = 'nyc', rtt = '80ms' }, { from = 'nyc', to = 'lon', rtt = '70ms' },
                        { from = 'lon', to = 'nyc', rtt = '300ms' }]",
        );
        assert_eq!(order(&places, "ber"), "ber syd nyc lon moon");
        assert_eq!(order(&places, "lon"), "lon nyc ber syd moon");
        assert_eq!(order(&places, "nyc"), "nyc lon ber syd moon");
        assert_eq!(order(&places, "syd"), "syd ber nyc lon moon".replace("ber nyc lon", "nyc ber lon"));
        assert_eq!(order(&places, "moon"), "moon ber=lon=nyc=syd");
    }

    #[test]
    fn clients_are_where_their_networks_are() {
        let places = places(
            "place.eu = { networks = ['192.0.2.0/24', '2001:db8::/32'] }
             place.us = { networks = ['192.0.2.128/25'] }",
        );
        assert_eq!(at(&places, "192.0.2.1"), Some("eu"));
        assert_eq!(at(&places, "192.0.2.129"), Some("us"));
        assert_eq!(at(&places, "2001:db8::1"), Some("eu"));
        assert_eq!(at(&places, "198.51.100.1"), None);
        assert!(places.ranks_from(NOWHERE).is_none());
    }

    #[test]
    fn a_database_tells_place_by_country_continent_or_coordinates() {
        let text = |text: &str| Value::Text(text.to_owned());
        let table = |entries: &[(&str, Value)]| {
            Value::Table(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
        };
        let country = |code: &str, continent: &str| {
            table(&[
                ("country", table(&[("iso_code", text(code))])),
                ("continent", table(&[("code", text(continent))])),
            ])
        };
        let sydney = table(&[(
            "location",
            table(&[("latitude", Value::Double(-33.9)), ("longitude", Value::Double(151.2))]),
        )]);
        let flat = table(&[("country_code", text("CH")), ("continent", text("EU"))]);
        for ipv6 in [true, false] {
            let mut database = Database::new(ipv6);
            database.add("10.0.0.0/8", &country("DE", "EU"));
            database.add("10.1.0.0/16", &country("FR", "EU"));
            database.add("11.0.0.0/8", &flat);
            database.add("12.0.0.0/8", &sydney);
            database.add("13.0.0.0/8", &country("BR", "SA"));
            database.add("14.0.0.0/8", &country("DE", "EU"));
            if ipv6 {
                database.add("2001:db8::/32", &country("AT", "EU"));
            }
            let file = database.write();
            let places = places(&format!(
                "geo = '{}'
                 place.eu = {{ continents = ['EU'], coordinates = [50.1, 8.7] }}
                 place.alps = {{ countries = ['CH', 'AT'] }}
                 place.asia = {{ coordinates = [1.3, 103.8] }}
                 place.office = {{ networks = ['14.0.0.0/9'] }}",
                file.path().display()
            ));
            assert_eq!(at(&places, "10.0.0.1"), Some("eu"));
            assert_eq!(at(&places, "10.1.0.1"), Some("eu"));
            assert_eq!(at(&places, "11.0.0.1"), Some("alps"));
            assert_eq!(at(&places, "12.0.0.1"), Some("asia"));
            assert_eq!(at(&places, "13.0.0.1"), None);
            assert_eq!(at(&places, "14.0.0.1"), Some("office"));
            assert_eq!(at(&places, "14.128.0.1"), Some("eu"));
            assert_eq!(at(&places, "2001:db8::1"), ipv6.then_some("alps"));
            // Neighbours at the same place are not told apart.
            assert_eq!(places.of_client("10.1.0.1".parse().unwrap()).bits, 8);
        }
    }

    #[test]
    fn a_database_that_is_none_is_told_by_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "no database").expect("written");
        let path = file.path().to_path_buf();
        let places = Named::new();
        let config = Config { place: &places, latency: &[], geo: Some(&path) };
        let error = Places::load(config, Path::new("/")).expect_err("no database").to_string();
        assert!(error.starts_with(&format!("geo database {}: ", path.display())), "{error}");
    }
}
