//! The text that is signed.
//!
//! ```text
//! nines-signed-1
//! shop.test
//! url /video/film.mp4?quality=hd
//! 1767225600
//! 203.0.113.0/24
//! ```
//!
//! Five lines with a line feed between them: the form, the host, what it is for, when it ends, and who may use it (empty
//! for everybody). No line can hold a line feed, so that no two permissions have one text.

/// What a signature is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One URL: its path, normalised, and the query that is left without the signature, with its `?`.
    Url(Vec<u8>),
    /// All below a path, which begins and ends with `/`, whatever the query.
    Below(Vec<u8>),
}

/// The parts of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signable<'a> {
    /// In lower case, without a port.
    pub(super) host: &'a [u8],
    /// `url` or `below`.
    pub(super) word: &'static str,
    /// The path and the query; of `below` the path.
    pub(super) place: [&'a [u8]; 2],
    pub(super) expires_unix_s: u64,
    /// As it is written, empty for everybody.
    pub(super) client: &'a [u8],
}

impl<'a> Signable<'a> {
    pub(super) fn url(host: &'a [u8], path: &'a [u8], query: &'a [u8], ends: u64, client: &'a [u8]) -> Self {
        Self { host, word: "url", place: [path, query], expires_unix_s: ends, client }
    }

    pub(super) fn below(host: &'a [u8], path: &'a [u8], ends: u64, client: &'a [u8]) -> Self {
        Self { host, word: "below", place: [path, b""], expires_unix_s: ends, client }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let ends = self.expires_unix_s.to_string();
        let lines = [b"nines-signed-1\n", self.host, b"\n", self.word.as_bytes(), b" "];
        let rest = [self.place[0], self.place[1], b"\n", ends.as_bytes(), b"\n", self.client];
        [lines.concat(), rest.concat()].concat()
    }
}
