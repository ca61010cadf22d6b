//! The codings that are spoken here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A content coding (RFC 9110 §8.4.1) that responses are encoded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// Zstandard, RFC 8878: the cheapest for its size, and taken by all browsers since 2024.
    Zstd,
    /// Brotli, RFC 7932: the smallest, and what takes zstd not takes this.
    Br,
    /// gzip, RFC 1952: what everything takes.
    Gzip,
}

impl Coding {
    /// All of them, the order of preference where the client has none.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// Its name in `Content-Encoding` and `Accept-Encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of that name, in any case; `x-gzip` is gzip (RFC 9110 §8.4.1.3).
    pub fn from_token(token: &[u8]) -> Option<Self> {
        if token.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| token.eq_ignore_ascii_case(coding.token().as_bytes()))
    }

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}
