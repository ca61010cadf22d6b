//! A second nines takes over from the first, in one process: both are whole, with an edge and services each.

use crate::Test;
use crate::world::{PATIENCE, SHOP, World, block_on, edge, get, pids, until};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use topology::StartError;

pub(crate) const TESTS: &[Test] = &[
    ("a_takeover_fails_no_request_and_keeps_the_port", || block_on(a_takeover_fails_no_request())),
    ("a_takeover_may_keep_http3_where_it_is_and_move_all_else", || block_on(http3_stays())),
    ("a_takeover_of_nothing_is_a_start", || block_on(a_takeover_of_nothing())),
    ("a_new_nines_that_cannot_start_leaves_the_old_one_as_it_was", || block_on(a_failed_takeover())),
    ("a_new_nines_that_dies_on_the_way_leaves_the_old_one_as_it_was", || block_on(an_abandoned_takeover())),
    ("purges_go_between_both_processes_of_a_takeover_that_know_how", || block_on(purges_go_both_ways())),
    ("a_nines_that_speaks_another_version_is_refused", || block_on(another_version())),
];

async fn a_takeover_fails_no_request() {
    let world = World::new(SHOP);
    let old = world.up().await;
    let (address, admin) = (edge(&old), old.admin_listener().unwrap().local_addr().unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let mut requests = 0;
            while !is_over.load(Ordering::Relaxed) {
                let (status, body) = get(address, "/").await.unwrap();
                assert_eq!(status, 200, "{body}");
                requests += 1;
            }
            requests
        }
    });
    let new = world.take_over().await.unwrap();
    tokio::time::timeout(PATIENCE, old.handed_over()).await.unwrap();
    assert!(!old.readiness().ready, "the old one says so");
    assert!(old.stop(Duration::from_secs(30)).await, "everything under way ended by itself");
    assert_eq!(edge(&new), address);
    assert_eq!(new.admin_listener().unwrap().local_addr().unwrap(), admin);
    for _ in 0..10 {
        assert_eq!(get(address, "/").await.unwrap().0, 200);
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap() > 0);
    // The new one owns the data folder, and can be taken over from in turn.
    assert!(matches!(world.start().await, Err(StartError::Locked { .. })));
    let third = world.take_over().await.unwrap();
    new.stop(Duration::from_secs(30)).await;
    assert_eq!(get(address, "/").await.unwrap().0, 200);
    third.stop(Duration::from_secs(30)).await;
    assert!(!world.path("data/nines.sock").exists());
}

async fn http3_stays() {
    let file = |tcp: &str, http3: &str| {
        format!(
            "[node]\nadmin = '127.0.0.1:0'\n[edge]\nhttp = ['{tcp}:0']\nhttps = ['{tcp}:0']\nhttp3 = ['{http3}']\n\
             [site.default]\ntls = 'self-signed'\n[site.default.route]\n'/' = {{ respond = {{ body = '{tcp}' }} }}\n"
        )
    };
    let world = World::new(&file("127.0.0.1", "127.0.0.1:0"));
    let old = world.up().await;
    let at = |running: &topology::Running, protocol: &str| {
        let listeners = running.status().listeners.into_iter().filter(|one| one.tier == "edge");
        listeners.filter(|one| one.protocol == protocol).map(|one| one.address).next()
    };
    let http3 = at(&old, "http3").unwrap();
    // Port 0 was asked for; what the kernel chose is told.
    assert_ne!(http3.port(), 0);
    world.write(&file("127.0.0.2", &http3.to_string()));
    let new = world.take_over().await.unwrap();
    tokio::time::timeout(PATIENCE, old.handed_over()).await.unwrap();
    assert_eq!((at(&new, "http3"), at(&old, "http3")), (Some(http3), None));
    assert_eq!(get(at(&new, "http").unwrap(), "/").await.unwrap(), (200, "127.0.0.2".into()));
    old.stop(Duration::from_secs(30)).await;
    new.stop(Duration::from_secs(30)).await;
}

async fn a_takeover_of_nothing() {
    let world = World::new("[node]\nadmin = '127.0.0.1:0'\n");
    let running = world.take_over().await.unwrap();
    assert!(matches!(world.start().await, Err(StartError::Locked { .. })));
    running.stop(Duration::ZERO).await;
    // A socket that a dead process left behind.
    drop(std::os::unix::net::UnixListener::bind(world.path("data/nines.sock")).unwrap());
    world.take_over().await.unwrap().stop(Duration::ZERO).await;
}

