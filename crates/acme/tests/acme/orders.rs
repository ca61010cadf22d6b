//! First orders, renewals, refusals, reloads.

use crate::authority::Authority;
use crate::node::{Listeners, Node, by_http, clock, config, names};
use crate::server::{AcmeServer, DAY};
use acme::{AcmeConfig, CertificateState, ExternalAccount};
use notation::Secret;
use rcgen::KeyPair;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_name_gets_its_certificate_by_a_handshake() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    assert!(node.acme.lookups().certificate("shop.test").is_none(), "there is none yet");
    let status = node.until_valid("shop.test").await;
    assert_eq!((status.failures, status.last_error), (0, None));
    assert_eq!(server.inner().accounts[0].contact, ["mailto:me@shop.test"]);
    assert_eq!(server.inner().orders[0].shown_by.as_deref(), Some("tls-alpn-01"));
    let root = server.authority().certificate.der();
    let shown = node.shown("shop.test", root).await.unwrap();
    assert_eq!(Some(shown.to_vec()), node.leaf("shop.test"));
    assert!(node.acme.lookups().challenge_certificate("shop.test").is_none(), "the challenge is closed");
    let figures = node.registry.render();
    assert!(figures.contains("nines_acme_orders_total{result=\"issued\"} 1\n"), "{figures}");
    let end = clock.now() + DAY * 90;
    let end = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let gauge = format!("nines_acme_certificate_expires_timestamp_seconds{{name=\"shop.test\"}} {end}\n");
    assert!(figures.contains(&gauge), "{figures}");
    node.acme.stop().await;
}

#[tokio::test]
async fn a_name_gets_its_certificate_by_a_file() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let node =
        Node::start(data.path(), &server, &by_http(&server), &["shop.test", "www.shop.test"], &clock).await;
    for name in ["shop.test", "www.shop.test"] {
        node.until_valid(name).await;
        node.shown(name, server.authority().certificate.der()).await.unwrap();
    }
    let inner = server.inner();
    assert_eq!(inner.accounts.len(), 1, "of two orders that want an account, one makes it");
    assert!(inner.orders.iter().all(|order| order.shown_by.as_deref() == Some("http-01")));
    let token = &"token_0-xxxxxxxxxxxxxxxxxxxxxxxx";
    assert!(node.acme.lookups().http_challenge(token).is_none(), "the challenge is closed");
}

#[tokio::test]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_never_before() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    let first = node.until_valid("shop.test").await;
    let leaf = node.leaf("shop.test").unwrap();
    hand.advance(DAY * 60 - HOUR);
    node.turn().await;
    assert_eq!(server.inner().order_attempts, 1);
    // An hour for what is left, and a hundredth of the life for jitter.
    hand.advance(HOUR * 2 + DAY);
    node.acme.wake();
    let second = node.until("shop.test", |it| it.valid_until_unix_ms > first.valid_until_unix_ms).await;
    assert_eq!(second.state, CertificateState::Valid);
    assert_eq!(server.inner().order_attempts, 2);
    assert_ne!(node.leaf("shop.test").unwrap(), leaf);
}

#[tokio::test]
async fn a_certificate_is_shown_until_there_is_a_newer_one_even_when_it_has_ended() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    server.script(|script| script.life = DAY * 6);
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    node.until_valid("shop.test").await;
    server.script(|script| script.rate_limited = Some(""));
    hand.advance(DAY * 5);
    node.acme.wake();
    let status = node.until("shop.test", |it| it.failures == 1).await;
    assert_eq!(status.state, CertificateState::Valid);
    hand.advance(DAY);
    node.acme.wake();
    node.until("shop.test", |it| it.state == CertificateState::Expired && it.failures == 2).await;
    assert!(node.acme.lookups().certificate("shop.test").is_some());
    server.script(|script| script.rate_limited = None);
    hand.advance(DAY);
    node.acme.wake();
    node.until_valid("shop.test").await;
}

