//! A certificate with its key, as the store has it and handshakes want it.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::SystemTime;
use x509_cert::der::Decode;

/// Certificates of one chain: the leaf, and what stands between it and a root.
const CHAIN_MAX: usize = 10;

/// A certificate that fits its key and its name.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Certificate {
    /// Out of PEM: the chain, leaf first, and the leaf's private key. The error says what is wrong, for people.
    pub(crate) fn new(name: &str, chain_pem: &str, key_pem: &str) -> Result<Self, String> {
        let chain = chain(chain_pem)?;
        let leaf = &chain[0];
        let server_name = ServerName::try_from(name).map_err(|_| format!("{name} is no host name"))?;
        webpki::EndEntityCert::try_from(leaf)
            .and_then(|leaf| leaf.verify_is_valid_for_subject_name(&server_name))
            .map_err(|_| format!("the certificate is not for {name}"))?;
        let (not_before, not_after) = validity(leaf)?;
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| format!("the key: {error}"))?;
        let key = any_supported_type(&key).map_err(|error| format!("the key: {error}"))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| "the key is not the certificate's".to_owned())?;
        Ok(Self { certified: Arc::new(certified), not_before, not_after })
    }
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(CHAIN_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate: {error}"))?;
    match chain.len() {
        0 => Err("the certificate: no PEM section of that kind".into()),
        1..=CHAIN_MAX => Ok(chain),
        _ => Err(format!("the chain has more than {CHAIN_MAX} certificates")),
    }
}

fn validity(leaf: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), String> {
    let leaf = x509_cert::Certificate::from_der(leaf).map_err(|error| format!("the certificate: {error}"))?;
    let validity = leaf.tbs_certificate.validity;
    Ok((validity.not_before.to_system_time(), validity.not_after.to_system_time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (made.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_knows_how_long_it_lives() {
        let (chain, key) = made("shop.test");
        let certificate = Certificate::new("shop.test", &chain, &key).unwrap();
        let year_1975 = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(157_766_400);
        assert_eq!(certificate.not_before, year_1975, "rcgen's default");
        assert!(certificate.not_after > SystemTime::now());
        assert_eq!(certificate.certified.cert.len(), 1);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let ((chain, key), (other_chain, other_key)) = (made("shop.test"), made("other.test"));
        let refused = |chain: &str, key: &str| Certificate::new("shop.test", chain, key).unwrap_err();
        assert_eq!(refused(&other_chain, &other_key), "the certificate is not for shop.test");
        assert_eq!(refused(&chain, &other_key), "the key is not the certificate's");
        assert_eq!(refused("", &key), "the certificate: no PEM section of that kind");
        assert_eq!(refused(&chain.repeat(11), &key), "the chain has more than 10 certificates");
        assert!(refused(&chain, "").starts_with("the key: "));
        assert!(refused(&chain.replace("MII", "AAA"), &key).starts_with("the certificate"));
    }
}
