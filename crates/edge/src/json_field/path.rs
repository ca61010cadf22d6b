//! Paths into a document, as the file writes them.

use super::VALUE_BYTES_MAX;
use std::fmt;
use thiserror::Error;

/// Segments of one path.
pub const SEGMENTS_MAX: usize = 16;

/// A place in a document: `order.kind`, `items.0.sku`. A number is the index in an array, or the name in an
/// object. A dot that belongs to a name is written `\.`, a backslash `\\`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonPath(pub(super) Box<[Segment]>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Segment {
    pub(super) name: Box<str>,
    /// The name as an index; none with a leading zero.
    pub(super) index: Option<u32>,
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadPath {
    /// Nothing between two dots, or no path at all.
    #[error("a name in it is empty")]
    EmptyName,
    /// A backslash before anything but a dot or a backslash.
    #[error("a backslash stands only before a dot or a backslash")]
    Backslash,
    /// More than [`SEGMENTS_MAX`] names, or a name of more than [`VALUE_BYTES_MAX`] bytes.
    #[error("it is longer than {SEGMENTS_MAX} names of {VALUE_BYTES_MAX} bytes")]
    TooLong,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let mut names = vec![String::new()];
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let name = names.last_mut().expect("there is always a name that is being read");
            match char {
                '.' => names.push(String::new()),
                '\\' => match chars.next() {
                    Some(escaped @ ('.' | '\\')) => name.push(escaped),
                    _ => return Err(BadPath::Backslash),
                },
                other => name.push(other),
            }
        }
        if names.iter().any(String::is_empty) {
            return Err(BadPath::EmptyName);
        }
        if names.len() > SEGMENTS_MAX || names.iter().any(|name| name.len() > VALUE_BYTES_MAX) {
            return Err(BadPath::TooLong);
        }
        Ok(Self(names.into_iter().map(Segment::new).collect()))
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{}", segment.name.replace('\\', "\\\\").replace('.', "\\."))?;
        }
        Ok(())
    }
}

impl Segment {
    fn new(name: String) -> Self {
        let is_index =
            name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
        Self { index: if is_index { name.parse().ok() } else { None }, name: name.into() }
    }
}
