//! A response as it is kept, its body aside.

use super::storing::NotStored;
use std::time::SystemTime;

/// A request field that a response varies by, in lower case, and the normalised value.
pub type VaryField = (Box<str>, Box<[u8]>);

/// The head of a response that is kept, and what was decided about it when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The final status.
    pub status: u16,
    /// Its header lines, each ended by CRLF, as they are sent again: without those of one connection, and without `Age`,
    /// `Content-Length`, and `Content-Range` of a 206. `Date` is always there.
    pub lines: Box<[u8]>,
    /// Lines in the same form that are for this cache alone: targeted fields and tags, which clients do not get.
    pub unsent: Box<[u8]>,
    /// When the request was sent that it answers. A purge at this time or later is about it.
    pub requested: SystemTime,
    /// When its head came, or when it was last confirmed.
    pub received: SystemTime,
    /// Its age when it came, in seconds (RFC 9111 §4.2.3, corrected_initial_age).
    pub initial_age: u32,
    /// For how long it is fresh, in seconds of age (RFC 9111 §4.2.1).
    pub lifetime: u32,
    /// For how long after that it may be served while it is asked for anew, in seconds (RFC 5861 §3).
    pub stale_while_revalidate: u32,
    /// For how long after that it may be served where the origin fails, in seconds (RFC 5861 §4).
    pub stale_if_error: u32,
    /// It is never served stale (RFC 9111 §5.2.2.2, §5.2.2.8, §5.2.2.10).
    pub must_revalidate: bool,
    /// It is confirmed before each use (RFC 9111 §5.2.2.4).
    pub no_cache: bool,
    /// The request fields that `Vary` names, in lower case and sorted, each with the value, normalised, that was asked with.
    pub vary: Box<[VaryField]>,
    /// Surrogate keys: what it is purged by.
    pub tags: Box<[Box<str>]>,
    /// The length of the whole body, where it is known.
    pub length: Option<u64>,
    /// The first byte of the body that is kept, and the byte after its last, if it is not the whole of it (206).
    pub range: Option<(u64, u64)>,
    /// Why it is not kept, if it only passes through.
    pub not_stored: Option<NotStored>,
}

impl Stored {
    /// The same head for these bytes of the whole. All of them are no part: a complete set is a 200 (RFC 9111 §3.4).
    pub fn of_range(mut self, range: (u64, u64)) -> Self {
        let is_whole = range.0 == 0 && Some(range.1) == self.length;
        self.status = if is_whole { 200 } else { 206 };
        self.range = (!is_whole).then_some(range);
        self
    }
}
