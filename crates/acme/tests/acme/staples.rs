//! Responses that are stapled, and those that are not.

use crate::authority::{Authority, Wanted};
use crate::node::{Listeners, Node, by_http, clock, names};
use crate::ocsp::{Responder, Said, good, id_of, revoked, unknown};
use crate::server::{AcmeServer, DAY};
use acme::ocsp::{Refused, judge};
use acme::{Clock, Stapler, StaplerContext};
use http::StatusCode;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tempfile::tempdir;
use x509_cert::der::{Decode, Encode};
use x509_cert::serial_number::SerialNumber;
use x509_ocsp::{CertStatus, OcspResponse};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

struct World {
    authority: Authority,
    chain: Vec<CertificateDer<'static>>,
    now: SystemTime,
}

impl World {
    fn new() -> Self {
        let mut authority = Authority::new("test authority");
        authority.ocsp_url = Some("http://127.0.0.1:9/ocsp".into());
        let now = clock().0.now();
        let wanted = Wanted { name: "shop.test", not_before: now, not_after: now + DAY * 90 };
        Self { chain: authority.chain(&wanted), authority, now }
    }

    fn said(&self) -> Said<'_> {
        Said::by(&self.authority, id_of(&self.chain), self.now)
    }

    fn judge(&self, response: &[u8]) -> Result<(), Refused> {
        judge(response, &self.chain, self.now)
    }
}

#[test]
fn what_the_issuer_says_of_now_is_believed() {
    let world = World::new();
    assert_eq!(world.judge(&world.said().response()), Ok(()));
    let by_key = Said { names_key: true, ..world.said() };
    assert_eq!(world.judge(&by_key.response()), Ok(()));
}

#[test]
fn what_is_not_good_is_refused() {
    let world = World::new();
    let said = |status| world.judge(&Said { status, ..world.said() }.response());
    assert_eq!(said(good()), Ok(()));
    assert_eq!(said(revoked(world.now)), Err(Refused::Revoked));
    assert_eq!(said(unknown()), Err(Refused::Unknown));
}

#[test]
fn what_is_of_another_certificate_is_refused() {
    let world = World::new();
    let mut id = id_of(&world.chain);
    id.serial_number = SerialNumber::new(&[7]).unwrap();
    assert_eq!(world.judge(&Said { id, ..world.said() }.response()), Err(Refused::OtherCertificate));
    let stranger = World::new();
    let mut id = id_of(&world.chain);
    id.issuer_key_hash = id_of(&stranger.chain).issuer_key_hash;
    assert_eq!(world.judge(&Said { id, ..world.said() }.response()), Err(Refused::OtherCertificate));
}

#[test]
fn what_is_of_another_time_is_refused() {
    let world = World::new();
    let (now, minute) = (world.now, Duration::from_secs(60));
    let said =
        |this_update, next_update| world.judge(&Said { this_update, next_update, ..world.said() }.response());
    assert_eq!(said(now - HOUR * 8, Some(now)), Err(Refused::Stale), "it has just ended");
    assert_eq!(said(now - HOUR * 8, Some(now + minute)), Ok(()));
    assert_eq!(said(now + minute, Some(now + HOUR)), Ok(()), "clocks differ");
    assert_eq!(said(now + minute * 6, Some(now + HOUR)), Err(Refused::Stale), "but not that much");
    assert_eq!(said(now, None), Err(Refused::Endless));
}

#[test]
fn only_the_issuer_and_whom_it_named_may_sign() {
    let world = World::new();
    let stranger = Authority::new("test authority");
    let by = |key: &KeyPair, signer: CertificateDer<'static>, brings_signer| {
        world.judge(&Said { key, signer, brings_signer, ..world.said() }.response())
    };
    // Of the same name, but with another key.
    assert_eq!(by(stranger.key(), stranger.certificate.der().clone(), true), Err(Refused::Signature));
    let (certificate, key) = world.authority.responder(true);
    assert_eq!(by(&key, certificate.clone(), true), Ok(()));
    assert_eq!(by(&key, certificate.clone(), false), Err(Refused::Signature), "nobody knows its certificate");
    let (_, other_key) = world.authority.responder(true);
    assert_eq!(by(&other_key, certificate, true), Err(Refused::Signature), "of another key");
    let (certificate, key) = world.authority.responder(false);
    assert_eq!(by(&key, certificate, true), Err(Refused::Signature), "it may not sign OCSP responses");
    let (certificate, key) = stranger.responder(true);
    assert_eq!(by(&key, certificate, true), Err(Refused::Signature), "named by somebody else");
}

