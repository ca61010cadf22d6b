//! Who the endpoints should be: the file's servers, a service's instances or a name's addresses.

use crate::config::{PoolConfig, ServerConfig};
use notation::TextOr;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The largest weight.
pub(crate) const WEIGHT_MAX: u32 = 1000;
/// The most addresses of one name that become endpoints; what exceeds them is left out.
pub(crate) const ADDRESSES_MAX: usize = 256;

/// A running instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name, which outlives its restarts: `"shop-1"`.
    pub id: String,
    /// Where it listens now.
    pub address: SocketAddr,
    /// Its share of the work against the others' weights; 0 takes no new work.
    pub weight: u32,
    /// Where it is.
    pub at: Option<String>,
    /// Whether it may be checked and used; `false` while it starts or stops.
    pub ready: bool,
}

/// What an endpoint's address says: an address, or a name to be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}

/// An endpoint as the sources want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What it is known by through reloads, restarts and changes of address.
    pub(crate) name: Arc<str>,
    /// Absent until its name has been resolved.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) weight: u32,
    pub(crate) at: Option<String>,
    pub(crate) backup: bool,
    pub(crate) ready: bool,
}

/// Splits `"10.0.0.1:80"`, `"[2001:db8::1]:80"` or `"app-1:80"`.
pub(crate) fn host_and_port(text: &str) -> Result<(Host, u16), &'static str> {
    const SHAPE: &str = "an address is written \"10.0.0.1:3000\", \"[2001:db8::1]:3000\" or \"app-1:3000\"";
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err("port 0 is no port")
        } else {
            Ok((Host::Address(address.ip()), address.port()))
        };
    }
    let (host, port) = text.rsplit_once(':').ok_or(SHAPE)?;
    let port: u16 = port.parse().map_err(|_| "the port must be a number from 1 to 65535")?;
    if port == 0 {
        return Err("port 0 is no port");
    }
    if !is_host_name(host) {
        return Err(SHAPE);
    }
    Ok((Host::Name(host.to_ascii_lowercase()), port))
}

/// Whether this can be a host's name (RFC 1123 §2.1, with the underscore that many use). A name of digits and
/// dots alone is a mistyped address.
fn is_host_name(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    labels.len() <= 253
        && labels.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
        && !labels.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The names that must be resolved.
pub(crate) fn hosts(config: &PoolConfig) -> BTreeSet<String> {
    let servers = config.servers.iter().flatten().map(address_of);
    let names = servers.chain(&config.dns);
    names
        .filter_map(|text| match host_and_port(text) {
            Ok((Host::Name(host), _)) => Some(host),
            _ => None,
        })
        .collect()
}

/// The endpoints that there should be. `current` tells the address that an endpoint has now: a server whose
/// name has several addresses stays with one as long as it is among them.
pub(crate) fn wanted(
    config: &PoolConfig,
    instances: &[Instance],
    resolved: &HashMap<String, Vec<IpAddr>>,
    current: impl Fn(&str) -> Option<SocketAddr>,
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for server in config.servers.iter().flatten() {
        let Ok((host, port)) = host_and_port(address_of(server)) else { continue };
        let name = address_of(server);
        let address = match host {
            Host::Address(ip) => Some(SocketAddr::new(ip, port)),
            Host::Name(host) => resolved.get(&host).and_then(|found| one_of(found, port, current(name))),
        };
        let (weight, at, backup) = match server {
            TextOr::Text(_) => (1, None, false),
            TextOr::Long(ServerConfig { weight, at, backup, .. }) => (*weight, at.clone(), *backup),
        };
        wanted.push(Wanted {
            name: name.as_str().into(),
            address,
            weight: weight.min(WEIGHT_MAX),
            at,
            backup,
            ready: true,
        });
    }
    if config.service.is_some() {
        wanted.extend(instances.iter().map(|instance| Wanted {
            name: instance.id.as_str().into(),
            address: Some(instance.address),
            weight: instance.weight.min(WEIGHT_MAX),
            at: instance.at.clone(),
            backup: false,
            ready: instance.ready,
        }));
    }
    if let Some(name) = &config.dns {
        wanted.extend(every_address(name, resolved));
    }
    let mut seen = HashSet::new();
    wanted.retain(|endpoint| seen.insert(Arc::clone(&endpoint.name)));
    wanted
}

pub(crate) fn address_of(server: &TextOr<ServerConfig>) -> &notation::Name {
    match server {
        TextOr::Text(address) => address,
        TextOr::Long(server) => &server.address,
    }
}

fn one_of(found: &[IpAddr], port: u16, current: Option<SocketAddr>) -> Option<SocketAddr> {
    let keeps = current.filter(|address| address.port() == port && found.contains(&address.ip()));
    keeps.or_else(|| found.first().map(|ip| SocketAddr::new(*ip, port)))
}

fn every_address(name: &str, resolved: &HashMap<String, Vec<IpAddr>>) -> Vec<Wanted> {
    let (mut ips, port) = match host_and_port(name) {
        Ok((Host::Address(ip), port)) => (vec![ip], port),
        Ok((Host::Name(host), port)) => (resolved.get(&host).cloned().unwrap_or_default(), port),
        Err(_) => return Vec::new(),
    };
    // Name servers turn their answers; the order of endpoints should not.
    ips.sort_unstable();
    ips.truncate(ADDRESSES_MAX);
    let endpoints = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).map(|address| Wanted {
        name: address.to_string().into(),
        address: Some(address),
        weight: 1,
        at: None,
        backup: false,
        ready: true,
    });
    endpoints.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_told_apart() {
        let host = |text| host_and_port(text).map(|(host, port)| (format!("{host:?}"), port));
        assert_eq!(host("10.0.0.1:80"), Ok(("Address(10.0.0.1)".into(), 80)));
        assert_eq!(host("[::1]:80"), Ok(("Address(::1)".into(), 80)));
        assert_eq!(host("App-1.internal:3000"), Ok(("Name(\"app-1.internal\")".into(), 3000)));
        for wrong in [
            "app",
            "app:",
            "app:0",
            "app:99999",
            ":80",
            "a b:80",
            "10.0.0:80",
            "10.0.0.256:80",
            "-a:80",
            "a..b:80",
            "::1:80",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_stays_with_its_address_while_it_is_among_the_answers() {
        let config = PoolConfig {
            servers: Some(vec![TextOr::Text(notation::Name::new("app:80"))]),
            ..PoolConfig::default()
        };
        let answers = |last: [u8; 2]| {
            HashMap::from([("app".to_owned(), last.map(|n| IpAddr::from([10, 0, 0, n])).to_vec())])
        };
        let current = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
        let address = |answers, now: Option<SocketAddr>| wanted(&config, &[], &answers, |_| now)[0].address;
        assert_eq!(address(answers([1, 2]), None), current("10.0.0.1:80"));
        assert_eq!(address(answers([2, 1]), current("10.0.0.1:80")), current("10.0.0.1:80"));
        assert_eq!(address(answers([2, 3]), current("10.0.0.1:80")), current("10.0.0.2:80"));
    }
}
