//! A line for machines: one JSON object.

use super::event::{Fields, Value};
use crate::Rfc3339;
use crate::json::write_str;
use std::io::Write;
use std::time::SystemTime;
use tracing::Metadata;

/// What every line has; a field of such a name is written with `field.` before it.
const OURS: [&str; 4] = ["ts", "level", "target", "message"];

pub(super) fn line(now: SystemTime, metadata: &Metadata<'_>, fields: &Fields) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"ts\":\"{}\",\"level\":\"", Rfc3339(now));
    out.extend(metadata.level().as_str().bytes().map(|byte| byte.to_ascii_lowercase()));
    out.extend_from_slice(b"\",\"target\":");
    write_str(&mut out, metadata.target().as_bytes());
    out.extend_from_slice(b",\"message\":");
    write_str(&mut out, fields.message.as_bytes());
    for (name, value) in &fields.others {
        out.push(b',');
        if OURS.contains(name) {
            write_str(&mut out, format!("field.{name}").as_bytes());
        } else {
            write_str(&mut out, name.as_bytes());
        }
        out.push(b':');
        match value {
            Value::Plain(text) => out.extend_from_slice(text.as_bytes()),
            Value::Text(text) => write_str(&mut out, text.as_bytes()),
        }
    }
    out.extend_from_slice(b"}\n");
    out
}
