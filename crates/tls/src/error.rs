//! Why TLS cannot be set up as the file says: which file, and what is the matter with it.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// What is wrong with the files and settings of TLS.
#[derive(Debug, Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is longer than any certificate, and was not read.
    #[error("{} is longer than {max_bytes} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max_bytes: u64,
    },
    /// A file is no PEM.
    #[error("{} is no PEM file: {cause}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A PEM file has nothing of what it should have.
    #[error("{} has no {what} in it", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// "certificate", "private key".
        what: &'static str,
    },
    /// A certificate cannot be used.
    #[error("{}: its certificate cannot be used: {cause}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A key cannot be used.
    #[error("{}: its private key cannot be used: {cause}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A key is not that of the certificate.
    #[error("{} is not the key of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// An OCSP response cannot be stapled.
    #[error("{} cannot be stapled: {cause}", path.display())]
    Ocsp {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: &'static str,
    },
    /// The machine has no certificate authorities to verify endpoints with.
    #[error("this machine has no certificate authorities ({cause}); name a file with some as `ca`")]
    NoRoots {
        /// What was found instead.
        cause: String,
    },
    /// A certificate of our own cannot be made.
    #[error("no certificate can be made for {name}: {cause}")]
    SelfSigned {
        /// The site.
        name: String,
        /// Why.
        cause: String,
    },
    /// `tls = "acme"` without anybody who asks for certificates.
    #[error("{name}: `tls = \"acme\"` wants `[edge.acme]`")]
    NoAcme {
        /// The site.
        name: String,
    },
    /// The secret of session tickets cannot be read.
    #[error("tls.tickets.secret: {0}")]
    Secret(#[from] notation::SecretError),
    /// The secret of session tickets could be guessed.
    #[error("tls.tickets.secret has {bytes} bytes, fewer than the {min_bytes} that cannot be guessed")]
    WeakSecret {
        /// How long it is.
        bytes: usize,
        /// How long it must be.
        min_bytes: usize,
    },
    /// An endpoint's host cannot stand in a certificate.
    #[error("{host:?} is no name that a certificate can carry; give the pool `tls.server_name`")]
    ServerName {
        /// The host.
        host: String,
    },
    /// rustls refuses a setting.
    #[error("{what}: {source}")]
    Rustls {
        /// What was set up.
        what: String,
        /// Its words.
        source: rustls::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
