//! What handshakes and requests ask for: answered from memory, without a lock, whatever the store does.

use crate::ChallengeKind;
use crate::store::OpenChallenge;
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Certificates and open challenges, as they are now.
///
/// Until the first certificate of a name is there, [`Lookups::certificate`] returns `None`: the caller ends the
/// handshake with an alert or shows a placeholder of its own. Nothing here makes one, as a browser's warning that
/// is clicked away is worse than a site that is not there yet. An expired certificate is still returned, so that
/// clients see what is wrong. All of what is asked for by clients (names, tokens) is a key into a map, never a
/// path into the store.
#[derive(Default)]
pub struct Lookups {
    certificates: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    challenges: ArcSwap<Challenges>,
}

/// Open challenges, as they are answered.
#[derive(Default)]
pub(crate) struct Challenges {
    all: Vec<OpenChallenge>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
    by_token: HashMap<String, String>,
}

impl Lookups {
    /// The certificate for this name, with its OCSP response if there is one.
    pub fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.certificates.load().get(name).cloned()
    }

    /// The certificate that answers an open tls-alpn-01 challenge for this name (RFC 8737 §3): for a handshake
    /// that offers `acme-tls/1` and nothing else.
    pub fn challenge_certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.challenges.load().by_name.get(name).cloned()
    }

    /// The body that answers `GET /.well-known/acme-challenge/TOKEN` (RFC 8555 §8.3) while an http-01 challenge
    /// of this token is open; of type `application/octet-stream`. The token is what stands in the path, as it
    /// stands there.
    pub fn http_challenge(&self, token: &str) -> Option<String> {
        self.challenges.load().by_token.get(token).cloned()
    }

    pub(crate) fn set_certificates(&self, certificates: HashMap<String, Arc<CertifiedKey>>) {
        self.certificates.store(Arc::new(certificates));
    }

    /// Answers these from now on. A certificate that is there already is kept: making one costs a key.
    pub(crate) fn set_challenges(&self, open: Vec<OpenChallenge>) {
        let before = self.challenges.load();
        if before.all == open {
            return;
        }
        let mut challenges = Challenges::default();
        for challenge in &open {
            match challenge.kind {
                ChallengeKind::Http01 => {
                    let (token, answer) = (challenge.token.clone(), challenge.key_authorization.clone());
                    challenges.by_token.insert(token, answer);
                }
                ChallengeKind::TlsAlpn01 => {
                    let kept = before.by_name.get(&challenge.name).filter(|_| before.all.contains(challenge));
                    match kept.map_or_else(|| answer(challenge), |kept| Ok(Arc::clone(kept))) {
                        Ok(certificate) => {
                            drop(challenges.by_name.insert(challenge.name.clone(), certificate));
                        }
                        Err(error) => tracing::error!(
                            target: "acme", name = challenge.name, error, "no certificate for a challenge"
                        ),
                    }
                }
            }
        }
        challenges.all = open;
        self.challenges.store(Arc::new(challenges));
    }

    /// Whether this node answers the challenge of this token.
    pub(crate) fn answers(&self, token: &str) -> bool {
        self.challenges.load().all.iter().any(|challenge| challenge.token == token)
    }
}

impl tls::Issued for Lookups {
    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.certificate(name)
    }
}

impl tls::Challenges for Lookups {
    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.challenge_certificate(name)
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificates, challenges) = (self.certificates.load(), self.challenges.load());
        f.debug_struct("Lookups")
            .field("certificates", &certificates.len())
            .field("challenges", &challenges.all.len())
            .finish()
    }
}

/// A self-signed certificate for the name with the digest of the key authorization in it (RFC 8737 §3).
fn answer(challenge: &OpenChallenge) -> Result<Arc<CertifiedKey>, String> {
    let made = || {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([challenge.name.clone()])?;
        params.distinguished_name = DistinguishedName::new();
        let digest = digest(&SHA256, challenge.key_authorization.as_bytes());
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let certificate = params.self_signed(&key)?;
        Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into())))
    };
    let (certificate, key) = made().map_err(|error: rcgen::Error| error.to_string())?;
    let key = any_supported_type(&key).map_err(|error| error.to_string())?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate], key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_cert::der::{Decode, Encode};

    fn open(kind: ChallengeKind, name: &str, token: &str) -> OpenChallenge {
        let key_authorization = format!("{token}.thumb");
        OpenChallenge { kind, name: name.into(), token: token.into(), key_authorization, placed_unix_s: 0 }
    }

    #[test]
    fn open_challenges_are_answered_and_closed_ones_are_not() {
        let lookups = Lookups::default();
        let (http, alpn) =
            (open(ChallengeKind::Http01, "a.test", "t1"), open(ChallengeKind::TlsAlpn01, "b.test", "t2"));
        lookups.set_challenges(vec![http, alpn.clone()]);
        assert_eq!(lookups.http_challenge("t1").as_deref(), Some("t1.thumb"));
        assert!(lookups.http_challenge("t2").is_none() && lookups.http_challenge("../t1").is_none());
        assert!(lookups.challenge_certificate("a.test").is_none());
        let made = lookups.challenge_certificate("b.test").unwrap();
        lookups.set_challenges(vec![alpn]);
        assert!(Arc::ptr_eq(&made, &lookups.challenge_certificate("b.test").unwrap()), "it is made once");
        assert!(lookups.http_challenge("t1").is_none());
        assert!(lookups.answers("t2") && !lookups.answers("t1"));
        lookups.set_challenges(vec![open(ChallengeKind::TlsAlpn01, "b.test", "t3")]);
        assert!(!Arc::ptr_eq(&made, &lookups.challenge_certificate("b.test").unwrap()));
    }

    #[test]
    fn a_challenges_certificate_carries_the_digest_in_a_critical_extension() {
        let made = answer(&open(ChallengeKind::TlsAlpn01, "b.test", "t")).unwrap();
        let certificate = x509_cert::Certificate::from_der(&made.cert[0]).unwrap();
        let extensions = certificate.tbs_certificate.extensions.unwrap();
        let acme = extensions.iter().find(|it| it.extn_id.to_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(acme.critical);
        let wanted = digest(&SHA256, b"t.thumb");
        let wanted = x509_cert::der::asn1::OctetString::new(wanted.as_ref()).unwrap().to_der().unwrap();
        assert_eq!(acme.extn_value.as_bytes(), wanted);
    }
}
