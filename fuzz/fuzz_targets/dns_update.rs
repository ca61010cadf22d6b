//! Any bytes are an update of a small zone or have an RCODE, and what they make is a zone that keeps its SOA and its servers.
#![no_main]

use dns::{Rtype, Zone, ZoneBuilder, judge_update};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let mut builder = ZoneBuilder::new("a".parse().expect("a name"));
    let lines =
        b"$TTL 60\n@ SOA ns a 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nb TXT x\nc CNAME b\n*.d MX 1 ns\ns NS ns\n";
    builder.text("zone", lines);
    builder.finish().expect("a good zone").zone
});

fuzz_target!(|message: &[u8]| {
    match judge_update(&ZONE, message) {
        Ok(Some(zone)) => {
            assert_ne!(zone.figures().serial, 1);
            let apex: Vec<_> = zone.records().filter(|record| *record.owner == *b"\x01a\0").collect();
            assert_eq!(apex.iter().filter(|record| record.rtype == Rtype::SOA).count(), 1);
            assert!(apex.iter().any(|record| record.rtype == Rtype::NS));
        }
        Ok(None) => {}
        Err(rcode) => assert!((1..=10).contains(&rcode)),
    }
});
