//! What RFC 9111 says: pure decisions. Times are given, nothing is kept.

mod stored;

pub use stored::Stored;
