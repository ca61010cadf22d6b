//! What to ask, and whom: out of a certificate and its issuer's.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::AuthorityInfoAccessSyntax;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{CertId, OcspRequest, Request, TbsRequest, Version};

const AUTHORITY_INFO_ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1");
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// Bytes of a responder's URL.
const URL_BYTES_MAX: usize = 1024;

/// What tells subjects apart: a digest of the certificate and its issuer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key([u8; 32]);

/// A certificate that has an OCSP responder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) key: Key,
    /// The responder: plain HTTP, as RFC 5019 §5 has it, since answers are signed.
    pub(super) url: String,
    pub(super) id: CertId,
    pub(super) issuer: CertificateDer<'static>,
    /// The certificate wants to be believed only with a response (RFC 7633).
    pub(super) demands_staple: bool,
}

/// Why there is nobody to ask about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSubject {
    /// That is how most certificates are.
    #[error("it names no OCSP responder")]
    NoResponder,
    #[error(
        "it names an OCSP responder, but the certificate of its issuer, by which it is asked, is not in the chain"
    )]
    NoIssuer,
}

impl Subject {
    /// Of a chain, leaf first.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Result<Self, NoSubject> {
        let (leaf_der, above) = chain.split_first().ok_or(NoSubject::NoResponder)?;
        let leaf = x509_cert::Certificate::from_der(leaf_der).map_err(|_| NoSubject::NoResponder)?;
        let leaf = leaf.tbs_certificate;
        let url = responder(&leaf).ok_or(NoSubject::NoResponder)?;
        let issuer_of = |der: &CertificateDer<'_>| {
            let parsed = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
            let id = (parsed.subject == leaf.issuer).then(|| id(&leaf, &parsed))??;
            Some((der.clone().into_owned(), id))
        };
        let (issuer, id) = above.iter().find_map(issuer_of).ok_or(NoSubject::NoIssuer)?;
        let demands_staple = tls::demands_staple(leaf_der);
        Ok(Self { key: Key::of(leaf_der, &issuer), url, id, issuer, demands_staple })
    }

    /// The request: one certificate, without a nonce, so that responders may answer from a cache (RFC 5019 §2.1.1).
    pub(super) fn request(&self) -> Vec<u8> {
        let request = OcspRequest {
            tbs_request: TbsRequest {
                version: Version::V1,
                requestor_name: None,
                request_list: vec![Request { req_cert: self.id.clone(), single_request_extensions: None }],
                request_extensions: None,
            },
            optional_signature: None,
        };
        request.to_der().expect("hashes and a serial number that were read have an encoding")
    }
}

impl Key {
    fn of(leaf: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> Self {
        let mut digest = Context::new(&SHA256);
        // DER says itself where it ends.
        digest.update(leaf);
        digest.update(issuer);
        Self(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// Whom a certificate names, RFC 5280 §4.2.2.1.
fn responder(leaf: &TbsCertificate) -> Option<String> {
    leaf.extensions
        .as_deref()?
        .iter()
        .filter(|extension| extension.extn_id == AUTHORITY_INFO_ACCESS)
        .filter_map(|extension| AuthorityInfoAccessSyntax::from_der(extension.extn_value.as_bytes()).ok())
        .flat_map(|access| access.0)
        .filter(|access| access.access_method == OCSP)
        .find_map(|access| http_url(&access.access_location))
}

fn id(leaf: &TbsCertificate, issuer: &TbsCertificate) -> Option<CertId> {
    Some(CertId {
        // RFC 5019 §2.1.1: SHA-1, which names here and protects nothing.
        hash_algorithm: AlgorithmIdentifierOwned { oid: SHA1, parameters: Some(Null.into()) },
        issuer_name_hash: sha1(&issuer.subject.to_der().ok()?)?,
        issuer_key_hash: sha1(issuer.subject_public_key_info.subject_public_key.raw_bytes())?,
        serial_number: leaf.serial_number.clone(),
    })
}

fn sha1(data: &[u8]) -> Option<OctetString> {
    OctetString::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref()).ok()
}

fn http_url(location: &GeneralName) -> Option<String> {
    let GeneralName::UniformResourceIdentifier(url) = location else { return None };
    let url = url.as_str();
    (url.len() <= URL_BYTES_MAX && url.starts_with("http://")).then(|| url.to_owned())
}
