//! A new process takes the sockets over, and nobody notices; nor does anybody notice a reload.

use crate::load::Load;
use crate::world::{Backend, DEMO, World, eventually, get, proxy_of};
use sys::process::Signal;

/// Enough to be sure that the load saw the state before and after a change.
const SOME: u64 = 100;

fn wait_for_more(load: &Load) {
    let before = load.done();
    eventually("more requests", || (load.done() >= before + SOME).then_some(()));
}

#[test]
fn a_takeover_under_load_fails_no_request() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let world = World::new(&proxy_of(&[&a, &b]));
    let mut old = world.up();
    let load = Load::start(world.edge, 4, 4);
    wait_for_more(&load);
    let mut new = world.up_with(&["--takeover"]);
    new.wait_ready();
    assert_eq!(old.wait().code(), Some(0), "the old process drains and ends");
    wait_for_more(&load);
    assert_eq!(load.failures(), Vec::<String>::new());
    assert_eq!(world.status()["pid"], new.pid());
    assert_eq!(new.stop(), Some(0));
}

#[test]
fn a_takeover_of_a_node_with_services_fails_no_request_and_leaves_one_set_of_instances() {
    let world = World::new(DEMO);
    let mut old = world.up();
    let load = Load::start(world.edge, 2, 2);
    wait_for_more(&load);
    let new = world.up_with(&["--takeover"]);
    new.wait_ready();
    assert_eq!(old.wait().code(), Some(0));
    wait_for_more(&load);
    assert_eq!(load.failures(), Vec::<String>::new());
    assert_eq!(world.status()["services"][0]["instances"].as_array().unwrap().len(), 2);
    assert_eq!(get(world.edge, "/").unwrap().status, 200);
}

#[test]
fn a_takeover_of_nobody_is_an_ordinary_start() {
    let backend = Backend::start("a");
    let world = World::new(&proxy_of(&[&backend]));
    let mut node = world.up_with(&["--takeover"]);
    node.wait_ready();
    assert_eq!(get(world.edge, "/").unwrap().body, "a");
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn reloads_under_load_fail_no_request() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let world = World::new(&proxy_of(&[&a, &b]));
    let node = world.up();
    let load = Load::start(world.edge, 4, 4);
    for backends in [&[&a][..], &[&a, &b], &[&b], &[&a, &b]] {
        wait_for_more(&load);
        world.write(&proxy_of(backends));
        let ran = world.run(&["reload"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    node.signal(Signal::Hup);
    wait_for_more(&load);
    assert_eq!(load.failures(), Vec::<String>::new());
}
