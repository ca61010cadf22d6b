//! `tls = "self-signed"`: what is made, what is kept, and what is made anew.

use super::world::{DAY, World, meet};
use crate::{Client, ClientTable, ClientTls};
use rustls::ClientConfig;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// A client that trusts the node's own authority, as a user would who was told to.
fn believer(world: &World) -> Arc<ClientConfig> {
    let ca = Some(world.path("data/tls/ca.pem"));
    let tls = ClientTls(ClientTable { ca, ..ClientTable::default() });
    Client::load(&tls, "web", world.dir.path(), &[], world.clock.clone()).unwrap().config()
}

fn certificate(world: &World, server: &crate::Server, name: &str) -> Vec<u8> {
    meet(server, &believer(world), name).unwrap().client.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn whoever_trusts_the_authority_believes_every_site() {
    let world = World::new();
    let server = world.server(&[
        ("shop.test", "\"self-signed\""),
        ("*.shop.test", "\"self-signed\""),
        ("default", "{ auto = \"self-signed\" }"),
    ]);
    let client = believer(&world);
    for name in ["shop.test", "www.shop.test", "localhost", "127.0.0.1", "::1"] {
        meet(&server, &client, name).unwrap_or_else(|apart| panic!("{name}: {apart:?}"));
    }
    assert!(meet(&server, &Arc::new(world.client()), "shop.test").is_err(), "others do not");
}

#[test]
fn keys_are_readable_to_the_owner_only() {
    let world = World::new();
    world.server(&[("*.shop.test", "\"self-signed\"")]);
    let folder = world.path("data/tls");
    let mut found: Vec<(String, u32)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), mode)
        })
        .collect();
    found.sort();
    let names: Vec<(&str, u32)> = found.iter().map(|(name, mode)| (name.as_str(), *mode)).collect();
    assert_eq!(names, [("authority.pem", 0o600), ("ca.pem", 0o644), ("site-_.shop.test.pem", 0o600)]);
}

#[test]
fn a_restart_shows_the_same_certificate() {
    let world = World::new();
    let site = [("shop.test", "\"self-signed\"")];
    let first = certificate(&world, &world.server(&site), "shop.test");
    let authority = std::fs::read(world.path("data/tls/ca.pem")).unwrap();
    assert_eq!(certificate(&world, &world.server(&site), "shop.test"), first);
    assert_eq!(std::fs::read(world.path("data/tls/ca.pem")).unwrap(), authority);
}

#[test]
fn it_is_made_anew_before_it_ends_and_the_authority_stays() {
    let world = World::new();
    let server = world.server(&[("shop.test", "\"self-signed\"")]);
    let authority = std::fs::read(world.path("data/tls/ca.pem")).unwrap();
    let first = certificate(&world, &server, "shop.test");
    world.clock.advance(59 * DAY);
    server.refresh();
    assert_eq!(certificate(&world, &server, "shop.test"), first);
    world.clock.advance(2 * DAY);
    server.refresh();
    let second = certificate(&world, &server, "shop.test");
    assert_ne!(second, first);
    assert_eq!(std::fs::read(world.path("data/tls/ca.pem")).unwrap(), authority);
    // The authority goes once it would end before its certificates.
    world.clock.advance(3600 * DAY);
    server.refresh();
    assert_ne!(std::fs::read(world.path("data/tls/ca.pem")).unwrap(), authority);
    assert_ne!(certificate(&world, &server, "shop.test"), second);
}

#[test]
fn a_kept_file_that_does_not_fit_is_replaced() {
    let world = World::new();
    let site = [("shop.test", "\"self-signed\"")];
    let first = certificate(&world, &world.server(&site), "shop.test");
    world.write("data/tls/site-shop.test.pem", "torn");
    let second = certificate(&world, &world.server(&site), "shop.test");
    assert_ne!(first, second);
    // One of another site.
    world.server(&[("other.test", "\"self-signed\"")]);
    std::fs::rename(world.path("data/tls/site-other.test.pem"), world.path("data/tls/site-shop.test.pem"))
        .unwrap();
    certificate(&world, &world.server(&site), "shop.test");
    // One of an authority that is gone.
    std::fs::remove_file(world.path("data/tls/authority.pem")).unwrap();
    certificate(&world, &world.server(&site), "shop.test");
}

#[test]
fn the_file_to_trust_comes_back_and_holds_no_key() {
    let world = World::new();
    let site = [("shop.test", "\"self-signed\"")];
    let first = certificate(&world, &world.server(&site), "shop.test");
    let shown = std::fs::read_to_string(world.path("data/tls/ca.pem")).unwrap();
    assert_eq!(shown.matches("-----BEGIN").count(), 1, "{shown}");
    std::fs::remove_file(world.path("data/tls/ca.pem")).unwrap();
    assert_eq!(certificate(&world, &world.server(&site), "shop.test"), first);
    assert_eq!(std::fs::read_to_string(world.path("data/tls/ca.pem")).unwrap(), shown);
}

#[test]
fn an_authority_that_cannot_be_used_is_an_error_and_not_made_anew() {
    let world = World::new();
    let site = [("shop.test", "\"self-signed\"")];
    world.server(&site);
    let shown = std::fs::read_to_string(world.path("data/tls/ca.pem")).unwrap();
    let said = || world.try_server(world.context(), &site).unwrap_err().to_string();
    let key = rcgen::KeyPair::generate().unwrap();
    world.write("data/tls/authority.pem", key.serialize_pem() + &shown);
    assert!(said().contains("authority.pem is not the key of the certificate in "), "{}", said());
    world.write("data/tls/authority.pem", &shown);
    assert!(said().contains("authority.pem: its private key cannot be used: "), "{}", said());
    world.write("data/tls/authority.pem", "");
    assert!(said().ends_with("authority.pem has no certificate in it"), "{}", said());
}

#[test]
fn it_may_ask_for_certificates_of_clients() {
    let world = World::new();
    world.certificate("alice", &["alice.test"]);
    let server = world.server(&[("shop.test", "{ auto = \"self-signed\", clients = { ca = \"ca.pem\" } }")]);
    assert!(meet(&server, &believer(&world), "shop.test").is_err());
    let mut table = ClientTable { ca: Some(world.path("data/tls/ca.pem")), ..ClientTable::default() };
    table.cert = Some("alice.pem".into());
    table.key = Some("alice.key".into());
    let alice = Client::load(&ClientTls(table), "web", world.dir.path(), &[], world.clock.clone()).unwrap();
    assert!(meet(&server, &alice.config(), "shop.test").unwrap().peer().certificate.is_some());
}
