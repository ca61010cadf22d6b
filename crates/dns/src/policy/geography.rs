//! Where networks are in the world: a database in MaxMind's format, and distances on the globe.
//!
//! A database is read once, when places are loaded: each of its networks becomes one of our places, and neighbours of the same place
//! become one range. No query looks into it.

use super::regions::Networks;
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

/// Degrees north, and degrees east.
pub(crate) type Coordinates = [f64; 2];

/// Where a network is, as far as its database says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Whereabouts {
    /// ISO 3166-1, two letters.
    pub(crate) country: Option<String>,
    /// `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`.
    pub(crate) continent: Option<String>,
    pub(crate) coordinates: Option<Coordinates>,
}

/// The records that databases have: those of MaxMind and DB-IP say `country.iso_code`, others have codes at the top.
#[derive(Deserialize)]
struct Record {
    country: Option<Code>,
    country_code: Option<String>,
    continent: Option<Code>,
    continent_code: Option<String>,
    location: Option<Location>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Text(String),
    Table { iso_code: Option<String>, code: Option<String> },
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Code {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Table { iso_code, code } => iso_code.or(code),
        }
    }
}

impl From<Record> for Whereabouts {
    fn from(record: Record) -> Self {
        let coordinates =
            record.location.and_then(|location| Some([location.latitude?, location.longitude?]));
        Self {
            // Names in place of codes are not understood, and are nobody's.
            country: record.country_code.or_else(|| record.country?.text()),
            continent: record.continent_code.or_else(|| record.continent?.text()),
            coordinates,
        }
    }
}

/// The networks of a database, each with what `place` makes of its whereabouts; those of which it makes nothing are left out.
pub(crate) fn networks(
    path: &Path,
    mut place: impl FnMut(&Whereabouts) -> Option<u16>,
) -> Result<Networks, String> {
    let reader = Reader::open_readfile(path).map_err(|error| error.to_string())?;
    let mut networks = Networks::default();
    // Many networks have the same record.
    let mut known: HashMap<usize, Option<u16>> = HashMap::new();
    for found in reader.networks(WithinOptions::default()).map_err(|error| error.to_string())? {
        let found = found.map_err(|error| error.to_string())?;
        let Some(offset) = found.offset() else { continue };
        let value = match known.get(&offset) {
            Some(value) => *value,
            None => {
                let record: Option<Record> = found.decode().map_err(|error| error.to_string())?;
                let value = record.and_then(|record| place(&record.into()));
                known.insert(offset, value);
                value
            }
        };
        if let Some(value) = value {
            let network = found.network().map_err(|error| error.to_string())?;
            let (address, prefix) = within_family(network.ip(), network.prefix());
            networks.add(address, prefix, value);
        }
    }
    Ok(networks)
}

/// Databases of IPv6 hold IPv4 at the beginning of it.
fn within_family(address: IpAddr, prefix: u8) -> (IpAddr, u8) {
    match address {
        IpAddr::V6(v6) if prefix >= 96 && v6.to_bits() >> 32 == 0 => {
            (IpAddr::V4((v6.to_bits() as u32).into()), prefix - 96)
        }
        address => (address, prefix),
    }
}

/// Kilometres along the globe (the haversine formula).
pub(crate) fn distance_km(from: Coordinates, to: Coordinates) -> f64 {
    const EARTH_RADIUS_KM: f64 = 6371.0;
    let [from, to] = [from, to].map(|coordinates| coordinates.map(f64::to_radians));
    let half = |a: f64, b: f64| ((b - a) / 2.0).sin().powi(2);
    let haversine = half(from[0], to[0]) + from[0].cos() * to[0].cos() * half(from[1], to[1]);
    2.0 * EARTH_RADIUS_KM * haversine.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_globe() {
        let (frankfurt, sydney, honolulu) = ([50.11, 8.68], [-33.87, 151.21], [21.31, -157.86]);
        assert!((distance_km(frankfurt, sydney) - 16_470.0).abs() < 60.0);
        // Across the date line.
        assert!((distance_km(sydney, honolulu) - 8_170.0).abs() < 60.0);
        assert!(distance_km(sydney, sydney) < 1e-6);
    }
}
