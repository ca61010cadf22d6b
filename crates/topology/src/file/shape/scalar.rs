//! Strings and integers against what their schemas allow.

use crate::schema::SOCKET_ADDRESS;
use notation::nearest;
use serde_json::Value;
use std::net::SocketAddr;
use toml::de::DeInteger;

/// A message and, where there is one, what to do about it.
type Wrong = (String, Option<String>);

/// A string that may be one of several words, or free text of a format.
pub(super) fn check_text(leaves: &[&Value], text: &str) -> Result<(), Wrong> {
    let mut words: Vec<&str> = Vec::new();
    let mut free: Option<&Value> = None;
    for leaf in leaves {
        let listed = leaf.get("enum").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let before = words.len();
        words.extend(leaf.get("const").into_iter().chain(listed).filter_map(Value::as_str));
        if words.len() == before {
            free = Some(leaf);
        }
    }
    if words.contains(&text) {
        return Ok(());
    }
    if let Some(leaf) = free {
        return check_format(leaf, text);
    }
    let help = match nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => {
            format!("one of {}", words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", "))
        }
    };
    Err((format!("unknown value {}", shown(text)), Some(help)))
}

fn check_format(leaf: &Value, text: &str) -> Result<(), Wrong> {
    if let Some(least) = leaf.get("minLength").and_then(Value::as_u64)
        && (text.chars().count() as u64) < least
    {
        return Err(("expected a string that is not empty".into(), None));
    }
    let Some(format) = leaf.get("format").and_then(Value::as_str) else { return Ok(()) };
    if format == SOCKET_ADDRESS {
        return check_address(text);
    }
    match notation::check_format(format, text) {
        Some(Err(malformed)) => Err((
            format!("{} is not {}", shown(text), malformed.wanted),
            Some(format!("for example {}", malformed.example)),
        )),
        _ => Ok(()),
    }
}

fn check_address(text: &str) -> Result<(), Wrong> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let help = match text.rsplit_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => {
            format!(
                "\"127.0.0.1:{port}\" for this machine alone, \"[::]:{port}\" and \"0.0.0.0:{port}\" for all"
            )
        }
        Some(("localhost", port)) => format!("\"127.0.0.1:{port}\" or \"[::1]:{port}\""),
        _ if text.parse::<std::net::IpAddr>().is_ok() => {
            "the port is missing, for example \"127.0.0.1:8080\"".into()
        }
        _ => "for example \"127.0.0.1:8080\" or \"[::1]:8080\"".into(),
    };
    Err((format!("{} is not an IP address with a port", shown(text)), Some(help)))
}

/// An integer within the bounds that the schema gives, or that its `format` (`uint32`) implies.
pub(super) fn check_integer(leaf: &Value, integer: &DeInteger<'_>) -> Result<(), String> {
    let out_of = |range: String| Err(format!("{integer} is out of range, {range}"));
    let Ok(number) = i128::from_str_radix(integer.as_str(), integer.radix()) else {
        return out_of(format!("expected at most {}", i64::MAX));
    };
    let (mut min, mut max) = bounds_of(leaf.get("format").and_then(Value::as_str));
    let bound = |key: &str| {
        leaf.get(key).and_then(|bound| bound.as_i64().map(i128::from).or(bound.as_f64().map(|b| b as i128)))
    };
    min = bound("minimum").map_or(min, |bound| bound.max(min));
    max = bound("maximum").map_or(max, |bound| bound.min(max));
    if number < min {
        return out_of(format!("expected at least {min}"));
    }
    if number > max {
        return out_of(format!("expected at most {max}"));
    }
    Ok(())
}

fn bounds_of(format: Option<&str>) -> (i128, i128) {
    match format {
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        // TOML's own integers end at 2^63 - 1.
        Some("uint" | "uint64") => (0, i64::MAX.into()),
        Some("int8") => (i8::MIN.into(), i8::MAX.into()),
        Some("int16") => (i16::MIN.into(), i16::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

/// The text in quotes, cut when it is very long.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    if text.chars().count() <= CHARS_MAX {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(CHARS_MAX).collect::<String>())
}
