//! One store, several nodes and processes.

use crate::node::{Listeners, Node, clock, config};
use crate::server::{AcmeServer, DAY};
use acme::{AcmeConfig, ChallengeKind};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::tempdir;
use tokio::sync::watch;

fn shared(server: &AcmeServer, store: &tempfile::TempDir) -> AcmeConfig {
    AcmeConfig { store: Some(store.path().into()), ..config(server) }
}

/// The part of the store that belongs to the server.
fn part(store: &tempfile::TempDir) -> PathBuf {
    fs::read_dir(store.path()).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test]
async fn two_nodes_that_share_a_store_order_once_and_both_answer() {
    let ((clock, hand), store) = (clock(), tempdir().unwrap());
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let config = shared(&server, &store);
    let wanted = ["a.test", "b.test"];
    let (first, second) = (Listeners::bind().await, Listeners::bind().await);
    server.script(|script| {
        // The name leads to both, and both have to answer whichever of them orders.
        script.nodes = vec![first.address, second.address];
        script.looks_again_for = Duration::from_secs(10);
    });
    let one = Node::start_on(first, one.path(), &config, &wanted, &clock, None);
    let two = Node::start_on(second, two.path(), &config, &wanted, &clock, None);
    for name in ["a.test", "b.test"] {
        one.until_valid(name).await;
        two.until_valid(name).await;
        assert_eq!(one.leaf(name), two.leaf(name));
    }
    assert_eq!(server.counts(), (2, 1));
    let before = one.leaf("a.test");
    hand.advance(DAY * 61);
    while one.leaf("a.test") == before || two.leaf("a.test") != one.leaf("a.test") {
        one.turn().await;
        two.turn().await;
    }
    assert_eq!(server.inner().orders.iter().filter(|order| order.name == "a.test").count(), 2);
}

#[tokio::test]
async fn a_challenge_is_answered_by_the_node_that_did_not_order() {
    let ((clock, _hand), store) = (clock(), tempdir().unwrap());
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    for config in
        [shared(&server, &store), AcmeConfig { challenge: ChallengeKind::Http01, ..shared(&server, &store) }]
    {
        let (free, hold) = watch::channel(false);
        server.script(|script| script.hold = Some(hold));
        let name = config.challenge.as_str().replace("-01", ".test");
        let node = Node::start(one.path(), &server, &config, &[&name], &clock).await;
        let other = Node::start(two.path(), &server, &config, &[], &clock).await;
        assert_eq!(server.inner().script.nodes[0].tls, other.address.tls, "the name leads to the other");
        node.until(&name, |it| it.ordering).await;
        let token = |number: usize| format!("token_{number}-{}", "x".repeat(24));
        let answers = || {
            let lookups = other.acme.lookups();
            let by_file = (0..2).any(|number| lookups.http_challenge(&token(number)).is_some());
            by_file || lookups.challenge_certificate(&name).is_some()
        };
        while !answers() {
            other.turn().await;
        }
        free.send_replace(true);
        assert_eq!(node.until_valid(&name).await.failures, 0);
        while answers() {
            other.turn().await;
        }
    }
}

#[tokio::test]
async fn a_restart_finds_the_account_and_the_certificate_at_once() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    let first = node.until_valid("shop.test").await;
    let leaf = node.leaf("shop.test");
    node.acme.stop().await;
    drop(node);
    let node = Node::start(data.path(), &server, &config(&server), &["shop.test"], &clock).await;
    assert_eq!(node.leaf("shop.test"), leaf, "before the first turn of its task");
    node.turn().await;
    assert_eq!(server.inner().order_attempts, 1);
    hand.advance(DAY * 61);
    node.acme.wake();
    node.until("shop.test", |it| it.valid_until_unix_ms > first.valid_until_unix_ms).await;
    assert_eq!(server.counts(), (2, 1));
}

