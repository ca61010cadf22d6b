//! Zone files: RFC 1035 §5, with `$TTL` (RFC 2308 §4), `$GENERATE`, and unknown types (RFC 3597).
//!
//! A fault ends its entry and not the file, so that all of them are told at once.

mod field;
mod generate;
mod rare;
mod rdata;
mod reader;
mod schema;
mod token;
mod ttl;

use super::build::ZoneBuilder;
use super::fault::Fault;
use reader::Reader;
use std::path::Path;
use std::sync::Arc;

pub(super) use rdata::is_well_formed;
pub(crate) use rdata::uncompressed_data;
pub(crate) use ttl::TTL_MAX;

/// Adds the records of a file.
pub(super) fn read_file(builder: &mut ZoneBuilder, path: &Path) {
    let source: Arc<str> = path.display().to_string().into();
    builder.files.push(path.to_owned());
    match std::fs::read(path) {
        Ok(text) => Reader::new(builder, &source, Some(path)).read(&text),
        Err(error) => unreadable(builder, &source, &error),
    }
}

/// Adds the records of a text.
pub(super) fn read_text(builder: &mut ZoneBuilder, source: &str, text: &[u8]) {
    Reader::new(builder, &source.into(), None).read(text);
}

fn unreadable(builder: &mut ZoneBuilder, source: &Arc<str>, error: &std::io::Error) {
    let message = format!("cannot be read: {error}");
    builder.errors.add(|| Fault { source: Arc::clone(source), line: 0, column: 0, message });
}