#[tokio::test]
async fn a_challenge_that_fails_is_told_and_tried_again_after_a_pause_that_grows() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    // The name leads to a node that knows nothing of the challenge.
    let (other_data, elsewhere) = (tempdir().unwrap(), AcmeServer::start(clock.clone()).await);
    let _other = Node::start(other_data.path(), &server, &by_http(&elsewhere), &[], &clock).await;
    let listeners = Listeners::bind().await;
    let node = Node::start_on(listeners, data.path(), &by_http(&server), &["shop.test"], &clock, None);
    let status = node.until("shop.test", |it| it.failures == 1).await;
    assert_eq!(status.last_error.as_deref(), Some("shop.test answers HTTP/1.1 404 Not Found"));
    assert_eq!(status.state, CertificateState::Missing);
    node.turn().await;
    assert_eq!(server.inner().order_attempts, 1, "it waits");
    hand.advance(Duration::from_secs(73));
    node.acme.wake();
    node.until("shop.test", |it| it.failures == 2).await;
    hand.advance(Duration::from_secs(73));
    node.turn().await;
    assert_eq!(server.inner().order_attempts, 2, "it waits longer");
    server.script(|script| script.nodes = vec![node.address]);
    hand.advance(Duration::from_secs(73));
    node.acme.wake();
    let status = node.until_valid("shop.test").await;
    assert_eq!((status.failures, status.last_error), (0, None));
    let figures = node.registry.render();
    assert!(figures.contains("nines_acme_orders_total{result=\"failed\"} 2\n"), "{figures}");
}

#[tokio::test]
async fn a_rate_limit_is_kept_until_the_time_that_the_server_names() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    server.script(|script| script.rate_limited = Some("7200"));
    let node =
        Node::start(data.path(), &server, &config(&server), &["a.test", "b.test", "c.test"], &clock).await;
    let status = node.until("a.test", |it| it.failures == 1).await;
    let wait = status.next_try_unix_ms.unwrap() - unix_ms(clock.now());
    assert_eq!(wait, 7_200_000);
    assert_eq!(
        status.last_error.as_deref(),
        Some("API error: too many orders (urn:ietf:params:acme:error:rateLimited)")
    );
    node.turn().await;
    assert_eq!(
        server.inner().order_attempts,
        1,
        "the other names wait as well: it may be the account's limit"
    );
    hand.advance(Duration::from_secs(7199));
    server.script(|script| script.rate_limited = None);
    node.acme.wake();
    node.until_valid("b.test").await;
    node.until_valid("c.test").await;
    assert_eq!(server.inner().order_attempts, 3, "a.test still waits");
    hand.advance(Duration::from_secs(1));
    node.acme.wake();
    node.until_valid("a.test").await;
    let figures = node.registry.render();
    assert!(figures.contains("nines_acme_orders_total{result=\"rate-limited\"} 1\n"), "{figures}");
}

#[tokio::test]
async fn a_refused_nonce_is_followed_by_another() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    server.script(|script| script.bad_nonces = 2);
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    assert_eq!(node.until_valid("shop.test").await.failures, 0);
    assert_eq!(server.inner().script.bad_nonces, 0);
}

#[tokio::test]
async fn a_server_that_does_not_offer_the_challenge_is_told() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    server.script(|script| script.offers = &["dns-01", "http-01"]);
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    let status = node.until("shop.test", |it| it.failures == 1).await;
    assert_eq!(status.last_error.as_deref(), Some("the server does not offer tls-alpn-01 for shop.test"));
}

#[tokio::test]
async fn an_account_is_bound_to_an_external_one_by_its_key() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    server.script(|script| script.external = Some(("kid-1", b"a key of thirty-two bytes or so!")));
    let key = data.path().join("eab");
    let with_key = |text: &str| {
        std::fs::write(&key, text).unwrap();
        let external = ExternalAccount { key_id: "kid-1".into(), key: Secret::File("eab".into()) };
        AcmeConfig { external_account: Some(external), ..config(&server) }
    };
    let wrong = Node::start(data.path(), &server, &with_key("d3Jvbmc"), &["shop.test"], &clock).await;
    let status = wrong.until("shop.test", |it| it.failures == 1).await;
    assert!(status.last_error.unwrap().contains("externalAccountRequired"));
    wrong.acme.stop().await;
    let other = tempdir().unwrap();
    let right = with_key("YSBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyBvciBzbyE=\n");
    let right = AcmeConfig { store: Some(other.path().into()), ..right };
    let node = Node::start(data.path(), &server, &right, &["shop.test"], &clock).await;
    node.until_valid("shop.test").await;
    let broken = node.acme.prepare(&with_key("not base64!"), names(&["shop.test"]), None);
    assert_eq!(broken.err().unwrap().to_string(), "acme: external_account.key is not base64url");
}

