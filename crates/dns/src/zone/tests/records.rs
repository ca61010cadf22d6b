//! A zone comes apart into records, and together again.

use super::{ZoneBuilder, built};
use crate::protocol::Name;
use crate::zone::{Record, Zone};
use domain::base::iana::Rtype;

fn zone(text: &str) -> Zone {
    built("example.org", text).unwrap_or_else(|error| panic!("{error}")).zone
}

fn again(zone: &Zone) -> Zone {
    let mut builder = ZoneBuilder::new(zone.apex().clone());
    builder.source("records");
    for record in zone.records() {
        let owner = Name::from_wire(&record.owner).expect("it is well-formed");
        builder.record(&owner, record.rtype, record.ttl, &record.data);
    }
    let loaded = builder.finish().expect("it is well-formed");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.zone
}

/// Every way in which names are compressed.
const TEXT: &str = "$TTL 60
@ SOA ns1.Example.ORG. Admin.mail 1 2 3 4 5
@ NS ns1
@ NS ns2.elsewhere.test.
@ NS ns3.elsewhere.test.
@ NS elsewhere.test.
@ NS .
ns1 A 192.0.2.1
ns1 A 192.0.2.2
@ MX 10 a.mail.test.
@ MX 20 b.a.mail.test.
@ MX 30 b.a.mail.test.
@ MX 40 x
_s._tcp SRV 1 2 3 host.far.test.
*.wild TXT \"a\" \"b\"
deep.er.and.deep.er AAAA 2001:db8::1
out DNAME elsewhere.test.
b.test.txt HTTPS 1 . alpn=h2
unknown TYPE65280 \\# 3 010203
";

#[test]
fn names_in_data_are_whole_whatever_they_were_compressed_to() {
    let zone = zone(TEXT);
    let data = |owner: &str, rtype: Rtype| -> Vec<String> {
        let owner = owner.parse::<Name>().expect("it is well-formed");
        let found =
            zone.records().filter(|record| *record.owner == *owner.as_wire() && record.rtype == rtype);
        let from = if rtype == Rtype::MX { 2 } else { 0 };
        found
            .map(|record| Name::from_wire(&record.data[from..]).expect("it is well-formed").to_string())
            .collect()
    };
    assert_eq!(
        data("example.org", Rtype::NS),
        ["ns1.example.org", "ns2.elsewhere.test", "ns3.elsewhere.test", "elsewhere.test", "."]
    );
    assert_eq!(
        data("example.org", Rtype::MX),
        ["a.mail.test", "b.a.mail.test", "b.a.mail.test", "x.example.org"]
    );
}

#[test]
fn a_zone_made_of_its_records_is_the_same() {
    let zone = zone(TEXT);
    let other = again(&zone);
    let all: Vec<Record> = zone.records().collect();
    assert_eq!(all, other.records().collect::<Vec<_>>());
    assert_eq!(all.len(), zone.figures().records);
    assert_eq!(all[0].rtype, Rtype::NS, "types ascend");
    assert_eq!(Zone::withdrawn(zone.apex().clone()).records().count(), 0);
}

#[test]
fn a_record_that_no_zone_can_have_is_refused() {
    let wrong = |owner: &str, rtype: Rtype, ttl: u32, data: &[u8]| {
        let mut builder = ZoneBuilder::new("example.org".parse().expect("it is well-formed"));
        builder.source("transfer");
        builder.record(&owner.parse().expect("it is well-formed"), rtype, ttl, data);
        builder.finish().expect_err("it is wrong").to_string()
    };
    assert!(wrong("example.com", Rtype::A, 1, &[0; 4]).contains("transfer: example.com is outside the zone"));
    assert!(wrong("example.org", Rtype::A, 1, &[0; 3]).contains("data that is no A"));
    assert!(wrong("example.org", Rtype::MX, 1, &[0, 1, 0xc0, 12]).contains("data that is no MX"));
    assert!(wrong("example.org", Rtype::AXFR, 1, &[]).contains("no type of record"));
    assert!(wrong("example.org", Rtype::A, 1 << 31, &[0; 4]).contains("TTL"));
}
