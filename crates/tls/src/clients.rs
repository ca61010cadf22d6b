//! Certificates of clients: which are believed, and how they are told to whoever is behind.

use crate::error::Error;
use crate::pem;
use crate::provider::provider;
use crate::watched::Files;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::Path;
use std::sync::Arc;

/// What is asked of clients: nothing, or certificates of certain authorities. Sites with the same terms may
/// share a connection, and no others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms(Option<[u8; 32]>);

impl Terms {
    /// Whether clients are asked for certificates at all.
    pub fn ask_for_certificates(&self) -> bool {
        self.0.is_some()
    }

    /// What the tickets of these terms are sealed for.
    pub(crate) fn label(&self, listener: &str) -> Vec<u8> {
        let terms: &[u8] = match &self.0 {
            None => b"anybody",
            Some(digest) => digest,
        };
        [listener.as_bytes(), b"\0", terms].concat()
    }
}

/// Who verifies clients, by authorities out of a file; and the terms that this is.
pub(crate) fn verifier(
    ca: &Path,
    required: bool,
    files: &mut Files,
) -> Result<(Arc<dyn ClientCertVerifier>, Terms), Error> {
    let roots = pem::roots(files, ca)?;
    // What the file means and not how it is written: its order and its comments may change.
    let mut meanings: Vec<Vec<u8>> = roots.roots.iter().map(meaning).collect();
    meanings.sort();
    meanings.dedup();
    meanings.push(vec![u8::from(required)]);
    let mut terms = [0; 32];
    terms.copy_from_slice(digest(&SHA256, &meanings.concat()).as_ref());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider()));
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder
        .build()
        .map_err(|error| Error::Certificate { path: ca.to_owned(), cause: error.to_string() })?;
    Ok((verifier, Terms(Some(terms))))
}

/// What an authority is believed for.
fn meaning(root: &TrustAnchor<'_>) -> Vec<u8> {
    let constraints = root.name_constraints.as_deref().unwrap_or_default();
    let parts = [&*root.subject, &*root.subject_public_key_info, constraints];
    parts.iter().flat_map(|part| digest(&SHA256, part).as_ref().to_vec()).collect()
}

/// A certificate that a client has shown and proven to own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    der: Box<[u8]>,
    field: Box<str>,
}

impl ClientCertificate {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        Self { der: certificate.as_ref().into(), field: client_cert(certificate).into() }
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The value of the header `Client-Cert` (RFC 9440 §2.2). Whoever sends it must take away what the client
    /// has sent under that name (§2.4), whether it showed a certificate or not.
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// A certificate as the value of `Client-Cert`: DER as a byte sequence of structured fields (RFC 9440 §2.1,
/// RFC 8941 §3.3.5).
pub fn client_cert(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_becomes_a_byte_sequence() {
        assert_eq!(client_cert(b"\x30\x82\x01\xff"), ":MIIB/w==:");
        assert_eq!(client_cert(b""), "::");
    }

    #[test]
    fn terms_are_labels_of_their_own() {
        let asked = |nth: u8| Terms(Some([nth; 32]));
        let labels = [
            Terms::default().label("edge"),
            Terms::default().label("tcp db"),
            asked(1).label("edge"),
            asked(2).label("edge"),
        ];
        for (nth, label) in labels.iter().enumerate() {
            assert!(!labels[..nth].contains(label));
        }
    }
}
