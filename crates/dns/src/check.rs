//! What types cannot say of `[dns]`.

use crate::changes::check_changes;
use crate::config::{DnsConfig, ZoneConfig};
use crate::policy::{Known, check_places, check_routes};
use crate::protocol::Name;
use notation::Faults;
use std::collections::BTreeMap;
use std::time::Duration;

/// RFC 2181 §8: the largest TTL.
const TTL_SECONDS_MAX: u64 = i32::MAX as u64;
/// RFC 5001 sets no length; an option of EDNS in a datagram of 512 bytes does.
const IDENTITY_BYTES_MAX: usize = 255;

/// Checks `[dns]`, all but what is in its zones.
pub fn check(config: &DnsConfig, faults: &mut Faults) {
    if config.listen.0.is_empty() && config.dot.0.is_empty() {
        faults.add_with_help(None, "dns listens nowhere", "add `listen = \"127.0.0.1:5353\"`");
    }
    let zeroes = [
        ("cores", config.cores == Some(0)),
        ("limit.connections", config.limit.connections == 0),
        ("limit.connections_per_client", config.limit.connections_per_client == 0),
        ("timeout.idle", config.timeout.idle.get().is_zero()),
    ];
    for (key, _) in zeroes.iter().filter(|(_, is_zero)| *is_zero) {
        faults.add(None, format!("dns: {key} is zero: nothing would ever be answered"));
    }
    if let Some(identity) = &config.identity
        && !(1..=IDENTITY_BYTES_MAX).contains(&identity.len())
    {
        faults.add(None, format!("dns: identity has {} bytes, of 1 to {IDENTITY_BYTES_MAX}", identity.len()));
    }
    check_tls(config, faults);
    crate::limit::check(&config.limit, faults);
    crate::log::check(&config.log, faults);
    if let Some(services) = &config.services {
        crate::services::check(services, &config.zone, faults);
    }
    let mut apexes: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for (name, zone) in &config.zone {
        match name.parse::<Name>() {
            Ok(apex) => {
                if let Some(before) = apexes.insert(apex.as_wire().to_vec(), name.as_str()) {
                    let message = format!("zone {name} is the same as zone {before}");
                    faults.add(name.span(), message);
                }
            }
            Err(error) => faults.add(name.span(), format!("{:?} cannot be a zone: {error}", name.as_str())),
        }
        check_zone(name, zone, faults);
    }
    check_changes(config, faults);
    check_places(config.places(), faults);
    if let Some(resolver) = &config.resolver {
        crate::resolver::check(resolver, faults);
    }
    let zones: Vec<Name> = config.zone.keys().filter_map(|name| name.parse().ok()).collect();
    for (name, zone) in &config.zone {
        check_routes(name, &zone.route, Known { zones: &zones, places: &config.place }, faults);
    }
}

fn check_tls(config: &DnsConfig, faults: &mut Faults) {
    match (&config.tls, config.dot.0.is_empty()) {
        (None, false) => {
            let help = "add `tls = { cert = \"ns1.pem\", key = \"ns1.key\" }`, or `tls = \"self-signed\"`";
            faults.add_with_help(None, "dns: dot is without certificates", help);
        }
        (Some(_), true) => {
            faults.add_with_help(None, "dns: tls is for nobody", "add `dot = \"127.0.0.1:853\"`");
        }
        _ => {}
    }
    let Some(certificates) = &config.tls else { return };
    tls::check_server(certificates, "dns", &notation::Name::new("dns"), faults);
    if certificates.0.auto == Some(tls::Automatic::Acme) {
        let help = "a listener of DNS answers no challenges: use \"self-signed\" or files";
        faults.add_with_help(None, "dns: no certificate comes by ACME here", help);
    }
}

fn check_zone(name: &notation::Name, zone: &ZoneConfig, faults: &mut Faults) {
    if zone.file.is_none() && zone.records.is_empty() && zone.secondary.is_none() {
        let help = format!("add `file = \"{name}.zone\"`, or `records = [\"@ SOA …\", …]`");
        faults.add_with_help(name.span(), format!("zone {name} has no records"), help);
    }
    for fault in zone.sign.config().iter().flat_map(crate::dnssec::SignConfig::faults) {
        faults.add(name.span(), format!("zone {name}: sign: {fault}"));
    }
    let ttl = zone.ttl.get();
    if ttl.subsec_nanos() != 0 || ttl > Duration::from_secs(TTL_SECONDS_MAX) {
        let message = format!("zone {name}: ttl is {}, of whole seconds up to {TTL_SECONDS_MAX}", zone.ttl);
        faults.add(name.span(), message);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    /// What a check has to say about a table that is written so.
    pub(crate) fn told<Table: DeserializeOwned>(
        text: &str,
        check: impl FnOnce(&Table, &mut Faults),
    ) -> Vec<String> {
        let mut faults = Faults::default();
        check(&toml::from_str(text).expect("the test's text is a table"), &mut faults);
        faults.into_vec().into_iter().map(|fault| fault.message).collect()
    }

    fn faults_of(text: &str) -> Vec<String> {
        told(text, check)
    }

    #[test]
    fn what_is_missing_or_zero_is_said() {
        assert_eq!(faults_of("listen = '127.0.0.1:53'"), [""; 0]);
        assert_eq!(
            faults_of("limit = { connections = 0, connections_per_client = 0 }\ntimeout = { idle = '0s' }"),
            [
                "dns listens nowhere",
                "dns: limit.connections is zero: nothing would ever be answered",
                "dns: limit.connections_per_client is zero: nothing would ever be answered",
                "dns: timeout.idle is zero: nothing would ever be answered",
            ]
        );
        let long = "x".repeat(256);
        let said = faults_of(&format!("listen = '127.0.0.1:53'\nidentity = '{long}'"));
        assert_eq!(said, ["dns: identity has 256 bytes, of 1 to 255"]);
    }

    #[test]
    fn a_listener_of_tls_has_certificates_that_come_from_somewhere() {
        assert_eq!(faults_of("dot = '127.0.0.1:853'\ntls = 'self-signed'"), [""; 0]);
        assert_eq!(faults_of("dot = '127.0.0.1:853'"), ["dns: dot is without certificates"]);
        assert_eq!(faults_of("listen = '127.0.0.1:53'\ntls = 'self-signed'"), ["dns: tls is for nobody"]);
        assert_eq!(
            faults_of("dot = '127.0.0.1:853'\ntls = 'acme'"),
            ["dns: no certificate comes by ACME here"]
        );
        let said = faults_of("dot = '127.0.0.1:853'\ntls = { cert = 'a.pem' }");
        assert_eq!(said, ["dns: `tls.cert` is without its `key`"]);
    }

    #[test]
    fn a_zone_has_a_name_of_its_own_and_records() {
        let of = |more: &str| faults_of(&format!("listen = '127.0.0.1:53'\n{more}"));
        assert_eq!(
            of("zone.'a.test' = { file = 'a' }\nzone.'b.test' = { records = ['@ A 192.0.2.1'] }"),
            [""; 0]
        );
        assert_eq!(of("zone.'a.test' = {}"), ["zone a.test has no records"]);
        assert_eq!(
            of("zone.'A.test.' = { file = 'a' }\nzone.'a.test' = { file = 'a' }"),
            ["zone a.test is the same as zone A.test."]
        );
        assert_eq!(of("zone.'a..b' = { file = 'a' }").len(), 1);
        assert_eq!(
            of("zone.'a.test' = { file = 'a', ttl = '1500ms' }"),
            ["zone a.test: ttl is 1s500ms, of whole seconds up to 2147483647"]
        );
    }
}
