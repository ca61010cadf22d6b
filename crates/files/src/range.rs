//! `Range` (RFC 9110 §14): which bytes of a representation are asked for.

use std::ops::Range;

/// Ranges in one field. A field with more is ignored (§14.2: "a server MAY ignore").
pub const SPECS_MAX: usize = 64;

/// Parts of one answer, after those that touch are one. More are answered by the whole (§17.15).
pub const PARTS_MAX: usize = 16;

/// Ranges nearer to each other than this are one: the head of a part costs as much.
pub const GAP_BYTES: u64 = 128;

/// What a `Range` field asks for of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// All of it: the field is malformed, of another unit, or asks for too much in too small pieces.
    Whole,
    /// Nothing that is there: 416.
    Unsatisfiable,
    /// These bytes, at least one part and none of them empty; parts neither touch nor overlap.
    Parts(Vec<Range<u64>>),
}

/// Reads a `Range` field against a representation of `size` bytes.
///
/// Parts come in the order in which they were asked for. Where some overlap or nearly touch, they come in the order
/// of the representation (§15.3.7.2). A representation without bytes has no part that `Content-Range` could name:
/// its field is ignored, as clients that put the same `Range` into every request expect.
pub fn ranges(field: &[u8], size: u64) -> Ranges {
    let Some(specs) = specs(field) else { return Ranges::Whole };
    if size == 0 {
        return Ranges::Whole;
    }
    let parts: Vec<Range<u64>> = specs.into_iter().filter_map(|spec| spec.of(size)).collect();
    if parts.is_empty() {
        return Ranges::Unsatisfiable;
    }
    let parts = coalesced(parts);
    if parts.len() > PARTS_MAX { Ranges::Whole } else { Ranges::Parts(parts) }
}

/// The range of a field that has one alone, for whoever does not know the size. `None`: several, or the field is ignored.
pub fn only(field: &[u8]) -> Option<Spec> {
    specs(field)?.try_into().ok().map(|[spec]: [Spec; 1]| spec)
}

/// One range as it is written. Numbers that no size reaches are as good as the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec {
    /// `first-last` or `first-`; the last byte is included.
    From {
        /// The first byte.
        first: u64,
        /// The last; the greatest number: that of the representation.
        last: u64,
    },
    /// `-length`: the last bytes.
    Last {
        /// How many.
        length: u64,
    },
}

