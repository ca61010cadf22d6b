//! What is stapled to a certificate: the response of a file, or one that somebody else fetches.

use super::certificates::{SITE, error};
use super::world::{DAY, NOW, World, meet};
use crate::{Server, Staple, Staples};
use rcgen::CustomExtension;
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, Mutex};
use x509_cert::der::asn1::{BitString, GeneralizedTime, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId, ResponseData,
    RevokedInfo, SingleResponse,
};

#[test]
fn an_ocsp_response_is_stapled_and_read_again() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    let good = |until: Option<u64>| ocsp(&world, "shop", CertStatus::good(), until);
    world.write("shop.ocsp", good(None));
    let value = "{ cert = \"shop.pem\", key = \"shop.key\", ocsp = \"shop.ocsp\" }";
    let server = world.server(&[("shop.test", value)]);
    let stapled = || stapled(&world, &server);
    assert_eq!(stapled(), good(None));
    world.write("new", good(Some(NOW + DAY)));
    std::fs::rename(world.path("new"), world.path("shop.ocsp")).unwrap();
    server.refresh();
    assert_eq!(stapled(), good(Some(NOW + DAY)));
    // tryLater: the responder has no answer.
    world.write("shop.ocsp", [0x30, 0x03, 0x0a, 0x01, 0x03]);
    server.refresh();
    assert_eq!(stapled(), good(Some(NOW + DAY)), "what was there stays");
    world.write("shop.ocsp", good(Some(NOW + 2 * DAY)));
    server.refresh();
    world.clock.advance(2 * DAY);
    server.refresh();
    assert_eq!(stapled(), b"", "it has ended");
    world.write("shop.ocsp", good(Some(NOW + 3 * DAY)));
    server.refresh();
    assert_eq!(stapled(), good(Some(NOW + 3 * DAY)));
}

#[test]
fn a_response_that_makes_clients_give_up_is_not_stapled() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    world.certificate("other", &["other.test"]);
    let revoked = RevokedInfo { revocation_time: moment(NOW), revocation_reason: None };
    for (response, said) in [
        (vec![0x30, 0x03, 0x0a, 0x01, 0x03], "it says that the responder had no answer"),
        (b"nothing".to_vec(), "it is no OCSP response in DER"),
        (ocsp(&world, "other", CertStatus::good(), None), "it is about another certificate"),
        (ocsp(&world, "shop", CertStatus::revoked(revoked), None), "it says that the certificate is revoked"),
        (ocsp(&world, "shop", CertStatus::unknown(), None), "it says that the certificate is not known"),
    ] {
        world.write("shop.ocsp", response);
        let said = format!("DIR/shop.ocsp cannot be stapled: {said}");
        assert_eq!(error(&world, "{ cert = \"shop.pem\", key = \"shop.key\", ocsp = \"shop.ocsp\" }"), said);
    }
}

/// Has one response for whoever watches, and knows who does.
#[derive(Default)]
struct Fetcher {
    response: Mutex<Option<Arc<Vec<u8>>>>,
    watched: Mutex<Vec<(String, Vec<CertificateDer<'static>>)>>,
    /// One for each watch that is there.
    living: Arc<()>,
}

struct Fetched(Arc<Fetcher>, #[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Fetcher {
    fn has(&self, response: Option<&[u8]>) {
        *self.response.lock().unwrap() = response.map(|response| Arc::new(response.to_vec()));
    }

    fn living(&self) -> usize {
        Arc::strong_count(&self.living) - 1
    }
}

struct Fetches(Arc<Fetcher>);

impl Staples for Fetches {
    fn watch(&self, whose: &str, chain: &[CertificateDer<'_>]) -> Option<Box<dyn Staple>> {
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        self.0.watched.lock().unwrap().push((whose.to_owned(), chain));
        Some(Box::new(Fetched(Arc::clone(&self.0), Arc::clone(&self.0.living))))
    }
}

impl Staple for Fetched {
    fn response(&self) -> Option<Arc<Vec<u8>>> {
        self.0.response.lock().unwrap().clone()
    }
}

fn fetched_by(world: &World, fetcher: &Arc<Fetcher>, sites: &[(&str, &str)]) -> Arc<Server> {
    let staples: Option<Arc<dyn Staples>> = Some(Arc::new(Fetches(Arc::clone(fetcher))));
    world.server_with(crate::ServerContext { staples, ..world.context() }, sites)
}

#[test]
fn a_response_that_others_fetch_is_stapled_as_it_is_now() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    let fetcher = Arc::<Fetcher>::default();
    let server = fetched_by(&world, &fetcher, &SITE);
    assert_eq!(stapled(&world, &server), b"");
    let whose = ("shop.test (edge)".to_owned(), world.key("shop").cert.clone());
    assert_eq!(*fetcher.watched.lock().unwrap(), [whose]);
    for now in [Some(&b"first"[..]), Some(b"second"), None, Some(b"third")] {
        fetcher.has(now);
        server.refresh();
        assert_eq!(stapled(&world, &server), now.unwrap_or_default());
    }
    let again = fetched_by(&world, &fetcher, &SITE);
    assert_eq!(stapled(&world, &again), b"third", "after a reload it is there at once");
}

#[test]
fn a_certificate_is_watched_for_as_long_as_it_is_shown() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    let fetcher = Arc::<Fetcher>::default();
    let server = fetched_by(&world, &fetcher, &SITE);
    world.certificate("shop", &["shop.test"]);
    server.refresh();
    assert_eq!(fetcher.watched.lock().unwrap().len(), 2);
    assert_eq!(fetcher.watched.lock().unwrap()[1].1, world.key("shop").cert);
    assert_eq!(fetcher.living(), 1, "the one before is let go of");
    drop(server);
    assert_eq!(fetcher.living(), 0);
}

