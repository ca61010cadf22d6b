//! Any messages are a transfer of a zone or are refused; what is taken is a zone.
#![no_main]

use dns::{Zone, ZoneBuilder, judge_transfer};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let mut builder = ZoneBuilder::new("a".parse().expect("a name"));
    builder.text("zone", b"$TTL 60\n@ SOA ns a 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nb TXT x\n");
    builder.finish().expect("a good zone").zone
});

// Lengths of two octets stand before each message, as on a stream.
fuzz_target!(|input: &[u8]| {
    let mut messages = Vec::new();
    let mut rest = input;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let Some((message, after)) = after.split_at_checked(u16::from_be_bytes(*length).into()) else {
            break;
        };
        messages.push(message);
        rest = after;
    }
    for is_whole in [true, false] {
        if let Some(zone) = judge_transfer(&ZONE, is_whole, &messages) {
            assert!(zone.figures().records >= 2 && zone.apex() == ZONE.apex());
        }
    }
});
