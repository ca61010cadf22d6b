//! What people read: text on standard output, problems on standard error, colours, tables, figures.

mod paint;
mod table;
mod units;

pub(crate) use paint::{Paint, stderr_colors, stdout_colors};
pub(crate) use table::Table;
pub(crate) use units::{counted, latency, memory, since, span};

use std::io::Write;

/// Writes to standard output in one go. A reader that went away (`| head`) is no error.
pub(crate) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _closed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes to standard error in one go.
pub(crate) fn err(text: &str) {
    let _closed = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes `error: message` to standard error.
pub(crate) fn error(message: impl std::fmt::Display) {
    let label = Paint::new(stderr_colors()).bad("error");
    err(&format!("{label}: {message}\n"));
}

/// Writes `value` as indented JSON to standard output.
pub(crate) fn json<T: serde::Serialize>(value: &T) {
    let text = serde_json::to_string_pretty(value).expect("our own types always serialize to JSON");
    out(&(text + "\n"));
}
