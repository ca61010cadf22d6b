//! What to ask, and whom: out of a certificate and its issuer's.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::pki_types::CertificateDer;
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

/// A certificate that has an OCSP responder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// The responder: plain HTTP, as RFC 5019 §5 has it, since answers are signed.
    pub(super) url: String,
    pub(super) id: CertId,
    pub(super) issuer: CertificateDer<'static>,
}

impl Subject {
    /// Of a chain, leaf first; `None` when its certificate names no responder, or the issuer's is not there.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let [leaf, issuer, ..] = chain else { return None };
        let leaf = x509_cert::Certificate::from_der(leaf).ok()?.tbs_certificate;
        let url = leaf
            .extensions
            .as_deref()?
            .iter()
            .filter(|extension| extension.extn_id == AUTHORITY_INFO_ACCESS)
            .filter_map(|extension| AuthorityInfoAccessSyntax::from_der(extension.extn_value.as_bytes()).ok())
            .flat_map(|access| access.0)
            .filter(|access| access.access_method == OCSP)
            .find_map(|access| http_url(&access.access_location))?;
        let parsed = x509_cert::Certificate::from_der(issuer).ok()?.tbs_certificate;
        let key = parsed.subject_public_key_info.subject_public_key.raw_bytes();
        let id = CertId {
            // RFC 5019 §2.1.1: SHA-1, which names here and protects nothing.
            hash_algorithm: AlgorithmIdentifierOwned { oid: SHA1, parameters: Some(Null.into()) },
            issuer_name_hash: sha1(&parsed.subject.to_der().ok()?)?,
            issuer_key_hash: sha1(key)?,
            serial_number: leaf.serial_number,
        };
        Some(Self { url, id, issuer: issuer.clone().into_owned() })
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

fn sha1(data: &[u8]) -> Option<OctetString> {
    OctetString::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref()).ok()
}

fn http_url(location: &GeneralName) -> Option<String> {
    let GeneralName::UniformResourceIdentifier(url) = location else { return None };
    let url = url.as_str();
    (url.len() <= URL_BYTES_MAX && url.starts_with("http://")).then(|| url.to_owned())
}
