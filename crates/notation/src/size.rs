//! `"64MiB"`: a number of bytes.

use crate::text::{Malformed, number_and_unit, times, written_as_text};
use std::fmt;
use std::str::FromStr;

/// A number of bytes: `"512"`, `"16KiB"`, `"1.5GiB"`, `"10MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Eight pebibytes: no buffer, and every JSON reader still holds it exactly.
const BYTES_MAX: u64 = 1 << 53;

impl Size {
    /// A size in bytes, for defaults.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes, capped at what this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed { found: text.into(), wanted: "a size", example: "\"64MiB\" or \"16KiB\"" };
        let (number, unit) = number_and_unit(text).ok_or_else(malformed)?;
        let scale = match unit.strip_prefix(' ').unwrap_or(unit) {
            "" if unit.is_empty() => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(malformed)?.1,
        };
        times(number, scale).filter(|bytes| *bytes <= BYTES_MAX).map(Self).ok_or_else(malformed)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in &UNITS[..4] {
            if self.0 >= *size && self.0.is_multiple_of(*size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

written_as_text!(
    Size,
    "nines-size",
    "^[0-9]+(\\.[0-9]+)?( ?([TtGgMmKk][iI]?)?[bB])?$",
    "a number of bytes: \"512\", \"16KiB\", \"64MiB\", \"10MB\""
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("16KiB", 16_384),
            ("16kib", 16_384),
            ("1.5GiB", 1_610_612_736),
            ("10MB", 10_000_000),
            ("10 kB", 10_000),
            ("0.5KiB", 512),
            ("8192TiB", 1 << 53),
        ] {
            assert_eq!(text.parse(), Ok(Size::bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_and_shown() {
        for text in [
            "",
            "B",
            "-1B",
            "1K",
            "1 ",
            "1  KiB",
            " 1KiB",
            "1KiB ",
            "1.KiB",
            "1.1B",
            "0.3KiB",
            "1Kib/s",
            "1iB",
            "8193TiB",
            "99999999999999999999",
            "1e3",
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{text:?} is not a size, for example \"64MiB\" or \"16KiB\"")
            );
        }
    }

    #[test]
    fn it_prints_the_largest_binary_unit_that_divides_it() {
        for (bytes, text) in
            [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (3 << 29, "1536MiB"), (1 << 50, "1024TiB")]
        {
            assert_eq!(Size::bytes(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes in 0..=BYTES_MAX, shift in 0..53u32) {
            let size = Size(bytes >> shift << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn what_the_schema_allows_is_read_but_for_range(text in "[0-9]{1,5}(\\.5)?( ?[TtGgMmKk][iI]?[bB])") {
            prop_assert!(text.parse::<Size>().is_ok_and(|size| size.get() <= BYTES_MAX) || text.contains(['T', 't']));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.]{0,40} ?[A-Za-z]{0,4}|\\PC*") {
            let _ = text.parse::<Size>();
        }
    }
}
