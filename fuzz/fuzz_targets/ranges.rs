//! A `Range` field gives parts that are there, apart from each other, few, and hold what one part of the field asked
//! for; written as a field they give themselves.
#![no_main]

use files::range::{GAP_BYTES, PARTS_MAX, Ranges, ranges};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (size, field) = input;
    let Ranges::Parts(parts) = ranges(field, size) else { return };
    assert!(!parts.is_empty() && parts.len() <= PARTS_MAX);
    let mut sorted = parts.clone();
    sorted.sort_by_key(|part| part.start);
    for part in &sorted {
        assert!(part.start < part.end && part.end <= size, "{part:?} of {size}");
    }
    for pair in sorted.windows(2) {
        assert!(pair[1].start >= pair[0].end.saturating_add(GAP_BYTES), "{pair:?} touch");
    }
    check_members(field, size, &parts);
    let specs: Vec<String> = parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
    let again = ranges(format!("bytes={}", specs.join(",")).as_bytes(), size);
    assert_eq!(again, Ranges::Parts(parts));
});

/// Each member alone lies within one part.
fn check_members(field: &[u8], size: u64, parts: &[std::ops::Range<u64>]) {
    let equals = field.iter().position(|byte| *byte == b'=').expect("a field that was understood");
    for member in field[equals + 1..].split(|byte| *byte == b',') {
        if let Ranges::Parts(alone) = ranges(&[b"bytes=", member].concat(), size) {
            assert_eq!(alone.len(), 1);
            let within =
                |part: &std::ops::Range<u64>| part.start <= alone[0].start && alone[0].end <= part.end;
            assert!(parts.iter().any(within), "{alone:?} is in none of {parts:?}");
        }
    }
}
