//! Certificates, keys and OCSP responses out of their files.

use crate::error::Error;
use crate::provider::provider;
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
        let mut loaded = certified(chain, key, &self.cert, &self.key)?;
        if let Some(path) = &self.ocsp {
            loaded.ocsp = Some(ocsp_response(files, path)?);
        }
        Ok(loaded)
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

/// A DER file with an OCSP response (RFC 6960 §4.2.1) that says "successful": another one makes clients give up
/// that would do without.
fn ocsp_response(files: &mut Files, path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = files.read(path)?;
    let fails = |cause| Err(Error::Ocsp { path: path.to_owned(), cause });
    match bytes.as_slice() {
        [0x30, rest @ ..] => match after_length(rest) {
            Some([0x0a, 0x01, 0x00, 0xa0, ..]) => Ok(bytes),
            Some([0x0a, 0x01, ..]) => fails("it says that the responder had no answer"),
            _ => fails("it is no OCSP response"),
        },
        _ => fails("it is no OCSP response in DER"),
    }
}

/// What follows the length of a DER value, if that is all there is.
fn after_length(bytes: &[u8]) -> Option<&[u8]> {
    let (&first, rest) = bytes.split_first()?;
    let (length, content) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, content) = rest.split_at_checked(usize::from(first - 0x80))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), content)
        }
        _ => return None,
    };
    (content.len() == length).then_some(content)
}
