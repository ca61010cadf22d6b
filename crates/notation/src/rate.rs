//! `"50/s"`: how often.

use crate::text::{Malformed, number_and_unit, written_as_text};
use std::fmt;
use std::str::FromStr;

/// Events per second, above zero, written per second, minute, hour or day: `"50/s"`, `"10/m"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate {
    count: f64,
    unit: &'static str,
}

const UNITS: [(&str, f64); 4] = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

impl Rate {
    /// A rate a second, for defaults.
    pub const fn per_second_of(count: f64) -> Self {
        Self { count, unit: "s" }
    }

    /// Events per second.
    pub fn per_second(self) -> f64 {
        let seconds = UNITS.iter().find(|(name, _)| *name == self.unit).map_or(1.0, |(_, seconds)| *seconds);
        self.count / seconds
    }
}

impl FromStr for Rate {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed { found: text.into(), wanted: "a rate", example: "\"50/s\" or \"10/m\"" };
        let (count, unit) = number_and_unit(text).ok_or_else(malformed)?;
        let count: f64 = count.parse().map_err(|_| malformed())?;
        let unit = unit.strip_prefix('/').ok_or_else(malformed)?;
        let &(unit, _) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        if count <= 0.0 || !count.is_finite() {
            return Err(malformed());
        }
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

written_as_text!(
    Rate,
    "nines-rate",
    "^[0-9]+(\\.[0-9]+)?/[smhd]$",
    "how often: \"50/s\", \"10/m\", \"1000/h\""
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read() {
        for (text, per_second) in
            [("50/s", 50.0), ("30/m", 0.5), ("1800/h", 0.5), ("43200/d", 0.5), ("0.5/s", 0.5)]
        {
            assert_eq!(text.parse::<Rate>().unwrap().per_second(), per_second, "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_and_shown() {
        let endless = format!("{}/s", "9".repeat(400));
        for text in [
            "", "50", "/s", "50/", "50/x", "50 /s", "50/ s", "50s", "-1/s", "0/s", "0.0/m", "1/s/s", &endless,
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{text:?} is not a rate, for example \"50/s\" or \"10/m\"")
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(count in 1e-6..1e15f64, unit in 0..UNITS.len()) {
            let rate = Rate { count, unit: UNITS[unit].0 };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}
