//! `"64MiB"`: a number of bytes.

use crate::text::{Malformed, number_and_unit, written_as_text};
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
        let malformed = || Malformed { found: text.into(), wanted: "a size", example: "\"64MiB\" or \"16KiB\"" };
        let (number, unit) = number_and_unit(text.trim()).ok_or_else(malformed)?;
        let unit = unit.trim_start();
        let scale = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(malformed)?.1,
        };
        let bytes = number * scale as f64;
        // Above 2^53 a f64 no longer holds every whole number, and eight petabytes is no buffer.
        if bytes > (1u64 << 53) as f64 || bytes.fract() != 0.0 {
            return Err(malformed());
        }
        Ok(Self(bytes as u64))
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
    "^[0-9]+(\\.[0-9]+)? ?([TtGgMmKk][iI]?[bB]|[bB])?$",
    "a number of bytes: \"512\", \"16KiB\", \"64MiB\", \"10MB\""
);
