//! `nines up` ends: drained, at once, or killed.

use crate::world::{Backend, DEMO, Node, World, eventually, get, is_alive, proxy_of};
use std::net::SocketAddr;
use std::thread::JoinHandle;
use sys::process::Signal;

/// A node with one request under way.
fn busy() -> (World, Backend, Node, JoinHandle<std::io::Result<u16>>) {
    let backend = Backend::start("done");
    let world = World::new(&proxy_of(&[&backend]));
    let node = world.up();
    let edge: SocketAddr = world.edge;
    let request = std::thread::spawn(move || get(edge, "/slow").map(|answer| answer.status));
    backend.wait_slow();
    (world, backend, node, request)
}

#[test]
fn a_signal_stops_it_after_what_is_under_way() {
    for signal in [Signal::Term, Signal::Int] {
        let (world, backend, mut node, request) = busy();
        node.signal(signal);
        eventually("new connections are refused", || get(world.edge, "/").is_err().then_some(()));
        let readyz = get(world.admin, "/readyz").unwrap();
        assert_eq!(readyz.status, 503);
        assert!(readyz.body.contains("stopping"), "{}", readyz.body);
        backend.go_on();
        assert_eq!(request.join().unwrap().unwrap(), 200);
        assert_eq!(node.wait().code(), Some(0));
    }
}

#[test]
fn a_second_signal_stops_it_at_once() {
    for (signal, code) in [(Signal::Term, 143), (Signal::Int, 130)] {
        let (world, _backend, mut node, request) = busy();
        node.signal(signal);
        eventually("new connections are refused", || get(world.edge, "/").is_err().then_some(()));
        assert!(node.is_running());
        node.signal(signal);
        assert_eq!(node.wait().code(), Some(code));
        assert!(!matches!(request.join().unwrap(), Ok(200)));
    }
}

#[test]
fn the_deadline_ends_what_does_not_end_by_itself() {
    let backend = Backend::start("never");
    let file = proxy_of(&[&backend]).replace("[pool.web]", "timeout = { drain = \"200ms\" }\n[pool.web]");
    let world = World::new(&file);
    let mut node = world.up();
    let edge = world.edge;
    let request = std::thread::spawn(move || get(edge, "/slow").map(|answer| answer.status));
    backend.wait_slow();
    assert_eq!(node.stop(), Some(0));
    assert!(!matches!(request.join().unwrap(), Ok(200)));
}

fn instances(world: &World) -> Vec<u32> {
    let status = world.status();
    let instances = status["services"][0]["instances"].as_array().unwrap();
    instances.iter().map(|instance| u32::try_from(instance["pid"].as_u64().unwrap()).unwrap()).collect()
}

#[test]
fn instances_end_with_the_node_that_is_stopped() {
    let world = World::new(DEMO);
    let mut node = world.up();
    let pids = instances(&world);
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)));
    assert_eq!(node.stop(), Some(0));
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "after an orderly stop none is left");
}

#[test]
fn instances_end_with_the_node_that_is_killed() {
    let world = World::new(DEMO);
    let mut node = world.up();
    let pids = instances(&world);
    node.signal(Signal::Kill);
    node.wait();
    eventually("no orphan is left", || (!pids.iter().any(|pid| is_alive(*pid))).then_some(()));
}
