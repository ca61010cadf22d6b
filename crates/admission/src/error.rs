//! What is wrong with the files that say who may come.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a list of networks or a file of passwords cannot be used.
#[derive(Debug, Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is longer than it may be, and was not read.
    #[error("{} is longer than {max_bytes} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max_bytes: u64,
    },
    /// A file is no text.
    #[error("{} is not UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A line of a file means nothing, or nothing that is safe.
    #[error("{}, line {line}: {cause}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u32,
        /// What is the matter with it.
        cause: String,
    },
    /// A file has nothing of what it should have.
    #[error("{} has no {what} in it", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// "user".
        what: &'static str,
    },
    /// A key for signatures cannot be used.
    #[error("signed key {key}: {cause}")]
    Key {
        /// Its name.
        key: String,
        /// Why not. The secret is not in it.
        cause: String,
    },
    /// An entry of the configuration is no network.
    #[error("{0}")]
    Network(#[from] crate::NotANetwork),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
