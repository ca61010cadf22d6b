//! Whether a response may be stapled (RFC 6960 §3.2, RFC 5019 §2.2 and §4).

use super::subject::Subject;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode, Header, Reader, SliceReader};
use x509_ocsp::{
    BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus, ResponderId, SingleResponse,
};

const BASIC_RESPONSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// id-kp-OCSPSigning, RFC 6960 §4.2.2.2.
const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];

/// How far a responder's clock may be ahead of ours.
const SKEW_MAX: Duration = Duration::from_secs(300);

/// Single answers in one response.
const ANSWERS_MAX: usize = 100;

/// Certificates that a response may bring.
const CERTIFICATES_MAX: usize = 5;

/// Why a response is not stapled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Not what RFC 6960 §4.2.1 describes.
    #[error("not an OCSP response in DER")]
    Malformed,
    /// The responder said that it does not answer.
    #[error("the responder says {0}")]
    Unsuccessful(&'static str),
    /// An answer about other certificates.
    #[error("it is about another certificate")]
    OtherCertificate,
    /// Signed by nobody who may.
    #[error("neither the issuer nor a responder that it named has signed it")]
    Signature,
    /// The certificate has been revoked.
    #[error("the certificate is revoked")]
    Revoked,
    /// The responder does not know the certificate.
    #[error("the responder does not know the certificate")]
    Unknown,
    /// Of another time than now.
    #[error("it is not of now")]
    Stale,
    /// Without an end it could be shown for ever (RFC 5019 §2.2.4).
    #[error("it does not say until when it holds")]
    Endless,
}

/// From when to when a response holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) this_update: SystemTime,
    pub(super) next_update: SystemTime,
}

/// Judges the bytes of a response about `subject`.
pub(super) fn judge(response: &[u8], subject: &Subject, now: SystemTime) -> Result<Validity, Refused> {
    let response = OcspResponse::from_der(response).map_err(|_| Refused::Malformed)?;
    if let Some(said) = refusal(response.response_status) {
        return Err(Refused::Unsuccessful(said));
    }
    let bytes = response.response_bytes.filter(|bytes| bytes.response_type == BASIC_RESPONSE);
    let bytes = bytes.ok_or(Refused::Malformed)?;
    let basic = BasicOcspResponse::from_der(bytes.response.as_bytes()).map_err(|_| Refused::Malformed)?;
    let signed = signed_bytes(bytes.response.as_bytes()).ok_or(Refused::Malformed)?;
    if !is_signed(&basic, signed, subject, now) {
        return Err(Refused::Signature);
    }
    let answers = &basic.tbs_response_data.responses;
    let is_ours = |answer: &&SingleResponse| is_same(answer, subject);
    let answer = answers.iter().take(ANSWERS_MAX).find(is_ours).ok_or(Refused::OtherCertificate)?;
    match answer.cert_status {
        CertStatus::Good(_) => {}
        CertStatus::Revoked(_) => return Err(Refused::Revoked),
        CertStatus::Unknown(_) => return Err(Refused::Unknown),
    }
    let this_update = answer.this_update.0.to_system_time();
    let next_update = answer.next_update.ok_or(Refused::Endless)?.0.to_system_time();
    if this_update > now + SKEW_MAX || next_update <= now || next_update <= this_update {
        return Err(Refused::Stale);
    }
    Ok(Validity { this_update, next_update })
}

fn refusal(status: OcspResponseStatus) -> Option<&'static str> {
    Some(match status {
        OcspResponseStatus::Successful => return None,
        OcspResponseStatus::MalformedRequest => "malformedRequest",
        OcspResponseStatus::InternalError => "internalError",
        OcspResponseStatus::TryLater => "tryLater",
        OcspResponseStatus::SigRequired => "sigRequired",
        OcspResponseStatus::Unauthorized => "unauthorized",
    })
}

/// The first element within the outer sequence, as it came: what the signature is over.
fn signed_bytes(basic: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(basic).ok()?;
    Header::decode(&mut reader).ok()?;
    reader.tlv_bytes().ok()
}

fn is_same(answer: &SingleResponse, subject: &Subject) -> bool {
    let (theirs, ours) = (&answer.cert_id, &subject.id);
    // The parameters of SHA-1 may be NULL or absent.
    theirs.hash_algorithm.oid == ours.hash_algorithm.oid
        && theirs.issuer_name_hash == ours.issuer_name_hash
        && theirs.issuer_key_hash == ours.issuer_key_hash
        && theirs.serial_number == ours.serial_number
}

/// Whether the issuer has signed it, or a responder whose certificate, in the response, the issuer has signed for
/// that purpose (RFC 6960 §4.2.2.2).
fn is_signed(basic: &BasicOcspResponse, signed: &[u8], subject: &Subject, now: SystemTime) -> bool {
    if fits(&basic.tbs_response_data.responder_id, &subject.issuer)
        && has_signed(&subject.issuer, basic, signed)
    {
        return true;
    }
    let certificates = basic.certs.iter().flatten().take(CERTIFICATES_MAX);
    let encoded = certificates.filter_map(|certificate| certificate.to_der().ok().map(CertificateDer::from));
    let mut delegated = encoded.filter(|it| fits(&basic.tbs_response_data.responder_id, it));
    delegated.any(|it| is_delegated(&it, &subject.issuer, now) && has_signed(&it, basic, signed))
}

/// Whether this is the certificate that the response says it is signed with.
fn fits(id: &ResponderId, certificate: &CertificateDer<'_>) -> bool {
    let Ok(parsed) = x509_cert::Certificate::from_der(certificate) else { return false };
    let tbs = &parsed.tbs_certificate;
    match id {
        ResponderId::ByName(name) => *name == tbs.subject,
        ResponderId::ByKey(hash) => {
            let key = tbs.subject_public_key_info.subject_public_key.raw_bytes();
            let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, key);
            hash.as_bytes() == sha1.as_ref()
        }
    }
}

fn is_delegated(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>, now: SystemTime) -> bool {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let verified = || {
        let anchor = anchor_from_trusted_cert(issuer)?;
        let certificate = EndEntityCert::try_from(certificate)?;
        let algorithms = tls::provider().signature_verification_algorithms.all;
        let (time, usage) = (UnixTime::since_unix_epoch(since), KeyUsage::required(OCSP_SIGNING));
        certificate.verify_for_usage(algorithms, &[anchor], &[], time, usage, None, None).map(|_| ())
    };
    verified().is_ok()
}

fn has_signed(signer: &CertificateDer<'_>, basic: &BasicOcspResponse, signed: &[u8]) -> bool {
    let Ok(signer) = EndEntityCert::try_from(signer) else { return false };
    let Some(signature) = basic.signature.as_bytes() else { return false };
    let Some(wanted) = algorithm_bytes(basic) else { return false };
    let algorithms = tls::provider().signature_verification_algorithms.all.iter();
    let mut candidates = algorithms.filter(|algorithm| algorithm.signature_alg_id().as_ref() == wanted);
    candidates.any(|algorithm| signer.verify_signature(*algorithm, signed, signature).is_ok())
}

/// The content of the AlgorithmIdentifier's sequence, as webpki names algorithms.
fn algorithm_bytes(basic: &BasicOcspResponse) -> Option<Vec<u8>> {
    let encoded = basic.signature_algorithm.to_der().ok()?;
    let mut reader = SliceReader::new(&encoded).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    reader.read_slice(header.length).ok().map(<[u8]>::to_vec)
}
