//! OCSP responses that are stapled to a certificate (RFC 6960, RFC 6066 §8).
//!
//! Whether a response is signed by whom it should be is for clients to say. What is looked at here is what makes
//! a client give up that would do without a response: one about another certificate, one that says "revoked", and
//! one that has ended.

use crate::error::Error;
use crate::watched::Files;
use rustls::pki_types::CertificateDer;
use std::path::Path;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus, SingleResponse};

/// id-pkix-ocsp-basic, RFC 6960 §4.2.1.
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// A response that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staple {
    pub(crate) der: Vec<u8>,
    /// When there should be another, in seconds since 1970; `None` if the responder does not say.
    pub(crate) until: Option<u64>,
}

/// The response in a DER file, if it is about a certificate.
pub(crate) fn load(
    files: &mut Files,
    path: &Path,
    certificate: &CertificateDer<'_>,
) -> Result<Staple, Error> {
    let der = files.read(path)?;
    let until = judge(&der, certificate).map_err(|cause| Error::Ocsp { path: path.to_owned(), cause })?;
    Ok(Staple { der, until })
}

/// Until when a response holds, or why it cannot be shown.
fn judge(der: &[u8], certificate: &CertificateDer<'_>) -> Result<Option<u64>, &'static str> {
    let response = OcspResponse::from_der(der).map_err(|_| "it is no OCSP response in DER")?;
    if response.response_status != OcspResponseStatus::Successful {
        return Err("it says that the responder had no answer");
    }
    let basic = response.response_bytes.filter(|bytes| bytes.response_type == BASIC);
    let basic = basic.and_then(|bytes| BasicOcspResponse::from_der(bytes.response.as_bytes()).ok());
    let answers = basic.ok_or("it is no basic OCSP response")?.tbs_response_data.responses;
    let answer = answers.iter().find(|answer| is_about(answer, certificate));
    let answer = answer.ok_or("it is about another certificate")?;
    match answer.cert_status {
        CertStatus::Good(_) => {}
        CertStatus::Revoked(_) => return Err("it says that the certificate is revoked"),
        CertStatus::Unknown(_) => return Err("it says that the certificate is not known"),
    }
    Ok(answer.next_update.as_ref().map(|end| end.0.to_unix_duration().as_secs()))
}

/// Whether an answer names a certificate, by its serial number. A certificate that cannot be read is taken to be
/// meant: whoever named the two files together knows better.
fn is_about(answer: &SingleResponse, certificate: &CertificateDer<'_>) -> bool {
    match x509_cert::Certificate::from_der(certificate) {
        Ok(certificate) => certificate.tbs_certificate.serial_number == answer.cert_id.serial_number,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let certificate = CertificateDer::from(bytes.clone());
            let _ = judge(&bytes, &certificate);
        }
    }
}
