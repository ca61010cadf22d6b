//! The kinds of a value, in the file's words and in the schema's.

use serde_json::Value;
use toml::de::DeValue;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
    Date,
    Array,
    Table,
}

impl Kind {
    pub(super) fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(_) => Self::Text,
            DeValue::Integer(_) => Self::Integer,
            DeValue::Float(_) => Self::Float,
            DeValue::Boolean(_) => Self::Boolean,
            DeValue::Datetime(_) => Self::Date,
            DeValue::Array(_) => Self::Array,
            DeValue::Table(_) => Self::Table,
        }
    }

    /// Whether a schema without branches takes values of this kind.
    pub(super) fn fits(self, leaf: &Value) -> bool {
        let fits = |name: &str| match self {
            Self::Text => name == "string",
            Self::Integer => name == "integer" || name == "number",
            Self::Float => name == "number",
            Self::Boolean => name == "boolean",
            Self::Date => false,
            Self::Array => name == "array",
            Self::Table => name == "object",
        };
        match leaf.get("type") {
            Some(Value::String(name)) => fits(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(fits),
            // `const` and `enum` of our types are always strings; a schema with neither takes anything.
            _ if leaf.get("const").is_some() || leaf.get("enum").is_some() => self == Self::Text,
            _ => true,
        }
    }

    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Integer => "an integer",
            Self::Float => "a float",
            Self::Boolean => "a boolean",
            Self::Date => "a date",
            Self::Array => "an array",
            Self::Table => "a table",
        }
    }
}

/// What the schemas take, in the file's words: "a duration", "a string or a table".
pub(super) fn expected(leaves: &[&Value]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for leaf in leaves {
        let described = described(leaf);
        if !kinds.contains(&described) {
            kinds.push(described);
        }
    }
    match kinds.as_slice() {
        [] => "nothing".into(),
        [only] => (*only).into(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn described(leaf: &Value) -> &'static str {
    match leaf.get("format").and_then(Value::as_str) {
        Some("nines-duration") => return "a duration",
        Some("nines-size") => return "a size",
        Some("nines-rate") => return "a rate",
        Some("nines-percent") => return "a percentage",
        Some(crate::schema::SOCKET_ADDRESS) => return "an address",
        _ => {}
    }
    match leaf.get("type").and_then(Value::as_str) {
        Some("integer") => "an integer",
        Some("number") => "a number",
        Some("boolean") => "a boolean",
        Some("array") => "an array",
        Some("object") => "a table",
        _ => "a string",
    }
}

/// How the value would be written right, where that can be told: `2` for a duration is likely `"2s"`.
pub(super) fn written_as(leaves: &[&Value], value: &DeValue<'_>) -> Option<String> {
    let format = leaves.iter().find_map(|leaf| leaf.get("format").and_then(Value::as_str));
    let kinds = |name: &str| leaves.iter().any(|leaf| leaf.get("type").is_some_and(|kind| kind == name));
    match (value, format) {
        (DeValue::Integer(number), Some("nines-duration")) => {
            Some(format!("in seconds it is written \"{number}s\""))
        }
        (DeValue::Integer(number), Some("nines-size")) => {
            Some(format!("in bytes it is written \"{number}B\""))
        }
        (DeValue::Integer(number), Some("nines-rate")) => {
            Some(format!("per second it is written \"{number}/s\""))
        }
        (DeValue::Integer(number), Some("nines-percent")) => {
            Some(format!("in percent it is written \"{number}%\""))
        }
        (DeValue::Integer(number), _) if kinds("string") => {
            Some(format!("as a string it is written \"{number}\""))
        }
        (DeValue::String(text), _) if kinds("integer") && text.parse::<i64>().is_ok() => {
            Some(format!("as an integer it is written {text}, without quotes"))
        }
        (DeValue::String(text), _) if kinds("boolean") && (text == "true" || text == "false") => {
            Some(format!("as a boolean it is written {text}, without quotes"))
        }
        (DeValue::String(_), _) if kinds("array") => Some("an array is written [\"…\"]".into()),
        _ => None,
    }
}