#[test]
fn a_response_that_was_changed_is_refused_wherever() {
    let world = World::new();
    let response = world.said().response();
    for at in 0..response.len() {
        let mut changed = response.clone();
        changed[at] ^= 1;
        // The hash's NULL parameters and unused bits aside, nothing may differ: all that counts is signed.
        assert!(world.judge(&changed).is_err(), "byte {at}");
    }
    for end in 0..response.len() {
        assert_eq!(world.judge(&response[..end]), Err(Refused::Malformed));
    }
}

#[test]
fn a_responder_that_does_not_answer_says_why() {
    let world = World::new();
    let said = |response: OcspResponse| world.judge(&response.to_der().unwrap());
    assert_eq!(said(OcspResponse::try_later()), Err(Refused::Unsuccessful("tryLater")));
    assert_eq!(said(OcspResponse::unauthorized()), Err(Refused::Unsuccessful("unauthorized")));
    let mut empty = OcspResponse::from_der(&world.said().response()).unwrap();
    empty.response_bytes = None;
    assert_eq!(said(empty), Err(Refused::Malformed));
}

/// An authority whose certificates name `responder`.
pub(crate) fn authority_with(responder: &Responder) -> Authority {
    let mut authority = Authority::new("test authority");
    authority.ocsp_url = Some(responder.url.clone());
    authority
}

pub(crate) fn stapler(clock: &Clock) -> Stapler {
    let poll = Duration::from_millis(10);
    let registry = telemetry::Registry::new();
    Stapler::start(StaplerContext { clock: clock.clone(), poll, seed: Some(1), registry })
}

