//! Why something of the cache cannot be done.

use std::io;
use std::path::PathBuf;
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
    /// What other nodes are to hear cannot be written where it would survive.
    #[error("cdn: cannot write what other nodes are to hear: {source}")]
    Ledger {
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
    /// The folder of what is kept on the disk cannot be used.
    #[error("cdn: cannot keep responses in {folder}: {source}")]
    Disk {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said; "would block" where another process uses it.
        source: io::Error,
    },
}
