//! `"20%"`: a share.

use crate::text::{Malformed, number_and_unit, written_as_text};
use std::fmt;
use std::str::FromStr;

/// A share between `"0%"` and `"100%"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Percent(f64);

impl Percent {
    /// A share given in percent, for defaults.
    pub const fn of(percent: f64) -> Self {
        Self(percent)
    }

    /// The share as a ratio between 0 and 1.
    pub fn ratio(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed { found: text.into(), wanted: "a percentage", example: "\"20%\"" };
        match number_and_unit(text.trim()) {
            Some((percent, "%")) if percent <= 100.0 => Ok(Self(percent)),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

written_as_text!(Percent, "nines-percent", "^[0-9]+(\\.[0-9]+)?%$", "a share: \"20%\"");
