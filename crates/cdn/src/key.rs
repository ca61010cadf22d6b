//! What a request is looked up by.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Two hashes with secrets of this process: nobody outside can make two keys meet.
static HASHERS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// All that tells one resource from another: never less than scheme, host, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Of `bytes`; another one in each process.
    pub hash: u128,
    /// The whole key.
    pub bytes: Box<[u8]>,
}

impl Key {
    /// The key of these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        let bytes = bytes.into();
        let [high, low] = [0, 1].map(|at| u128::from(HASHERS[at].hash_one(&bytes)));
        Self { hash: high << 64 | low, bytes }
    }
}
