//! What the service manager hears (sd_notify).

use crate::world::{Backend, Node, PATIENCE, World, proxy_of};
use std::os::unix::net::UnixDatagram;
use sys::process::Signal;

struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn watch(world: &World) -> (Self, std::process::Command) {
        let path = world.path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = world.command(&["up"]);
        command.env("NOTIFY_SOCKET", path);
        (Self { socket }, command)
    }

    fn hears(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("the service manager hears something in time");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// The next message that says this, others being passed over.
    fn waits_for(&self, text: &str) -> String {
        loop {
            let message = self.hears();
            if message.lines().any(|line| line.starts_with(text)) {
                return message;
            }
        }
    }
}

#[test]
fn ready_reloading_and_stopping_are_told() {
    let backend = Backend::start("a");
    let world = World::new(&proxy_of(&[&backend]));
    let (manager, command) = Manager::watch(&world);
    let mut node = Node::start(command);
    let ready = manager.hears();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(!ready.contains("MAINPID"), "only after a takeover: {ready}");
    node.signal(Signal::Hup);
    let reloading = manager.hears();
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(reloading.starts_with("RELOADING=1\n"), "{reloading}");
    assert!(time.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0)), "{reloading}");
    assert!(manager.hears().contains("READY=1"));
    node.signal(Signal::Term);
    assert!(manager.hears().starts_with("STOPPING=1"));
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_while_the_node_lives() {
    let backend = Backend::start("a");
    let world = World::new(&proxy_of(&[&backend]));
    let (manager, mut command) = Manager::watch(&world);
    command.env("WATCHDOG_USEC", "100000");
    let _node = Node::start(command);
    for _ in 0..3 {
        manager.waits_for("WATCHDOG=1");
    }
}

#[test]
fn a_takeover_names_the_new_main_process() {
    let backend = Backend::start("a");
    let world = World::new(&proxy_of(&[&backend]));
    let (manager, command) = Manager::watch(&world);
    let mut old = Node::start(command);
    manager.waits_for("READY=1");
    old.wait_ready();
    let mut command = world.command(&["up", "--takeover"]);
    command.env("NOTIFY_SOCKET", world.path("notify.sock"));
    let new = Node::start(command);
    let told = manager.waits_for("MAINPID=");
    assert!(told.contains(&format!("MAINPID={}\n", new.pid())), "{told}");
    assert!(told.contains("READY=1"), "{told}");
    assert_eq!(old.wait().code(), Some(0));
}
