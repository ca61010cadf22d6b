//! Sessions that go on: within a node, on another, in the next epoch, and where they must not.

use super::world::{HOUR, World, meet};
use crate::{Server, Tickets, TicketsConfig, Version};
use rustls::ClientConfig;
use std::sync::Arc;

const SITE: [(&str, &str); 1] = [("shop.test", "{ cert = \"shop.pem\", key = \"shop.key\" }")];

fn world() -> World {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    world.certificate("alice", &["alice.test"]);
    world.write("secret", "0123456789abcdef0123456789abcdef\n");
    world
}

fn shared() -> TicketsConfig {
    toml::from_str("secret = { file = \"secret\" }\nrotate = \"12h\"").unwrap()
}

/// A server on a node of its own, with tickets of its own.
fn node(world: &World, tickets: &TicketsConfig, sites: &[(&str, &str)]) -> Arc<Server> {
    let tickets = Tickets::load(tickets, world.dir.path(), world.clock.clone()).unwrap();
    world.server_with(crate::ServerContext { tickets, ..world.context() }, sites)
}

/// Whether a second connection resumes the first one's session.
fn resumes(first: &Server, second: &Server, client: &Arc<ClientConfig>) -> bool {
    assert!(!meet(first, client, "shop.test").unwrap().peer().is_resumed, "the client is new");
    meet(second, client, "shop.test").unwrap().peer().is_resumed
}

#[test]
fn a_client_that_comes_back_resumes_its_session() {
    let world = world();
    let server = world.server(&SITE);
    for client in [world.client(), world.client_12()] {
        assert!(resumes(&server, &server, &Arc::new(client)));
    }
}

#[test]
fn it_resumes_on_another_node_with_the_same_secret() {
    let world = world();
    let (here, there) = (node(&world, &shared(), &SITE), node(&world, &shared(), &SITE));
    for (client, version) in [(world.client(), Version::Tls13), (world.client_12(), Version::Tls12)] {
        let client = Arc::new(client);
        assert!(resumes(&here, &there, &client));
        assert_eq!(meet(&there, &client, "shop.test").unwrap().peer().version, version);
    }
}

#[test]
fn it_does_not_resume_without_the_secret_or_with_another() {
    let world = world();
    let here = node(&world, &shared(), &SITE);
    world.write("secret", "another secret of thirty-two and more bytes");
    let other = node(&world, &shared(), &SITE);
    let own = node(&world, &TicketsConfig::default(), &SITE);
    for (first, second) in
        [(&here, &other), (&here, &own), (&own, &node(&world, &TicketsConfig::default(), &SITE))]
    {
        assert!(!resumes(first, second, &Arc::new(world.client())));
        assert!(!resumes(first, second, &Arc::new(world.client_12())));
    }
}

#[test]
fn a_reload_keeps_random_keys_and_reads_a_shared_secret_again() {
    let world = world();
    let own = Tickets::load(&TicketsConfig::default(), world.dir.path(), world.clock.clone()).unwrap();
    assert!(Arc::ptr_eq(&own, &own.reload(&TicketsConfig::default(), world.dir.path()).unwrap()));
    let with = |tickets: &Arc<Tickets>| {
        world.server_with(crate::ServerContext { tickets: tickets.clone(), ..world.context() }, &SITE)
    };
    let shared_before = own.reload(&shared(), world.dir.path()).unwrap();
    let same = shared_before.reload(&shared(), world.dir.path()).unwrap();
    assert!(resumes(&with(&shared_before), &with(&same), &Arc::new(world.client())));
    world.write("secret", "another secret of thirty-two and more bytes");
    let changed = shared_before.reload(&shared(), world.dir.path()).unwrap();
    assert!(!resumes(&with(&shared_before), &with(&changed), &Arc::new(world.client())));
}

#[test]
fn a_secret_that_can_be_guessed_is_refused() {
    let world = world();
    world.write("secret", "hunter2");
    let error = Tickets::load(&shared(), world.dir.path(), world.clock.clone()).unwrap_err();
    assert_eq!(error.to_string(), "tls.tickets.secret has 7 bytes, fewer than the 32 that cannot be guessed");
}

#[test]
fn a_session_outlives_one_rotation_and_not_two() {
    for tickets in [shared(), TicketsConfig::default()] {
        let world = world();
        let server = node(&world, &tickets, &SITE);
        let client = Arc::new(world.client_12());
        assert!(!meet(&server, &client, "shop.test").unwrap().peer().is_resumed);
        world.clock.advance(12 * HOUR - 1);
        assert!(meet(&server, &client, "shop.test").unwrap().peer().is_resumed, "in the next epoch");
        let client = Arc::new(world.client_12());
        assert!(!meet(&server, &client, "shop.test").unwrap().peer().is_resumed);
        world.clock.advance(24 * HOUR);
        assert!(!meet(&server, &client, "shop.test").unwrap().peer().is_resumed, "two epochs later");
    }
}