/// Answers as `authority` does, with what is said made by `change`.
pub(crate) fn answer(
    responder: &Responder,
    authority: &Arc<Authority>,
    now: SystemTime,
    change: impl Fn(Said<'_>) -> Said<'_> + Send + 'static,
) {
    let authority = Arc::clone(authority);
    let body = move |id| change(Said::by(&authority, id, now)).response();
    let mut answers = responder.script.lock().unwrap();
    (answers.status, answers.body) = (StatusCode::OK, Box::new(body));
}

pub(crate) async fn fetched(stapler: &Stapler, count: u64) {
    let mut fetched = stapler.fetched();
    stapler.wake();
    let waited = tokio::time::timeout(Duration::from_secs(30), fetched.wait_for(|all| *all >= count)).await;
    waited.unwrap().unwrap();
}

/// Returns once no certificate is asked for.
async fn forgotten(stapler: &Stapler) {
    let turns = async {
        while !stapler.status().is_empty() {
            stapler.wake();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), turns).await.unwrap();
}

#[tokio::test]
async fn a_staple_is_fetched_refreshed_at_half_and_kept_while_it_is_valid() {
    let (clock, hand) = clock();
    let responder = Responder::start().await;
    let authority = Arc::new(authority_with(&responder));
    let stapler = stapler(&clock);
    let now = clock.now();
    let chain = authority.chain(&Wanted { name: "shop.test", not_before: now, not_after: now + DAY });
    answer(&responder, &authority, now, |said| said);
    let watch = stapler.watch("shop.test", &chain).unwrap();
    fetched(&stapler, 1).await;
    let first = watch.response().unwrap();
    assert_eq!(judge(&first, &chain, now), Ok(()));
    let again = stapler.watch("www.shop.test", &chain).unwrap();
    assert_eq!(again.response().as_ref(), Some(&first), "it is the same certificate");
    // At half of eight hours it is fetched again, and not before.
    hand.advance(HOUR * 4 - Duration::from_secs(1));
    stapler.wake();
    let status = &stapler.status()[0];
    assert_eq!((status.responder.as_str(), status.last_error.as_deref()), (responder.url.as_str(), None));
    answer(&responder, &authority, clock.now(), |said| said);
    hand.advance(Duration::from_secs(1));
    fetched(&stapler, 2).await;
    let second = watch.response().unwrap();
    assert_ne!(first, second);
    assert_eq!(again.response().as_ref(), Some(&second));
    assert_eq!(responder.script.lock().unwrap().asked, 2);
    // A responder that fails leaves the old one in place, and is asked again after a minute or so.
    responder.script.lock().unwrap().status = StatusCode::SERVICE_UNAVAILABLE;
    hand.advance(HOUR * 4);
    fetched(&stapler, 3).await;
    assert_eq!(watch.response().as_ref(), Some(&second));
    let error = stapler.status()[0].last_error.clone().unwrap();
    assert!(error.ends_with("/ocsp: status 503"), "{error}");
    // Until it ends.
    hand.advance(HOUR * 4);
    fetched(&stapler, 4).await;
    assert_eq!(watch.response(), None);
    stapler.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_revoked_loses_its_staple() {
    let (clock, hand) = clock();
    let responder = Responder::start().await;
    let authority = Arc::new(authority_with(&responder));
    let stapler = stapler(&clock);
    let now = clock.now();
    let chain = authority.chain(&Wanted { name: "shop.test", not_before: now, not_after: now + DAY });
    answer(&responder, &authority, now, |said| said);
    let watch = stapler.watch("shop.test", &chain).unwrap();
    fetched(&stapler, 1).await;
    assert!(watch.response().is_some() && !watch.is_revoked());
    answer(&responder, &authority, now, move |said| Said { status: revoked(now), ..said });
    hand.advance(HOUR * 4);
    fetched(&stapler, 2).await;
    assert!(watch.response().is_none() && watch.is_revoked());
    assert!(stapler.status()[0].revoked);
    // A responder that fails has said nothing else.
    responder.script.lock().unwrap().status = StatusCode::SERVICE_UNAVAILABLE;
    hand.advance(HOUR * 4);
    fetched(&stapler, 3).await;
    assert!(watch.is_revoked());
    drop(watch);
    forgotten(&stapler).await;
}

async fn ended(stapler: &Stapler) {
    let turns = async {
        while !stapler.is_ended() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), turns).await.unwrap();
}

#[tokio::test]
async fn a_stapler_that_another_takes_the_place_of_asks_nobody_any_more_though_it_is_held() {
    let (clock, _) = clock();
    let (before, now) = (Arc::new(stapler(&clock)), Arc::new(stapler(&clock)));
    Stapler::retire(None, Some(&now));
    Stapler::retire(Some(&now), Some(&now));
    Stapler::retire(Some(&before), Some(&now));
    ended(&before).await;
    assert!(!now.is_ended(), "it is still in its place");
    Stapler::retire(Some(&now), None);
    ended(&now).await;
}

#[tokio::test]
async fn a_certificate_without_a_responder_is_left_alone() {
    let (clock, _hand) = clock();
    let stapler = stapler(&clock);
    let now = clock.now();
    let wanted = Wanted { name: "shop.test", not_before: now, not_after: now + DAY };
    assert!(stapler.watch("shop.test", &Authority::new("without").chain(&wanted)).is_none());
    assert!(stapler.status().is_empty());
}

#[tokio::test]
async fn the_issuer_is_whoever_bears_its_name_wherever_it_stands_in_the_chain() {
    let world = World::new();
    let stapler = stapler(&clock().0);
    let [leaf, issuer] = <[_; 2]>::try_from(world.chain).unwrap();
    let other = Authority::new("another authority").certificate.der().clone();
    for without in [vec![leaf.clone()], vec![leaf.clone(), other.clone()]] {
        assert!(stapler.watch("shop.test", &without).is_none());
    }
    let said = Said::by(&world.authority, id_of(&[leaf.clone(), issuer.clone()]), world.now).response();
    assert!(stapler.status().is_empty());
    let late = [leaf, other, issuer];
    assert!(stapler.watch("shop.test", &late).is_some());
    assert_eq!(judge(&said, &late, world.now), Ok(()));
}

#[tokio::test]
async fn a_response_that_is_too_large_is_not_read() {
    let (clock, _hand) = clock();
    let responder = Responder::start().await;
    let authority = authority_with(&responder);
    let stapler = stapler(&clock);
    let now = clock.now();
    responder.script.lock().unwrap().body = Box::new(|_| vec![0; 64 * 1024 + 1]);
    let wanted = Wanted { name: "shop.test", not_before: now, not_after: now + DAY };
    let watch = stapler.watch("shop.test", &authority.chain(&wanted)).unwrap();
    fetched(&stapler, 1).await;
    let error = stapler.status()[0].last_error.clone().unwrap();
    assert!(error.contains("limit: 65536 bytes"), "{error}");
    assert_eq!(watch.response(), None);
}

/// Answers about what `server` issues, by its authority's key, with this status.
fn answer_for(responder: &Responder, server: &AcmeServer, now: SystemTime, status: CertStatus) {
    let key = Mutex::new(KeyPair::try_from(server.authority().key().serialize_der().as_slice()).unwrap());
    let signer = server.authority().certificate.der().clone();
    responder.script.lock().unwrap().body = Box::new(move |id| {
        let (key, next_update) = (key.lock().unwrap(), Some(now + HOUR * 8));
        let (this_update, signer, brings_signer, names_key) = (now, signer.clone(), false, false);
        Said { id, status, this_update, next_update, key: &key, signer, brings_signer, names_key }.response()
    });
}

#[tokio::test]
async fn what_acme_issues_is_stapled_in_handshakes() {
    let ((clock, _hand), data) = (clock(), tempdir().unwrap());
    let responder = Responder::start().await;
    let server = AcmeServer::start_with(clock.clone(), authority_with(&responder), None).await;
    let now = clock.now();
    answer_for(&responder, &server, now, good());
    let listeners = Listeners::bind().await;
    server.script(|script| script.nodes = vec![listeners.address]);
    let stapler = Arc::new(stapler(&clock));
    let config = by_http(&server);
    let node =
        Node::start_on(listeners, data.path(), &config, &["shop.test"], &clock, Some(Arc::clone(&stapler)));
    node.until_valid("shop.test").await;
    fetched(&stapler, 1).await;
    let lookups = node.acme.lookups();
    while lookups.certificate("shop.test").unwrap().ocsp.is_none() {
        node.turn().await;
    }
    let certified = lookups.certificate("shop.test").unwrap();
    assert_eq!(judge(certified.ocsp.as_ref().unwrap(), &certified.cert, now), Ok(()));
    let reload = |wanted: &[&str], stapler: Option<&Arc<Stapler>>| {
        node.acme.commit(node.acme.prepare(&config, names(wanted), stapler.cloned()).unwrap());
    };
    reload(&["shop.test"], None);
    while lookups.certificate("shop.test").unwrap().ocsp.is_some() || !stapler.status().is_empty() {
        node.turn().await;
    }
    reload(&["shop.test"], Some(&stapler));
    while lookups.certificate("shop.test").unwrap().ocsp.is_none() {
        node.turn().await;
    }
    reload(&[], Some(&stapler));
    while !stapler.status().is_empty() {
        node.turn().await;
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_ordered_anew_once_a_day() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let responder = Responder::start().await;
    let server = AcmeServer::start_with(clock.clone(), authority_with(&responder), None).await;
    answer_for(&responder, &server, clock.now(), revoked(clock.now()));
    let listeners = Listeners::bind().await;
    server.script(|script| script.nodes = vec![listeners.address]);
    let stapler = Arc::new(stapler(&clock));
    let (config, stapling) = (by_http(&server), Some(Arc::clone(&stapler)));
    let node = Node::start_on(listeners, data.path(), &config, &["shop.test"], &clock, stapling);
    node.until_valid("shop.test").await;
    fetched(&stapler, 1).await;
    node.turn().await;
    assert_eq!(server.counts().0, 1, "a certificate that is new is not the reason");
    let before = node.leaf("shop.test");
    hand.advance(DAY);
    while node.leaf("shop.test") == before {
        node.turn().await;
    }
    node.turn().await;
    node.until_valid("shop.test").await;
    assert_eq!(server.counts().0, 2);
}
