//! Any text is a zone or a list of faults; a zone answers with what it says it has.
#![no_main]

use dns::{Facts, Kind, Limits, Query, Transport, ZoneBuilder, Zones, answer};
use domain::base::Message;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// SOA, NS, A, CNAME, TXT, DNAME, ANY.
const TYPES: [u8; 7] = [6, 2, 1, 5, 16, 39, 255];
const NAMES: [&[u8]; 6] = [b"", b"\x01a", b"\x01*", b"\x01b\x01a", b"\x03www", b"\x02ns\x01a"];

fuzz_target!(|text: &[u8]| {
    let limits = Limits { generated_max: 16, records_max: 1000, ..Limits::default() };
    let mut builder = ZoneBuilder::new("a".parse().expect("a name")).with_limits(limits);
    builder.text("zone", text);
    let loaded = match builder.finish() {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(error.to_string().contains("zone"), "{error}");
            return;
        }
    };
    assert!(loaded.zone.figures().records >= 2);
    let zones = Zones::new([Arc::new(loaded.zone)]);
    let mut out = Vec::new();
    for name in NAMES {
        for rtype in TYPES {
            let mut message = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
            message.extend_from_slice(name);
            message.extend_from_slice(&[1, b'a', 0, 0, rtype, 0, 1]);
            let query = Query::parse(&message).expect("a query");
            let outcome = answer(&zones, &query, &Facts::of_transport(Transport::Tcp), &mut out);
            assert!(outcome.kind != Kind::Error);
            if name.is_empty() && matches!(rtype, 2 | 6) && !outcome.truncated {
                assert_eq!(outcome.kind, Kind::Positive);
            }
            let parsed = Message::from_octets(&out[..]).expect("a header");
            let (_, answer, authority, additional) = parsed.sections().expect("whole sections");
            for section in [answer, authority, additional] {
                assert!(section.into_iter().all(|record| record.is_ok()));
            }
        }
    }
});
