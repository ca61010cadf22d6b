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

/// Splits `"250ms"` into the number and the unit; the number has no sign and at most one point.
pub(crate) fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    Some((number.parse().ok()?, unit))
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