async fn a_failed_takeover() {
    let world = World::new(SHOP);
    let old = world.up().await;
    let (address, processes) = (edge(&old), pids(&old));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("http = [\"127.0.0.1:0\", \"{}\"]", taken.local_addr().unwrap());
    world.write(&SHOP.replace("http = [\"127.0.0.1:0\"]", &more));
    let Err(error) = world.take_over().await else { panic!("the port is taken") };
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
    assert_eq!(pids(&old), processes);
    assert!(old.readiness().ready);
    assert_eq!(get(address, "/").await.unwrap().0, 200);
    // And it can still be taken over from.
    world.write(SHOP);
    let new = world.take_over().await.unwrap();
    old.stop(Duration::from_secs(30)).await;
    assert_eq!(edge(&new), address);
    new.stop(Duration::from_secs(30)).await;
}

/// One message of the conversation, as another process would send it.
fn say(stream: &UnixStream, message: &serde_json::Value) {
    sys::handover::send(stream, message.to_string().as_bytes(), &[]).unwrap();
}

async fn hear(stream: &UnixStream) -> (serde_json::Value, usize) {
    let stream = stream.try_clone().unwrap();
    let received = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let fds = sys::handover::receive(&stream, &mut bytes).unwrap();
        (serde_json::from_slice(&bytes).unwrap(), fds.len())
    });
    received.await.unwrap()
}

async fn an_abandoned_takeover() {
    let world = World::new(SHOP);
    let old = world.up().await;
    for last in ["hello", "listeners", "garbage"] {
        let stream = UnixStream::connect(world.path("data/nines.sock")).unwrap();
        say(&stream, &serde_json::json!({ "say": "hello", "version": 1, "pid": 1 }));
        let (hello, _) = hear(&stream).await;
        assert_eq!(hello["pools"]["shop"]["ready"], true, "{hello}");
        if last == "listeners" {
            say(&stream, &serde_json::json!({ "say": "listeners" }));
            // The admin API's, and two cores' of the edge.
            assert_eq!(hear(&stream).await.1, 3);
        }
        if last == "garbage" {
            sys::handover::send(&stream, b"{", &[]).unwrap();
        }
    }
    assert!(old.readiness().ready);
    assert_eq!(get(edge(&old), "/").await.unwrap().0, 200);
    let new = world.take_over().await.unwrap();
    old.stop(Duration::from_secs(30)).await;
    new.stop(Duration::from_secs(30)).await;
}

async fn purges_go_both_ways() {
    let world = World::new(
        "[node]\nadmin = '127.0.0.1:0'\n[edge]\nhttp = ['127.0.0.1:0']\ncores = 1\n[cdn]\nmemory = '8MiB'\ndisk = '8MiB'\n\
         [site.default.route]\n'/' = { respond = { body = 'x' } }\n",
    );
    let old = world.up().await;
    // One of an earlier version asks for listeners alone.
    for (ask, with) in [(serde_json::json!({}), false), (serde_json::json!({ "purges": true }), true)] {
        let stream = UnixStream::connect(world.path("data/nines.sock")).unwrap();
        say(&stream, &serde_json::json!({ "say": "hello", "version": 1, "pid": 1 }));
        hear(&stream).await;
        let mut ask = ask;
        ask["say"] = "listeners".into();
        say(&stream, &ask);
        let (answer, sockets) = hear(&stream).await;
        assert_eq!((answer["purges"].as_bool(), sockets), (Some(with), 2 + usize::from(with)));
    }
    let new = world.take_over().await.unwrap();
    tokio::time::timeout(PATIENCE, old.handed_over()).await.unwrap();
    let purges = |running: &topology::Running| running.cdn(0).unwrap().purges;
    for (number, node) in [(1, &old), (2, &new)] {
        node.purge(topology::Purge::All, topology::PurgeMode::Hard).await.unwrap();
        assert_eq!((purges(&old), purges(&new)), (number, number));
    }
    old.stop(Duration::from_secs(30)).await;
    new.purge(topology::Purge::All, topology::PurgeMode::Hard).await.unwrap();
    assert_eq!(purges(&new), 3);
    new.stop(Duration::from_secs(30)).await;
    assert!(!world.path("data/cdn.handed-over").exists() && !world.path("data/cdn.forgotten").exists());
}

async fn another_version() {
    let world = World::new("[node]\nadmin = '127.0.0.1:0'\n");
    let old = world.up().await;
    until("the socket is there", || world.path("data/nines.sock").exists()).await;
    let stream = UnixStream::connect(world.path("data/nines.sock")).unwrap();
    say(&stream, &serde_json::json!({ "say": "hello", "version": 99, "pid": 1 }));
    let (answer, _) = hear(&stream).await;
    assert_eq!(answer["why"], "version 99 of the takeover was asked for, this is 1");
    old.stop(Duration::ZERO).await;
}
