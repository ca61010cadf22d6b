//! Certificates of clients: required, optional, refused; and which requests may share their connection.

use super::world::{World, meet};
use crate::{Failure, Terms, client_cert};
use base64::Engine;
use rcgen::KeyPair;
use std::sync::Arc;

fn world() -> World {
    let world = World::new();
    world.certificate("shop", &["shop.test", "www.shop.test", "open.test", "partners.test"]);
    world.certificate("alice", &["alice.test"]);
    let strangers = world.other_authority("strangers.pem");
    world.certificate_by(&strangers, "mallory", &["mallory.test"], &KeyPair::generate().unwrap(), |_| {});
    world
}

fn site(clients: &str) -> String {
    format!("{{ cert = \"shop.pem\", key = \"shop.key\", clients = {{ ca = \"ca.pem\"{clients} }} }}")
}

#[test]
fn a_required_certificate_must_be_shown_and_believed() {
    let world = world();
    let server = world.server(&[("shop.test", &site(""))]);
    let alice = meet(&server, &Arc::new(world.client_with("alice")), "shop.test").unwrap();
    let certificate = alice.peer().certificate.unwrap();
    assert_eq!(certificate.der(), &*world.key("alice").cert[0]);
    assert!(alice.chosen.terms.ask_for_certificates());

    let nobody = meet(&server, &Arc::new(world.client()), "shop.test").unwrap_err();
    assert_eq!(nobody.failure(), Failure::ClientCertificate);
    // rustls' client does not show what the server says it will not believe; one that shows it anyway:
    let mut mallory = world.client();
    mallory.client_auth_cert_resolver = Arc::new(Always(world.key("mallory")));
    let mallory = meet(&server, &Arc::new(mallory), "shop.test").unwrap_err();
    assert_eq!(mallory.failure(), Failure::ClientCertificate);
}

/// Shows its certificate to everybody.
#[derive(Debug)]
struct Always(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn an_optional_certificate_may_be_missing_but_not_wrong() {
    let world = world();
    let server = world.server(&[("shop.test", &site(", required = false"))]);
    let nobody = meet(&server, &Arc::new(world.client()), "shop.test").unwrap();
    assert_eq!(nobody.peer().certificate, None);
    let alice = meet(&server, &Arc::new(world.client_with("alice")), "shop.test").unwrap();
    assert!(alice.peer().certificate.is_some());
    let mut mallory = world.client();
    mallory.client_auth_cert_resolver = Arc::new(Always(world.key("mallory")));
    let apart = meet(&server, &Arc::new(mallory), "shop.test").unwrap_err();
    assert_eq!(apart.failure(), Failure::ClientCertificate);
}

#[test]
fn an_expired_certificate_of_a_client_is_not_believed() {
    let world = world();
    world.certificate_with("bob", &["bob.test"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    });
    let server = world.server(&[("shop.test", &site(""))]);
    let apart = meet(&server, &Arc::new(world.client_with("bob")), "shop.test").unwrap_err();
    assert_eq!(apart.failure(), Failure::ClientCertificate);
}

#[test]
fn the_header_is_the_certificate_as_a_byte_sequence() {
    let world = world();
    let server = world.server(&[("shop.test", &site(""))]);
    let alice = meet(&server, &Arc::new(world.client_with("alice")), "shop.test").unwrap();
    let certificate = alice.peer().certificate.unwrap();
    let field = certificate.field();
    assert_eq!(field, client_cert(certificate.der()));
    let inner = field.strip_prefix(':').unwrap().strip_suffix(':').unwrap();
    let decoded = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
    assert_eq!(decoded, certificate.der());
}

#[test]
fn a_connection_carries_requests_only_for_hosts_that_ask_for_no_more() {
    let world = world();
    world.other_authority("partners.pem");
    let open = "{ cert = \"shop.pem\", key = \"shop.key\" }";
    let partners = "{ cert = \"shop.pem\", key = \"shop.key\", clients = { ca = \"partners.pem\" } }";
    let server = world.server(&[
        ("shop.test", &site("")),
        ("*.shop.test", &site("")),
        ("open.test", open),
        ("partners.test", partners),
    ]);
    let anybody = meet(&server, &Arc::new(world.client()), "open.test").unwrap().chosen.terms;
    assert_eq!(anybody, Terms::default());
    let alice = meet(&server, &Arc::new(world.client_with("alice")), "shop.test").unwrap().chosen.terms;
    for (host, by_anybody, by_alice) in [
        ("open.test", true, true),
        ("shop.test", false, true),
        ("SHOP.test", false, true),
        ("www.shop.test", false, true),
        ("partners.test", false, false),
        ("unknown.test", true, true),
    ] {
        assert_eq!(server.allows(&anybody, host), by_anybody, "{host}");
        assert_eq!(server.allows(&alice, host), by_alice, "{host}");
        assert_eq!(server.asks_for_certificates(host), !by_anybody, "{host}");
    }
}

#[test]
fn a_list_of_authorities_that_changes_is_followed() {
    let world = world();
    let server = world.server(&[("shop.test", &site(""))]);
    let alice = Arc::new(world.client_with("alice"));
    let terms = meet(&server, &alice, "shop.test").unwrap().chosen.terms;
    std::fs::rename(world.path("strangers.pem"), world.path("ca.pem")).unwrap();
    server.refresh();
    // She resumes nothing: the terms are others, and with them the keys of the tickets.
    let mut insistent = world.client();
    insistent.client_auth_cert_resolver = Arc::new(Always(world.key("alice")));
    assert!(meet(&server, &alice, "shop.test").is_err());
    assert!(meet(&server, &Arc::new(insistent), "shop.test").is_err());
    assert!(!server.allows(&terms, "shop.test"), "nor may her open connection go on");
    let mut mallory = world.client();
    mallory.client_auth_cert_resolver = Arc::new(Always(world.key("mallory")));
    assert!(meet(&server, &Arc::new(mallory), "shop.test").is_ok());
}