#[test]
fn keys_change_with_the_epoch_and_a_node_whose_clock_is_behind_follows() {
    let world = world();
    let early = Tickets::load(&shared(), world.dir.path(), world.clock.clone()).unwrap().under(b"label");
    let before = early.encrypt(b"session").unwrap();
    // The other node's clock.
    let other = World::new();
    other.write("secret", "0123456789abcdef0123456789abcdef");
    other.clock.advance(12 * HOUR);
    let ahead = Tickets::load(&shared(), other.dir.path(), other.clock.clone()).unwrap().under(b"label");
    let next = ahead.encrypt(b"session").unwrap();
    assert_ne!(before[..16], next[..16], "the key's name is the epoch's");
    assert_eq!(early.decrypt(&next).as_deref(), Some(&b"session"[..]), "from the epoch to come");
    assert_eq!(ahead.decrypt(&before).as_deref(), Some(&b"session"[..]), "from the epoch before");
    other.clock.advance(12 * HOUR);
    let further = ahead.encrypt(b"session").unwrap();
    assert_eq!(early.decrypt(&further), None, "two epochs ahead");
    assert_eq!(ahead.decrypt(&before), None, "two epochs behind");
}

#[test]
fn a_ticket_that_was_changed_in_any_byte_is_none() {
    let world = world();
    let tickets = world.tickets.under(b"label");
    let ticket = tickets.encrypt(b"a session").unwrap();
    assert_eq!(tickets.decrypt(&ticket).unwrap(), b"a session");
    assert_ne!(ticket, tickets.encrypt(b"a session").unwrap(), "two of the same differ");
    for nth in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[nth] ^= 1;
        assert_eq!(tickets.decrypt(&changed), None, "byte {nth}");
        assert_eq!(tickets.decrypt(&ticket[..nth]), None, "cut at {nth}");
    }
    assert_eq!(world.tickets.under(b"other").decrypt(&ticket), None, "under another label");
    assert_eq!(tickets.encrypt(&[0; 17 << 10]), None, "a longer one is not made");
    assert_eq!(tickets.decrypt(&[0; 18 << 10]), None);
}

#[test]
fn a_session_does_not_go_on_where_clients_must_show_other_certificates() {
    let world = world();
    world.other_authority("partners.pem");
    let site = |clients: &str| format!("{{ cert = \"shop.pem\", key = \"shop.key\"{clients} }}");
    let open = site("");
    let optional = site(", clients = { ca = \"ca.pem\", required = false }");
    let required = site(", clients = { ca = \"ca.pem\" }");
    let both = world.path("both.pem");
    let text = |file: &str| std::fs::read_to_string(world.path(file)).unwrap();
    std::fs::write(&both, text("ca.pem") + &text("partners.pem")).unwrap();
    let more = site(", clients = { ca = \"both.pem\" }");
    let nodes: Vec<Arc<Server>> = [&open, &optional, &required, &more]
        .map(|value| node(&world, &shared(), &[("shop.test", value)]))
        .to_vec();
    for (nth, first) in nodes.iter().enumerate() {
        for (other, second) in nodes.iter().enumerate() {
            let client = Arc::new(world.client_with("alice"));
            assert_eq!(resumes(first, second, &client), nth == other, "from {nth} to {other}");
        }
    }
}

#[test]
fn a_session_does_not_go_on_at_another_listener() {
    let world = world();
    let edge = world.server(&SITE);
    let tcp = world.server_with(crate::ServerContext { listener: "tcp db".into(), ..world.context() }, &SITE);
    assert!(!resumes(&edge, &tcp, &Arc::new(world.client())));
}

#[test]
fn a_resumed_session_still_knows_its_client() {
    let world = world();
    let value = "{ cert = \"shop.pem\", key = \"shop.key\", clients = { ca = \"ca.pem\" } }";
    let server = world.server(&[("shop.test", value)]);
    for client in [world.client_with("alice"), world.client_of(&[&rustls::version::TLS12], Some("alice"))] {
        let client = Arc::new(client);
        let first = meet(&server, &client, "shop.test").unwrap().peer();
        let second = meet(&server, &client, "shop.test").unwrap().peer();
        assert!(second.is_resumed && !first.is_resumed);
        assert!(first.certificate.is_some());
        assert_eq!(first.certificate, second.certificate);
    }
}