impl Spec {
    /// The bytes that are meant, if there are any (§14.1.2).
    fn of(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From { first, last } => first..last.saturating_add(1).min(size),
            Self::Last { length } => size - length.min(size)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// All ranges of a field (§14.1.1, §14.2); `None` if one of them is malformed, since the field is then as a whole.
fn specs(field: &[u8]) -> Option<Vec<Spec>> {
    let equals = field.iter().position(|byte| *byte == b'=')?;
    if !field[..equals].trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    // §5.6.1.2: empty members of a list are let through.
    for member in field[equals + 1..].split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if !member.is_empty() {
            if specs.len() == SPECS_MAX {
                return None;
            }
            specs.push(spec(member)?);
        }
    }
    (!specs.is_empty()).then_some(specs)
}

fn spec(text: &[u8]) -> Option<Spec> {
    let dash = text.iter().position(|byte| *byte == b'-')?;
    match (&text[..dash], &text[dash + 1..]) {
        (b"", length) => Some(Spec::Last { length: number(length)? }),
        (first, b"") => Some(Spec::From { first: number(first)?, last: u64::MAX }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From { first, last })
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

/// The same bytes in parts that are [`GAP_BYTES`] or more apart.
fn coalesced(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_unstable_by_key(|part| (part.start, part.end));
    let touch = |one: &Range<u64>, next: &Range<u64>| next.start < one.end.saturating_add(GAP_BYTES);
    if !sorted.windows(2).any(|pair| touch(&pair[0], &pair[1])) {
        return parts;
    }
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for part in sorted {
        match merged.last_mut() {
            Some(last) if touch(last, &part) => last.end = last.end.max(part.end),
            _ => merged.push(part),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(field: &str, size: u64) -> Vec<(u64, u64)> {
        match ranges(field.as_bytes(), size) {
            Ranges::Parts(parts) => parts.into_iter().map(|part| (part.start, part.end)).collect(),
            other => panic!("{field} of {size}: {other:?}"),
        }
    }

    #[test]
    fn one_range_is_taken_from_either_end() {
        for (field, expected) in [
            ("bytes=0-0", (0, 1)),
            ("bytes=0-499", (0, 500)),
            ("bytes=500-999", (500, 1000)),
            ("bytes=9500-", (9500, 10_000)),
            ("bytes=-500", (9500, 10_000)),
            ("bytes=-20000", (0, 10_000)),
            ("bytes=9999-10000", (9999, 10_000)),
            ("bytes=0-99999999999999999999999999", (0, 10_000)),
            ("bytes=-99999999999999999999999999", (0, 10_000)),
            ("bytes=0-18446744073709551615", (0, 10_000)),
            ("BYTES=00001-0002", (1, 3)),
            ("bytes = , 5-6 ,,", (5, 7)),
        ] {
            assert_eq!(parts(field, 10_000), [expected], "{field}");
        }
    }

    #[test]
    fn what_is_malformed_or_of_another_unit_is_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=0-1,2-1",
            "bytes=0-1;2-3",
            "bytes=--1",
            "bytes=0--1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=0x1-2",
            "lines=0-1",
            "bytes 0-1",
            "bytes=0-1, bytes=2-3",
        ] {
            assert_eq!(ranges(field.as_bytes(), 10_000), Ranges::Whole, "{field}");
        }
    }

    #[test]
    fn ranges_that_are_not_there_are_unsatisfiable_unless_one_is() {
        for field in
            ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=100-,-0", "bytes=99999999999999999999999-"]
        {
            assert_eq!(ranges(field.as_bytes(), 100), Ranges::Unsatisfiable, "{field}");
        }
        assert_eq!(parts("bytes=100-,1-2,-0", 100), [(1, 3)]);
    }

    #[test]
    fn of_nothing_no_range_is_taken() {
        for field in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            assert_eq!(ranges(field.as_bytes(), 0), Ranges::Whole, "{field}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_unless_they_touch() {
        assert_eq!(parts("bytes=5000-5001,0-0,-1", 10_000), [(5000, 5002), (0, 1), (9999, 10_000)]);
        assert_eq!(parts("bytes=5000-5001,0-10,5-20", 10_000), [(0, 21), (5000, 5002)]);
        assert_eq!(parts("bytes=0-1,1-2,2-3", 10_000), [(0, 4)]);
        assert_eq!(parts("bytes=0-9,137-140", 10_000), [(0, 141)], "a gap below the cost of a part");
        assert_eq!(parts("bytes=0-9,138-140", 10_000), [(0, 10), (138, 141)]);
        assert_eq!(parts("bytes=0-,0-,0-,0-", 10_000), [(0, 10_000)]);
    }

    #[test]
    fn too_many_ranges_are_answered_by_the_whole() {
        let field = |count: u64| {
            let specs: Vec<String> = (0..count).rev().map(|at| format!("{0}-{0}", at * 1000)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert_eq!(parts(&field(PARTS_MAX as u64), 1 << 20).len(), PARTS_MAX);
        assert_eq!(ranges(field(PARTS_MAX as u64 + 1).as_bytes(), 1 << 20), Ranges::Whole);
        let near: Vec<String> = (0..SPECS_MAX).map(|at| format!("{at}-{at}")).collect();
        assert_eq!(parts(&format!("bytes={}", near.join(",")), 1 << 20), [(0, SPECS_MAX as u64)]);
        assert_eq!(ranges(format!("bytes={},70-70", near.join(",")).as_bytes(), 1 << 20), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn parts_hold_every_byte_that_was_asked_for(
            asked in prop::collection::vec((0u64..3000, 0u64..400), 1..SPECS_MAX),
            size in 1u64..3000,
        ) {
            let specs: Vec<String> = asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let field = format!("bytes={}", specs.join(","));
            let is_asked = |byte: u64| asked.iter().any(|(first, more)| (*first..=first + more).contains(&byte));
            match ranges(field.as_bytes(), size) {
                Ranges::Whole => prop_assert!(asked.len() > PARTS_MAX),
                Ranges::Unsatisfiable => prop_assert!(asked.iter().all(|(first, _)| *first >= size)),
                Ranges::Parts(parts) => {
                    prop_assert!(!parts.is_empty() && parts.len() <= PARTS_MAX);
                    for byte in 0..size {
                        let holding = parts.iter().filter(|part| part.contains(&byte)).count();
                        prop_assert!(holding <= 1, "byte {} is in two parts", byte);
                        prop_assert!(holding == 1 || !is_asked(byte), "byte {} is missing", byte);
                    }
                    for part in &parts {
                        prop_assert!(part.start < part.end && part.end <= size);
                        prop_assert!(is_asked(part.start) && is_asked(part.end - 1));
                    }
                }
            }
        }

        #[test]
        fn no_field_makes_it_panic(field in prop::collection::vec(any::<u8>(), 0..60), size in any::<u64>()) {
            ranges(&field, size);
        }
    }
}
