//! Certificates and keys out of their files.

use crate::error::Error;
use crate::provider::provider;
use crate::staple::{self, Staple};
use crate::watched::Files;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ocsp: Option<PathBuf>,
}

impl Pair {
    /// The certificate with its key, which belong together.
    pub(crate) fn load(&self, files: &mut Files) -> Result<CertifiedKey, Error> {
        let chain = certificates(files, &self.cert)?;
        let key = private_key(files, &self.key)?;
        certified(chain, key, &self.cert, &self.key)
    }

    /// The OCSP response for the certificate, if the file names one.
    pub(crate) fn staple(&self, key: &CertifiedKey, files: &mut Files) -> Result<Option<Staple>, Error> {
        let about = self.ocsp.as_ref().zip(key.cert.first());
        about.map(|(path, certificate)| staple::load(files, path, certificate)).transpose()
    }
}

/// Puts a chain and a key together.
pub(crate) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_path: &Path,
    key_path: &Path,
) -> Result<CertifiedKey, Error> {
    CertifiedKey::from_der(chain, key, provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::Mismatch { key: key_path.to_owned(), cert: cert_path.to_owned() }
        }
        rustls::Error::InvalidCertificate(cause) => {
            Error::Certificate { path: cert_path.to_owned(), cause: format!("{cause:?}") }
        }
        other => Error::Key { path: key_path.to_owned(), cause: other.to_string() },
    })
}

/// All certificates of a PEM file, at least one.
pub(crate) fn certificates(files: &mut Files, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = files.read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(malformed(path))?;
    if chain.is_empty() {
        return Err(Error::Nothing { path: path.to_owned(), what: "certificate" });
    }
    Ok(chain)
}

/// The first private key of a PEM file.
pub(crate) fn private_key(files: &mut Files, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = files.read(path)?;
    let is_locked = bytes.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if is_locked => Err(Error::Key {
            path: path.to_owned(),
            cause: "it has a passphrase, which nobody types here".into(),
        }),
        Err(pem::Error::NoItemsFound) => Err(Error::Nothing { path: path.to_owned(), what: "private key" }),
        Err(error) => Err(malformed(path)(error)),
    }
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn malformed(path: &Path) -> impl FnOnce(pem::Error) -> Error {
    move |error| Error::Pem { path: path.to_owned(), cause: error.to_string() }
}

/// The certificate authorities of a PEM file, each of which can be used.
pub(crate) fn roots(files: &mut Files, path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(files, path)? {
        roots
            .add(certificate)
            .map_err(|error| Error::Certificate { path: path.to_owned(), cause: error.to_string() })?;
    }
    Ok(roots)
}
