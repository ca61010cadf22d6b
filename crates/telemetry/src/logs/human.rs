//! A line for people: `12:30:00.250Z WARN  balance: endpoint is out pool=shop endpoint=shop-1`.

use super::event::{Fields, Value};
use crate::Rfc3339;
use std::fmt::{self, Write};
use std::time::SystemTime;
use tracing::{Level, Metadata};

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

pub(super) fn line(now: SystemTime, metadata: &Metadata<'_>, fields: &Fields, is_coloured: bool) -> Vec<u8> {
    let mut line = String::with_capacity(160);
    // Writing to a String cannot fail.
    let _ = write_line(&mut line, now, metadata, fields, is_coloured);
    line.into_bytes()
}

fn write_line(
    out: &mut String,
    now: SystemTime,
    metadata: &Metadata<'_>,
    fields: &Fields,
    is_coloured: bool,
) -> fmt::Result {
    let (level, target) = (*metadata.level(), metadata.target());
    let text = Rfc3339(now).text();
    // Who sits at a terminal knows the day.
    let clock = String::from_utf8_lossy(&text[11..]);
    if is_coloured {
        write!(out, "{DIM}{clock}{RESET} {}{level:<5}{RESET} {DIM}{target}:{RESET}", colour(level))?;
    } else {
        write!(out, "{clock} {level:<5} {target}:")?;
    }
    if !fields.message.is_empty() {
        write!(out, " {}", Printable(&fields.message))?;
    }
    for (name, value) in &fields.others {
        if is_coloured {
            write!(out, " {DIM}{name}={RESET}")?;
        } else {
            write!(out, " {name}=")?;
        }
        match value {
            // Quotes within become \" and backslashes \\, so that it is clear where the value ends.
            Value::Text(text) if needs_quotes(text) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                write!(out, "\"{}\"", Printable(&escaped))?;
            }
            Value::Text(text) | Value::Plain(text) => write!(out, "{}", Printable(text))?,
        }
    }
    out.write_char('\n')
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[1;31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.contains([' ', '=', '"'])
}

/// Text from anywhere (a service's output, a header) that must neither break the line nor steer the terminal.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\t' => f.write_char(char),
            char if char.is_control() => write!(f, "{}", char.escape_default()),
            char => f.write_char(char),
        })
    }
}
