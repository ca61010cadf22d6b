//! Commands that steer a running node: status, explain, drain, reload.

use crate::world::{Backend, World, eventually, get, proxy_of};
use sys::process::Signal;

#[test]
fn status_shows_the_node_its_pools_and_their_figures() {
    let backend = Backend::start("hello");
    let world = World::new(&proxy_of(&[&backend]));
    let node = world.up();
    for _ in 0..3 {
        assert_eq!(get(world.edge, "/").unwrap().status, 200);
    }
    let ran = world.run(&["status"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for text in [
        "ready",
        "nines.toml",
        &node.pid().to_string(),
        &world.edge.to_string(),
        "pool web",
        "1 of 1 available",
    ] {
        assert!(ran.stdout.contains(text), "{text:?} is missing in\n{}", ran.stdout);
    }
    assert_eq!(world.status()["pools"][0]["endpoints"][0]["requests"], 3);
}

#[test]
fn explain_asks_the_node_that_runs() {
    let backend = Backend::start("hello");
    let world = World::new(&proxy_of(&[&backend]));
    let _node = world.up();
    world.run(&["drain", &backend.address.to_string()]);
    let ran = world.run(&["explain", "http://x.test/cart?a=b"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("draining"), "only the node knows that:\n{}", ran.stdout);
}

#[test]
fn explain_asks_the_node_about_its_listeners_too() {
    let backend = Backend::start("hello");
    let listener = "[tcp.db]\nlisten = \"127.0.0.1:0\"\npool = \"web\"\n";
    let world = World::new(&format!("{listener}{}", proxy_of(&[&backend])));
    let _node = world.up();
    world.run(&["drain", &backend.address.to_string()]);
    let ran = world.run(&["explain", "tcp:db"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("draining"), "only the node knows that:\n{}", ran.stdout);
    let unknown = world.run(&["explain", "tcp:dbb"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("known: tcp:db"), "{}", unknown.stderr);
}

#[test]
fn a_drained_endpoint_takes_no_requests_until_it_is_undrained() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let world = World::new(&proxy_of(&[&a, &b]));
    let _node = world.up();
    let answers = || -> Vec<String> { (0..6).map(|_| get(world.edge, "/").unwrap().body).collect() };
    assert!(answers().contains(&"a".to_owned()));
    let drained = world.run(&["drain", &a.address.to_string()]);
    assert_eq!(drained.code, Some(0), "{}", drained.stderr);
    assert!(drained.stdout.contains("takes no new requests"), "{}", drained.stdout);
    assert!(answers().iter().all(|answer| answer == "b"));
    let undrained = world.run(&["undrain", &a.address.to_string(), "--pool", "web"]);
    assert_eq!(undrained.code, Some(0), "{}", undrained.stderr);
    assert!(answers().contains(&"a".to_owned()));
}

#[test]
fn draining_what_is_not_there_is_refused_with_what_is() {
    let backend = Backend::start("a");
    let world = World::new(&proxy_of(&[&backend]));
    let _node = world.up();
    for args in [&["drain", "nobody"][..], &["drain", &backend.address.to_string(), "--pool", "nopool"]] {
        let ran = world.run(args);
        assert_eq!(ran.code, Some(1), "{args:?}");
        assert!(ran.stderr.contains("no endpoint"), "{}", ran.stderr);
    }
}

#[test]
fn a_reload_applies_the_new_file() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let world = World::new(&proxy_of(&[&a]));
    let node = world.up();
    world.write(&proxy_of(&[&b]));
    let ran = world.run(&["reload"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("pool changed: web"), "{}", ran.stdout);
    assert_eq!(get(world.edge, "/").unwrap().body, "b");
    world.write(&proxy_of(&[&a]));
    node.signal(Signal::Hup);
    eventually("the reload by SIGHUP", || (get(world.edge, "/").unwrap().body == "a").then_some(()));
}

#[test]
fn a_reload_with_a_wrong_file_changes_nothing_and_shows_why() {
    let backend = Backend::start("a");
    let world = World::new(&proxy_of(&[&backend]));
    let node = world.up();
    let before = world.status();
    world.write(&(proxy_of(&[&backend]) + "\"/x\" = { pool = \"wbe\" }\n"));
    let ran = world.run(&["reload"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    for text in ["nothing changed", "nines.toml:11:17", "did you mean `web`"] {
        assert!(ran.stderr.contains(text), "{text:?} is missing in\n{}", ran.stderr);
    }
    let json = world.run(&["reload", "--json"]);
    let problem: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, problem["problems"][0]["line"].as_u64()), (Some(3), Some(11)));
    node.signal(Signal::Hup);
    node.wait_logged("wbe");
    assert_eq!(get(world.edge, "/").unwrap().body, "a");
    assert_eq!(world.status()["sites"], before["sites"]);
    assert_eq!(world.status()["pid"], before["pid"]);
}
