//! Why something of the cache cannot be done.

use std::io;
use thiserror::Error;

/// Why something of the cache cannot be done.
#[derive(Debug, Error)]
pub enum Error {
    /// Purges cannot be written where they would survive.
    #[error("cdn: cannot write purges to the disk: {source}")]
    PurgeLog {
        /// What the operating system said.
        source: io::Error,
    },
    /// What is to be purged has too long a name.
    #[error("cdn: a purge of {bytes} bytes (limit {bytes_max})")]
    PurgeTarget {
        /// The length of the name.
        bytes: usize,
        /// What it may be.
        bytes_max: usize,
    },
}