#[test]
fn nobody_fetches_for_a_certificate_whose_response_is_in_a_file_or_that_is_our_own() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    world.write("shop.ocsp", ocsp(&world, "shop", CertStatus::good(), None));
    let fetcher = Arc::<Fetcher>::default();
    let value = "{ cert = \"shop.pem\", key = \"shop.key\", ocsp = \"shop.ocsp\" }";
    fetched_by(&world, &fetcher, &[("shop.test", value), ("own.test", "\"self-signed\"")]);
    assert!(fetcher.watched.lock().unwrap().is_empty());
}

#[test]
fn a_certificate_that_demands_a_response_is_known_by_its_extension() {
    let world = World::new();
    let demands = |content: Option<&[u8]>| {
        world.certificate_with("shop", &["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            let feature = |content: &[u8]| {
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], content.to_vec())
            };
            params.custom_extensions.extend(content.map(feature));
        });
        crate::demands_staple(&world.key("shop").cert[0])
    };
    assert!(demands(Some(&[0x30, 3, 2, 1, 5])), "as RFC 7633 has it");
    assert!(demands(Some(&[0x30, 6, 2, 1, 17, 2, 1, 5])), "among others");
    assert!(!demands(Some(&[0x30, 3, 2, 1, 17])), "another extension of TLS");
    assert!(!demands(Some(&[0x30, 9])), "rubbish");
    assert!(!demands(None));
}

/// A response about the certificate of a file, with a signature that nobody looks at here.
fn ocsp(world: &World, file: &str, status: CertStatus, until: Option<u64>) -> Vec<u8> {
    let certificate = x509_cert::Certificate::from_der(&world.key(file).cert[0]).unwrap();
    let algorithm = certificate.signature_algorithm.clone();
    let hash = || OctetString::new(vec![7; 20]).unwrap();
    let answer = SingleResponse {
        cert_id: CertId {
            hash_algorithm: algorithm.clone(),
            issuer_name_hash: hash(),
            issuer_key_hash: hash(),
            serial_number: certificate.tbs_certificate.serial_number,
        },
        cert_status: status,
        this_update: moment(NOW - DAY),
        next_update: until.map(moment),
        single_extensions: None,
    };
    let basic = BasicOcspResponse {
        tbs_response_data: ResponseData {
            version: x509_ocsp::Version::V1,
            responder_id: ResponderId::ByKey(hash()),
            produced_at: moment(NOW - DAY),
            responses: vec![answer],
            response_extensions: None,
        },
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&[7; 64]).unwrap(),
        certs: None,
    };
    OcspResponse::successful(basic).unwrap().to_der().unwrap()
}

fn moment(seconds: u64) -> OcspGeneralizedTime {
    let time = GeneralizedTime::from_unix_duration(std::time::Duration::from_secs(seconds));
    OcspGeneralizedTime(time.unwrap())
}

/// What a client is shown with the certificate for shop.test.
fn stapled(world: &World, server: &Server) -> Vec<u8> {
    let seen = Arc::new(Stapled::default());
    let mut client = world.client();
    client.dangerous().set_certificate_verifier(seen.clone());
    meet(server, &Arc::new(client), "shop.test").unwrap();
    std::mem::take(&mut *seen.0.lock().unwrap())
}

/// Remembers what was stapled.
#[derive(Debug, Default)]
struct Stapled(std::sync::Mutex<Vec<u8>>);

impl rustls::client::danger::ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        ocsp: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = ocsp.to_vec();
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crate::provider().signature_verification_algorithms.supported_schemes()
    }
}
