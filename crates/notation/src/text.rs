//! What the types written as text share: one error, and serde and JSON Schema over `FromStr`.

use thiserror::Error;

/// A value that is not written the way its type wants it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is not {wanted}, for example {example}")]
pub struct Malformed {
    /// The text as it stood in the file.
    pub found: String,
    /// What was wanted, with its article: "a duration".
    pub wanted: &'static str,
    /// A well-formed value, as it would stand in the file.
    pub example: &'static str,
}

/// The `format` names that this crate's types carry in the JSON Schema.
pub const FORMATS: [&str; 4] = ["nines-duration", "nines-size", "nines-rate", "nines-percent"];

/// Checks `text` against the type behind a JSON Schema `format` of ours; `None` for a foreign format.
pub fn check_format(format: &str, text: &str) -> Option<Result<(), Malformed>> {
    Some(match format {
        "nines-duration" => text.parse::<crate::Duration>().map(|_| ()),
        "nines-size" => text.parse::<crate::Size>().map(|_| ()),
        "nines-rate" => text.parse::<crate::Rate>().map(|_| ()),
        "nines-percent" => text.parse::<crate::Percent>().map(|_| ()),
        _ => return None,
    })
}

/// Splits `"250ms"` into the number and the unit; the number has no sign, and digits on both sides of a point.
pub(crate) fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = !whole.is_empty() && !fraction.is_empty() && !fraction.contains('.');
    is_number.then_some((number, unit))
}

/// `number · scale`, if that is whole and fits: floats would be a nanosecond off after a hundred days.
pub(crate) fn times(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let divisor = 10u128.checked_pow(fraction.len().try_into().ok()?)?;
    let mut digits = 0u128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        digits = digits.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
    }
    let product = digits.checked_mul(scale.into())?;
    if product.is_multiple_of(divisor) { u64::try_from(product / divisor).ok() } else { None }
}

/// Serde and JSON Schema for a type that is written as text.
macro_rules! written_as_text {
    ($type:ident, $format:literal, $pattern:literal, $description:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": $format,
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}
pub(crate) use written_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_digits_on_both_sides_of_its_point() {
        assert_eq!(number_and_unit("250ms"), Some(("250", "ms")));
        assert_eq!(number_and_unit("1.50"), Some(("1.50", "")));
        for bad in ["", "ms", ".5s", "1.s", "1..2s", "1.2.3s", "-1s", "+1s", " 1s", "٣s"] {
            assert_eq!(number_and_unit(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn products_are_exact_or_nothing() {
        assert_eq!(times("1.5", 1000), Some(1500));
        assert_eq!(times("0.001", 1000), Some(1));
        assert_eq!(times("0.0010", 1000), Some(1));
        assert_eq!(times("0.0001", 1000), None);
        assert_eq!(times("18446744073709551615", 1), Some(u64::MAX));
        assert_eq!(times("18446744073709551616", 1), None);
        assert_eq!(times(&"9".repeat(50), 1), None);
        assert_eq!(times(&format!("0.{}1", "0".repeat(50)), 1), None);
        assert_eq!(times(&format!("1.{}", "0".repeat(50)), 7), Some(7));
    }

    #[test]
    fn only_our_formats_are_checked() {
        for (format, good) in FORMATS.iter().zip(["2s", "2MiB", "2/s", "2%"]) {
            assert_eq!(check_format(format, good), Some(Ok(())));
            assert!(matches!(check_format(format, "two"), Some(Err(_))));
        }
        assert_eq!(check_format("date-time", "two"), None);
    }
}
