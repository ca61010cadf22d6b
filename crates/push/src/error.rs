//! Why something was not pushed, kept or given.

use crate::manifest::{Blob, ReleaseName};
use crate::path::AssetPath;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why something was not pushed, kept or given.
#[derive(Debug, Error)]
pub enum Error {
    /// A release needs what was not uploaded, or is gone again: upload it and try once more.
    #[error("the release needs {} that {} not stored", files(.0.len()), if .0.len() == 1 { "is" } else { "are" })]
    NotStored(Vec<Blob>),
    /// An upload goes on elsewhere than it ended.
    #[error("the upload goes on at byte {at}, not at {offset}")]
    Offset {
        /// Where it goes on: so many bytes are there.
        at: u64,
        /// Where it was to go on.
        offset: u64,
    },
    /// Somebody else is uploading the same.
    #[error("the same is being uploaded by somebody else")]
    Busy,
    /// Something is larger than it may be.
    #[error("{what} has {bytes} bytes, more than {max}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// How large it is.
        bytes: u64,
        /// How large it may be, with its key in the file.
        max: String,
    },
    /// All that is stored would be more than it may.
    #[error("the store holds {used} bytes, and {bytes} more would be above `total_max`")]
    Full {
        /// What is stored.
        used: u64,
        /// What was to come.
        bytes: u64,
    },
    /// What came is not what was announced; it was thrown away.
    #[error("what was uploaded has the hash {found}, not {wanted}: upload it again")]
    WrongHash {
        /// The announced hash.
        wanted: crate::Hash,
        /// The hash of what came.
        found: crate::Hash,
    },
    /// A release cannot be as it was wanted.
    #[error("{0}")]
    BadDraft(String),
    /// There is a release of this name.
    #[error("there is a release {0} already")]
    Exists(ReleaseName),
    /// There is no such release.
    #[error("there is no release {0}")]
    Unknown(ReleaseName),
    /// The release is what is served.
    #[error("release {0} is served: roll back first")]
    Current(ReleaseName),
    /// The release has ended: served, it would be 404 everywhere.
    #[error("release {0} has ended")]
    Ended(ReleaseName),
    /// There is no release before the one that is served.
    #[error("there is no release before the one that is served, or it has ended")]
    NothingBefore,
    /// What is in a folder can be no release.
    #[error("{}: {cause}", path.display())]
    Unfit {
        /// The folder, or what is in it.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A file of a folder is not what it was when it was hashed.
    #[error("{0} was changed while it was pushed")]
    Changed(AssetPath),
    /// The folder that the file names cannot be pushed.
    #[error("push {store}: {cause}")]
    From {
        /// The store's name.
        store: String,
        /// Why not.
        cause: Box<Error>,
    },
    /// A manifest that is needed cannot be read.
    #[error("push {store}: {what}: {cause}")]
    Document {
        /// The store's name.
        store: String,
        /// Which document.
        what: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The secrets for S3 cannot be read.
    #[error("push {store}: {cause}")]
    Config {
        /// The store's name.
        store: String,
        /// What is wrong.
        cause: String,
    },
    /// The storage failed.
    #[error("storage: {0}")]
    Storage(#[from] object_store::Error),
    /// The local disk failed.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder cannot be served from.
    #[error(transparent)]
    Folder(#[from] files::Error),
    /// A file could not be compressed.
    #[error(transparent)]
    Encode(#[from] encoding::EncodeError),
}

fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

impl Error {
    /// An error of the local disk, for `map_err`.
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }
}