#[tokio::test]
async fn an_account_that_the_server_has_lost_is_made_anew() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    let first = node.until_valid("shop.test").await;
    server.inner().accounts[0].is_lost = true;
    hand.advance(DAY * 61);
    node.acme.wake();
    let second = node.until("shop.test", |it| it.valid_until_unix_ms > first.valid_until_unix_ms).await;
    assert_eq!((second.failures, server.inner().accounts.len()), (0, 2));
}

#[tokio::test]
async fn a_reload_changes_the_names_and_whom_the_server_may_write_to() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let node = Node::start(data.path(), &server, &by_http(&server), &["a.test", "b.test"], &clock).await;
    node.until_valid("a.test").await;
    node.until_valid("b.test").await;
    let leaf = node.leaf("b.test");
    node.acme.commit(node.acme.prepare(&by_http(&server), names(&["b.test", "c.test"]), None).unwrap());
    node.until_valid("c.test").await;
    assert_eq!((node.leaf("a.test"), node.leaf("b.test")), (None, leaf.clone()));
    assert_eq!(server.inner().orders.len(), 3);
    let email = AcmeConfig { email: Some("you@shop.test".into()), ..by_http(&server) };
    node.acme.commit(node.acme.prepare(&email, names(&["b.test", "d.test"]), None).unwrap());
    node.until_valid("d.test").await;
    assert_eq!(node.leaf("b.test"), leaf, "it is in the store still");
    let inner = server.inner();
    assert_eq!(
        (inner.accounts.len(), inner.accounts[0].contact.as_slice()),
        (1, &["mailto:you@shop.test".to_owned()][..])
    );
}

#[tokio::test]
async fn a_reload_to_another_server_shows_the_old_certificate_until_the_new_one_is_there() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let (staging, production) =
        (AcmeServer::start(clock.clone()).await, AcmeServer::start(clock.clone()).await);
    let node = Node::start(data.path(), &staging, &by_http(&staging), &["shop.test"], &clock).await;
    node.until_valid("shop.test").await;
    let leaf = node.leaf("shop.test");
    production.script(|script| (script.nodes, script.rate_limited) = (vec![node.address], Some("60")));
    node.acme.commit(node.acme.prepare(&by_http(&production), names(&["shop.test"]), None).unwrap());
    node.until("shop.test", |it| it.failures == 1).await;
    assert_eq!(node.leaf("shop.test"), leaf);
    let other = by_http(&staging);
    node.acme.commit(node.acme.prepare(&other, names(&["shop.test"]), None).unwrap());
    node.until("shop.test", |it| it.failures == 0 && it.next_try_unix_ms.is_some()).await;
    assert_eq!((node.leaf("shop.test"), staging.inner().orders.len()), (leaf, 1), "the store still has it");
}

#[tokio::test]
async fn a_server_behind_tls_is_believed_by_the_roots_of_a_file_only() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let authority = Authority::new("private");
    let (certificate, key): (_, KeyPair) = authority.server("localhost");
    let root = authority.certificate.pem();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::clone(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let server = AcmeServer::start_with(clock.clone(), authority, Some(Arc::new(tls))).await;
    let with_root = |pem: &str| {
        std::fs::write(data.path().join("root.pem"), pem).unwrap();
        AcmeConfig { ca: Some("root.pem".into()), ..by_http(&server) }
    };
    let wrong = with_root(&Authority::new("stranger").certificate.pem());
    let stranger = Node::start(data.path(), &server, &wrong, &["shop.test"], &clock).await;
    let status = stranger.until("shop.test", |it| it.failures == 1).await;
    let error = status.last_error.unwrap();
    assert!(error.starts_with("localhost:") && error.contains("UnknownIssuer"), "{error}");
    stranger.acme.stop().await;
    let other = tempdir().unwrap();
    let right = AcmeConfig { store: Some(other.path().into()), ..with_root(&root) };
    let node = Node::start(data.path(), &server, &right, &["shop.test"], &clock).await;
    node.until_valid("shop.test").await;
}

#[tokio::test]
async fn a_wildcard_is_refused_before_anything_starts() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let node = Node::start(data.path(), &server, &config(&server), &[], &clock).await;
    let refused = node.acme.prepare(&config(&server), names(&["*.shop.test"]), None).err().unwrap();
    assert!(refused.to_string().starts_with("acme: *.shop.test: no certificate for a wildcard"), "{refused}");
}

fn unix_ms(time: std::time::SystemTime) -> u64 {
    u64::try_from(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
