//! `"2s"`: a length of time.

use crate::text::{Malformed, number_and_unit, times, written_as_text};
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

/// A hundred years: past every wish, and within every timer's range.
const NANOS_MAX: u64 = 36_500 * 86_400 * 1_000_000_000;

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
        let malformed =
            || Malformed { found: text.into(), wanted: "a duration", example: "\"2s\" or \"250ms\"" };
        if text == "0" {
            return Ok(Self::default());
        }
        let (mut rest, mut total, mut unit_before) = (text, 0u64, u64::MAX);
        while !rest.is_empty() {
            let (number, after) = number_and_unit(rest).ok_or_else(malformed)?;
            let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, next) = after.split_at(unit_len);
            let &(_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
            // "1m1h" or "1s1s" is more likely a slip than a wish.
            if nanos >= unit_before {
                return Err(malformed());
            }
            let part = times(number, nanos).ok_or_else(malformed)?;
            total = total.checked_add(part).ok_or_else(malformed)?;
            (unit_before, rest) = (nanos, next);
        }
        if unit_before == u64::MAX || total > NANOS_MAX {
            return Err(malformed());
        }
        Ok(Self(std::time::Duration::from_nanos(total)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> Option<u128> {
        text.parse::<Duration>().ok().map(|duration| duration.get().as_nanos())
    }

    #[test]
    fn lengths_of_time_are_read() {
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("2s", 2_000_000_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1d2h3m4s5ms6us7ns", 93_784_005_006_007),
            ("36500d", 3_153_600_000_000_000_000),
        ] {
            assert_eq!(nanos(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_and_shown() {
        for text in [
            "",
            "s",
            "2",
            "00",
            "-2s",
            "+2s",
            "2 s",
            " 2s",
            "2s ",
            "2S",
            "2sec",
            "1e3s",
            "1.s",
            ".5s",
            "1..5s",
            "1,5s",
            "1s1s",
            "1m1h",
            "1s500",
            "0.5ns",
            "36501d",
            "99999999999999999999s",
            "2s\n",
            "２s",
        ] {
            let error = text.parse::<Duration>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{text:?} is not a duration, for example \"2s\" or \"250ms\"")
            );
        }
    }

    #[test]
    fn it_prints_the_largest_units_first() {
        for (duration, text) in [
            (Duration::default(), "0s"),
            (Duration::secs(90), "1m30s"),
            (Duration::millis(1500), "1s500ms"),
            (Duration::secs(86_400), "1d"),
        ] {
            assert_eq!(duration.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos in 0..=NANOS_MAX) {
            let duration = Duration(std::time::Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn what_the_schema_allows_is_read_but_for_order_and_range(
            text in "(0|[0-9]{1,4}(\\.[0-9]{1,3})?(d|h|m|s|ms|us))",
        ) {
            prop_assert!(text.parse::<Duration>().is_ok());
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.dhmsun]{0,30}|\\PC*") {
            let _ = text.parse::<Duration>();
        }
    }
}
