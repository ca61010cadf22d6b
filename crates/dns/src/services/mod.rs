//! Names of running services, in a zone of their own that is made anew when one of them changes.
//!
//! `NAME.service.DOMAIN` has the addresses of the healthy instances, and by SRV their ports: `_NAME._tcp.service.DOMAIN` as well
//! (RFC 2782). `INSTANCE.NAME.service.DOMAIN` is one of them. A service is there as long as it is in the file: without a healthy
//! instance it has no addresses (NODATA), but is no unknown name (NXDOMAIN), which would be believed for all below it.
//!
//! Who is healthy is not decided here. Whoever knows says so by [`Publisher::show_services`], at each change.

mod config;

pub use config::ServicesConfig;
pub(crate) use config::check;

use crate::error::Error;
use crate::protocol::Name;
use crate::publishing::Publisher;
use crate::zone::{Zone, ZoneBuilder};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a zone's faults name as its source.
const SOURCE: &str = "[dns.services]";
/// A label (RFC 1035 §2.3.4), with an underscore before it.
const NAME_BYTES_MAX: usize = 62;

/// A service of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Those of its instances that clients may be sent to.
    pub healthy: Vec<ServiceInstance>,
    /// How many there are.
    pub instances: usize,
}

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInstance {
    /// Its name: `shop-1`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the work.
    pub weight: u16,
}

impl Publisher {
    /// Answers for these services from now on.
    ///
    /// # Errors
    /// When a name among them is none.
    pub fn show_services(&self, config: &ServicesConfig, services: &[Service]) -> Result<(), Error> {
        let apex: Name = config.domain.parse()?;
        // RFC 1982: it goes on, whatever it begins with.
        let serial = self.served(&apex).map_or(0, |zone| zone.figures().serial).wrapping_add(1);
        let zone = zone(apex, config.ttl.get().as_secs(), serial, services)?;
        self.replace(&Arc::new(zone));
        Ok(())
    }
}

/// SOA and NS. There is no server to be named that the rest of the world could ask (as RFC 6303 §3 has it).
fn apex_records(serial: u32) -> [String; 2] {
    // The last number, with the TTL, is how long absence may be remembered: no longer than presence.
    [format!("@ SOA localhost. nobody.invalid. {serial} 1h 10m 1d 1d"), "@ NS localhost.".to_owned()]
}

fn zone(apex: Name, ttl: u64, serial: u32, services: &[Service]) -> Result<Zone, Error> {
    let mut builder = ZoneBuilder::new(apex);
    let mut lines = vec![format!("$TTL {ttl}")];
    lines.extend(apex_records(serial));
    for service in services.iter().filter(|service| is_label(&service.name)) {
        service_records(service, &mut lines);
    }
    builder.lines(SOURCE, lines);
    Ok(builder.finish()?.zone)
}

fn service_records(service: &Service, lines: &mut Vec<String>) {
    let Service { name, healthy, instances } = service;
    // The name is there whatever it has.
    lines.push(format!("{name}.service TXT \"{} of {instances} instances are healthy\"", healthy.len()));
    for instance in healthy.iter().filter(|instance| is_label(&instance.name)) {
        let ServiceInstance { name: own, address, weight } = instance;
        let rtype = if address.is_ipv4() { "A" } else { "AAAA" };
        let (ip, port) = (address.ip(), address.port());
        lines.push(format!("{own}.{name}.service {rtype} {ip}"));
        for at in [format!("{name}.service"), format!("_{name}._tcp.service")] {
            lines.push(format!("{at} SRV 0 {weight} {port} {own}.{name}.service"));
        }
        // Instances of one machine have one address.
        let record = format!("{name}.service {rtype} {ip}");
        if !lines.contains(&record) {
            lines.push(record);
        }
    }
}

/// Whether a name can be a label as it is.
fn is_label(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zones::Zones;
    use crate::{Facts, OptRcode, Query, Rtype, Transport, answer};

    fn service(name: &str, healthy: &[(&str, &str)]) -> Service {
        let instance = |(name, address): &(&str, &str)| ServiceInstance {
            name: (*name).to_owned(),
            address: address.parse().unwrap(),
            weight: 1,
        };
        Service { name: name.to_owned(), healthy: healthy.iter().map(instance).collect(), instances: 3 }
    }

    /// RCODE, and records of the answer and the additional section.
    fn asked(services: &[Service], name: &str, rtype: Rtype) -> (OptRcode, u16, u16) {
        let zone = zone("nines.internal".parse().unwrap(), 0, 7, services).unwrap();
        let zones = Zones::new([Arc::new(zone)]);
        let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(name.parse::<Name>().unwrap().as_wire());
        message.extend(rtype.to_int().to_be_bytes());
        message.extend([0, 1]);
        let (query, facts) = (Query::parse(&message).unwrap(), Facts::of_transport(Transport::Tcp));
        let mut out = Vec::new();
        let rcode = answer(&zones, &query, &facts, &mut out).rcode;
        let count = |at: usize| u16::from_be_bytes([out[at], out[at + 1]]);
        (rcode, count(6), count(10))
    }

    #[test]
    fn a_service_has_the_addresses_and_ports_of_its_healthy_instances() {
        let all = [
            service(
                "shop",
                &[("shop-1", "127.0.0.1:3000"), ("shop-2", "127.0.0.1:3001"), ("shop-3", "[::1]:3002")],
            ),
            service("idle", &[]),
        ];
        let (ok, absent) = (OptRcode::NOERROR, OptRcode::NXDOMAIN);
        for (name, rtype, expected) in [
            ("shop.service.nines.internal", Rtype::A, (ok, 1, 0)),
            ("SHOP.service.nines.internal", Rtype::AAAA, (ok, 1, 0)),
            ("shop.service.nines.internal", Rtype::SRV, (ok, 3, 3)),
            ("_shop._tcp.service.nines.internal", Rtype::SRV, (ok, 3, 3)),
            ("shop-2.shop.service.nines.internal", Rtype::A, (ok, 1, 0)),
            ("shop-4.shop.service.nines.internal", Rtype::A, (absent, 0, 0)),
            ("idle.service.nines.internal", Rtype::A, (ok, 0, 0)),
            ("idle.service.nines.internal", Rtype::TXT, (ok, 1, 0)),
            ("other.service.nines.internal", Rtype::A, (absent, 0, 0)),
            ("service.nines.internal", Rtype::A, (ok, 0, 0)),
            ("nines.internal", Rtype::SOA, (ok, 1, 0)),
            ("nines.internal", Rtype::NS, (ok, 1, 0)),
        ] {
            assert_eq!(asked(&all, name, rtype), expected, "{name} {rtype}");
        }
    }

    #[test]
    fn a_name_that_is_no_label_has_no_records() {
        let long = "x".repeat(63);
        let all = [
            service("a.b", &[]),
            service("", &[]),
            service(&long, &[]),
            service("a b", &[("x y", "127.0.0.1:1")]),
        ];
        assert!(zone("nines.internal".parse().unwrap(), 0, 7, &all).is_ok());
    }
}
