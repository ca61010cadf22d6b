//! Tables whose keys are hashes already.

use std::hash::{BuildHasherDefault, Hasher};

/// Takes a key of 64 bits as its own hash: nobody outside can choose which keys are alike. Made by `HashMap::default()` with
/// [`BuildHashed`].
#[derive(Debug, Default, Clone, Copy)]
pub struct Hashed(u64);

/// What makes them.
pub type BuildHashed = BuildHasherDefault<Hashed>;

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
