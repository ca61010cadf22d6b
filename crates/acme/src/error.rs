//! What fails here.

use notation::SecretError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;

/// Why certificates cannot be ordered at all. Nothing has been changed when one of these is returned.
#[derive(Debug, Error)]
pub enum Error {
    /// The store, or a file of it, cannot be used.
    #[error("acme: store: {}: {source}", path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of the store does not hold what it should.
    #[error("acme: store: {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of roots cannot be used.
    #[error("acme: ca {}: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The machine has no roots.
    #[error("acme: this machine has no root certificates to believe the ACME server by; give `ca`")]
    NoRoots,
    /// The key of the external account cannot be read.
    #[error("acme: external_account.key: {0}")]
    Secret(#[from] SecretError),
    /// The key of the external account is not base64url.
    #[error("acme: external_account.key is not base64url")]
    ExternalKey,
    /// A name that nothing can be ordered for.
    #[error("acme: {0}")]
    Name(#[from] crate::BadName),
}

impl Error {
    pub(crate) fn store(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Store { path, source }
    }

    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}

/// Why a conversation by HTTP failed.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    #[error("{url}: {reason}")]
    Url { url: String, reason: &'static str },
    #[error("{authority}: {source}")]
    Connect { authority: String, source: io::Error },
    #[error("{authority}: {reason}")]
    Exchange { authority: String, reason: String },
    #[error("{authority}: no answer within {seconds} s")]
    Late { authority: String, seconds: u64 },
}

/// Why one order failed, and when the server will hear of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For people: lower case, no full stop.
    pub(crate) reason: String,
    /// The server counts our orders, and this was one too many (RFC 8555 §6.6).
    pub(crate) is_rate_limited: bool,
    /// Before this the server wants to hear nothing.
    pub(crate) retry_after: Option<SystemTime>,
}

impl Failure {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_rate_limited: false, retry_after: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<instant_acme::Error> for Failure {
    fn from(error: instant_acme::Error) -> Self {
        Self::new(error.to_string())
    }
}
