//! Why a folder cannot be served.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a folder cannot be served.
#[derive(Debug, Error)]
pub enum Error {
    /// It is not there, no folder, or may not be entered.
    #[error("cannot serve files of {folder}: {source}")]
    Folder {
        /// The folder, as it was looked for.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The kernel does not know openat2, without which a path could lead out of the folder.
    #[error("cannot serve files of {folder}: the kernel has no openat2, which came with Linux 5.6")]
    OldKernel {
        /// The folder.
        folder: PathBuf,
    },
}