#[tokio::test]
async fn neither_a_restart_nor_another_node_hurries_what_has_failed() {
    let ((clock, hand), store) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    server.script(|script| script.rate_limited = Some("3600"));
    let config = shared(&server, &store);
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let node = Node::start(one.path(), &server, &config, &["shop.test"], &clock).await;
    node.until("shop.test", |it| it.failures == 1).await;
    node.turn().await;
    node.acme.stop().await;
    drop(node);
    hand.advance(Duration::from_secs(3599));
    let again = Node::start(one.path(), &server, &config, &["shop.test"], &clock).await;
    let other = Node::start(two.path(), &server, &config, &["shop.test"], &clock).await;
    again.turn().await;
    other.turn().await;
    assert_eq!(server.inner().order_attempts, 1);
    server.script(|script| {
        (script.rate_limited, script.nodes) = (None, vec![again.address, other.address]);
        script.looks_again_for = Duration::from_secs(10);
    });
    hand.advance(Duration::from_secs(1));
    again.acme.wake();
    other.acme.wake();
    again.until_valid("shop.test").await;
    assert_eq!(server.inner().order_attempts, 2);
}

#[tokio::test]
async fn the_work_of_a_node_that_died_is_taken_over() {
    let ((clock, hand), store) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    server.script(|script| script.never_looks = true);
    let config = shared(&server, &store);
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let dying = Node::start(one.path(), &server, &config, &["shop.test"], &clock).await;
    dying.until("shop.test", |it| it.ordering).await;
    let open = || {
        let all = fs::read_dir(part(&store).join("challenges")).unwrap().map(|it| it.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|it| it == "json")).collect::<Vec<_>>()
    };
    while open().is_empty() {
        dying.turn().await;
    }
    // What a kill leaves: the lease, the challenge, a key without its certificate, a half-written file.
    let left = open();
    let challenge = fs::read(&left[0]).unwrap();
    drop(dying);
    while left[0].exists() {
        tokio::task::yield_now().await;
    }
    fs::write(&left[0], challenge).unwrap();
    fs::write(part(&store).join(".nines-half"), "half").unwrap();
    let folder = part(&store).join("certificates/shop.test");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("key.next.pem"), "half").unwrap();
    assert!(part(&store).join("lock").exists());

    let next = Node::start(two.path(), &server, &config, &["shop.test"], &clock).await;
    server.script(|script| (script.never_looks, script.nodes) = (false, vec![next.address]));
    next.turn().await;
    assert_eq!(server.inner().order_attempts, 1, "the dead node's lease still runs");
    hand.advance(Duration::from_secs(61));
    next.acme.wake();
    next.until_valid("shop.test").await;
    assert_eq!(server.inner().accounts.len(), 1, "with the dead node's account");
    assert!(!folder.join("key.next.pem").exists());
    assert!(!left[0].exists(), "its challenge was in the way of ours");
}

#[tokio::test]
async fn a_store_that_breaks_keeps_what_is_known_and_orders_nothing() {
    let ((clock, hand), data) = (clock(), tempdir().unwrap());
    let server = AcmeServer::start(clock.clone()).await;
    let store = tempdir().unwrap();
    let config = shared(&server, &store);
    let node = Node::start(data.path(), &server, &config, &["shop.test"], &clock).await;
    node.until_valid("shop.test").await;
    let part = part(&store);
    let aside = store.path().join("aside");
    fs::rename(&part, &aside).unwrap();
    fs::write(&part, "no folder").unwrap();
    hand.advance(DAY * 61);
    node.turn().await;
    assert!(node.acme.status().store_error.is_some());
    assert!(node.leaf("shop.test").is_some());
    assert_eq!(server.inner().order_attempts, 1);
    fs::remove_file(&part).unwrap();
    fs::rename(&aside, &part).unwrap();
    node.acme.wake();
    let before = node.leaf("shop.test");
    while node.leaf("shop.test") == before {
        node.turn().await;
    }
    assert_eq!(node.acme.status().store_error, None);
}
