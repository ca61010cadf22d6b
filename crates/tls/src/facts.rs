//! What a certificate says of itself.

use rustls::SignatureAlgorithm;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};

/// id-pe-tlsfeature, RFC 7633 §6.
const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");

/// The extension of TLS that asks for an OCSP response, RFC 6066 §1.1.
const STATUS_REQUEST: u16 = 5;

/// From when to when a certificate is valid, in seconds since 1970; and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
}

impl Facts {
    /// `None` for what is no certificate, or a stranger one than this reads: it may still be shown to clients,
    /// only nothing is known of it.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
        let tbs = &parsed.tbs_certificate;
        Some(Self {
            not_before: tbs.validity.not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity.not_after.to_unix_duration().as_secs(),
            subject: tbs.subject.to_der().ok()?,
            issuer: tbs.issuer.to_der().ok()?,
        })
    }
}

/// What is odd about a certificate for a site, though it can be shown: `None` when nothing is.
pub(crate) fn oddity(key: &CertifiedKey, site: &str, now: u64) -> Option<String> {
    let certificate = key.cert.first()?;
    if let Some(facts) = Facts::of(certificate) {
        if facts.not_after <= now {
            return Some(format!("it expired {} days ago", (now - facts.not_after) / 86_400));
        }
        if facts.not_before > now {
            return Some(format!("it is not valid for another {} s", facts.not_before - now));
        }
    }
    let name = match site.strip_prefix("*.") {
        // A name that the wildcard covers.
        Some(domain) => format!("nines.{domain}"),
        None => site.to_owned(),
    };
    if site == "default" {
        return None;
    }
    let name = ServerName::try_from(name).ok()?;
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let is_named = rustls::client::verify_server_name(&parsed, &name).is_ok();
    (!is_named).then(|| format!("it is not for {site}"))
}

/// Whether a certificate wants to be believed only together with an OCSP response ("must-staple", RFC 7633).
pub fn demands_staple(certificate: &CertificateDer<'_>) -> bool {
    let Ok(parsed) = x509_cert::Certificate::from_der(certificate) else { return false };
    let extensions = parsed.tbs_certificate.extensions.as_deref().unwrap_or_default();
    let features = extensions
        .iter()
        .filter(|extension| extension.extn_id == TLS_FEATURE)
        .filter_map(|extension| Vec::<u16>::from_der(extension.extn_value.as_bytes()).ok());
    features.flatten().any(|feature| feature == STATUS_REQUEST)
}

/// The kind of a key, for a metric's label.
pub(crate) fn kind(key: &CertifiedKey) -> &'static str {
    match key.key.algorithm() {
        SignatureAlgorithm::RSA => "rsa",
        SignatureAlgorithm::ECDSA => "ecdsa",
        SignatureAlgorithm::ED25519 => "ed25519",
        _ => "other",
    }
}
