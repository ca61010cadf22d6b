//! `"2s"`: a length of time.

use crate::text::{Malformed, number_and_unit, written_as_text};
use std::fmt;
use std::str::FromStr;

/// A length of time in whole nanoseconds, written with units, largest first: `"1h30m"`, `"250ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Duration {
    /// A duration of whole seconds, for defaults.
    pub const fn secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// A duration of whole milliseconds, for defaults.
    pub const fn millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// The standard library's value.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed { found: text.into(), wanted: "a duration", example: "\"2s\" or \"250ms\"" };
        let mut rest = text.trim();
        let (mut total, mut unit_before) = (0f64, u64::MAX);
        if rest == "0" {
            return Ok(Self::default());
        }
        while !rest.is_empty() {
            let (number, after) = number_and_unit(rest).ok_or_else(malformed)?;
            let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, next) = after.split_at(unit_len);
            let &(_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
            // "1m1h" or "1s1s" is more likely a slip than a wish.
            if nanos >= unit_before {
                return Err(malformed());
            }
            total += number * nanos as f64;
            (unit_before, rest) = (nanos, next);
        }
        // Ten thousand years is past every timer's range; f64 is exact enough far below that.
        if unit_before == u64::MAX || total > 86_400e9 * 36_500.0 {
            return Err(malformed());
        }
        Ok(Self(std::time::Duration::from_nanos(total.round() as u64)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            let whole = nanos / u128::from(size);
            if whole > 0 {
                write!(f, "{whole}{unit}")?;
                nanos %= u128::from(size);
            }
        }
        Ok(())
    }
}

written_as_text!(
    Duration,
    "nines-duration",
    "^(0|([0-9]+(\\.[0-9]+)?(d|h|ms|m|s|us|ns))+)$",
    "a length of time: \"250ms\", \"2s\", \"1m30s\", \"1d\""
);
