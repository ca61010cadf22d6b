//! Names that are nobody's in the world: answered here, so that nobody elsewhere is asked for them (RFC 6761, RFC 6303, RFC 7686,
//! RFC 7793).

use crate::zone::{Loaded, ZoneBuilder};
use crate::zones::Zones;
use std::sync::{Arc, LazyLock};

/// Zones without names (RFC 6303 §3). Those of RFC 1918 that are in use are written as zones, which come first.
const EMPTY: [&str; 33] = [
    "invalid",
    "onion",
    "0.in-addr.arpa",
    "10.in-addr.arpa",
    "16.172.in-addr.arpa",
    "17.172.in-addr.arpa",
    "18.172.in-addr.arpa",
    "19.172.in-addr.arpa",
    "20.172.in-addr.arpa",
    "21.172.in-addr.arpa",
    "22.172.in-addr.arpa",
    "23.172.in-addr.arpa",
    "24.172.in-addr.arpa",
    "25.172.in-addr.arpa",
    "26.172.in-addr.arpa",
    "27.172.in-addr.arpa",
    "28.172.in-addr.arpa",
    "29.172.in-addr.arpa",
    "30.172.in-addr.arpa",
    "31.172.in-addr.arpa",
    "168.192.in-addr.arpa",
    "254.169.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    "d.f.ip6.arpa",
    "8.e.f.ip6.arpa",
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",
];

/// RFC 6303 §3: what an empty zone has.
const APEX: [&str; 3] = ["$TTL 10800", "@ SOA @ nobody.invalid. 1 3600 1200 604800 10800", "@ NS @"];

static ZONES: LazyLock<Zones> = LazyLock::new(|| {
    let mut zones: Vec<(String, &[&str])> = EMPTY.iter().map(|name| ((*name).to_owned(), &[][..])).collect();
    // RFC 7793: addresses that providers share.
    zones.extend((64..128).map(|octet| (format!("{octet}.100.in-addr.arpa"), &[][..])));
    // RFC 6761 §6.3: every name there is this machine.
    let addresses: &[&str] = &["@ A 127.0.0.1", "@ AAAA ::1", "* A 127.0.0.1", "* AAAA ::1"];
    zones.push(("localhost".into(), addresses));
    zones.push(("127.in-addr.arpa".into(), &["1.0.0 PTR localhost."]));
    let loopback = format!("1.{}ip6.arpa", "0.".repeat(31));
    zones.push((loopback, &["@ PTR localhost."]));
    Zones::new(zones.into_iter().map(|(name, records)| {
        let mut builder = ZoneBuilder::new(name.parse().expect("a name of ours"));
        builder.lines("special names", APEX.iter().chain(records).copied());
        let Loaded { zone, .. } = builder.finish().expect("a zone of ours");
        Arc::new(zone)
    }))
});

/// The zones of names that are nobody's.
pub(super) fn zones() -> &'static Zones {
    &ZONES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_reserved_names_are_in_them_and_others_are_not() {
        for name in [
            "localhost",
            "a.localhost",
            "x.invalid",
            "3.2.1.10.in-addr.arpa",
            "1.0.168.192.in-addr.arpa",
            "1.0.100.100.in-addr.arpa",
            "1.0.0.127.in-addr.arpa",
            "1.0.0.d.f.ip6.arpa",
        ] {
            assert!(zones().find(&name.parse().unwrap()).is_some(), "{name}");
        }
        for name in
            ["example", "test", "home.arpa", "1.1.1.1.in-addr.arpa", "1.0.32.172.in-addr.arpa", "arpa"]
        {
            assert!(zones().find(&name.parse().unwrap()).is_none(), "{name}");
        }
    }
}
