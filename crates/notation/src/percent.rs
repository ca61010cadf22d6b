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
        let (number, unit) = number_and_unit(text).ok_or_else(malformed)?;
        match number.parse() {
            Ok(percent) if unit == "%" && percent <= 100.0 => Ok(Self(percent)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_read() {
        for (text, ratio) in [("0%", 0.0), ("20%", 0.2), ("12.5%", 0.125), ("100%", 1.0), ("100.0%", 1.0)] {
            assert_eq!(text.parse::<Percent>().unwrap().ratio(), ratio, "{text}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused_and_shown() {
        for text in
            ["", "%", "20", "0.2", "-1%", "101%", "100.1%", "20 %", " 20%", "20%%", "1e1%", "inf%", "NaN%"]
        {
            let error = text.parse::<Percent>().unwrap_err();
            assert_eq!(error.to_string(), format!("{text:?} is not a percentage, for example \"20%\""));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(percent in 0.0..=100.0f64) {
            prop_assert_eq!(Percent::of(percent).to_string().parse(), Ok(Percent::of(percent)));
        }
    }
}
