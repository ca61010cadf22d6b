//! TLS towards endpoints.

use super::world::{World, meet};
use crate::{Client, ClientTls, Error};
use rustls::pki_types::ServerName;
use std::sync::Arc;

fn load(world: &World, value: &str) -> Result<Client, Error> {
    #[derive(serde::Deserialize)]
    struct Pool {
        tls: ClientTls,
    }
    let pool: Pool = toml::from_str(&format!("tls = {value}")).unwrap();
    Client::load(&pool.tls, "web", world.dir.path(), &[b"h2"], world.clock.clone())
}

#[test]
fn an_endpoint_is_believed_by_its_authority_and_its_name() {
    let world = World::new();
    let server = world.server_of(&["app.test", "default"]);
    let client = load(&world, "{ ca = \"ca.pem\" }").unwrap();
    let met = meet(&server, &client.config(), "app.test").unwrap();
    assert_eq!(met.peer().alpn.as_deref(), Some(&b"h2"[..]));
    assert!(
        meet(&server, &client.config(), "other.test").is_err(),
        "the default's certificate is for another"
    );
    world.other_authority("other.pem");
    let client = load(&world, "{ ca = \"other.pem\" }").unwrap();
    assert!(meet(&server, &client.config(), "app.test").is_err());
    let client = load(&world, "{ verify = false }").unwrap();
    assert!(meet(&server, &client.config(), "other.test").is_ok());
    assert!(meet(&server, &client.config(), "127.0.0.1").is_ok());
}

#[test]
fn it_is_asked_for_by_the_name_of_the_file_or_the_host_of_its_address() {
    let world = World::new();
    let named = load(&world, "{ ca = \"ca.pem\", server_name = \"app.test\" }").unwrap();
    assert_eq!(named.server_name("10.0.0.1").unwrap(), ServerName::try_from("app.test").unwrap());
    let plain = load(&world, "{ ca = \"ca.pem\" }").unwrap();
    for (host, name) in [("app-1", "app-1"), ("10.0.0.1", "10.0.0.1"), ("[2001:db8::1]", "2001:db8::1")] {
        assert_eq!(plain.server_name(host).unwrap(), ServerName::try_from(name).unwrap());
    }
    let error = plain.server_name("not a host").unwrap_err().to_string();
    assert_eq!(
        error,
        "\"not a host\" is no name that a certificate can carry; give the pool `tls.server_name`"
    );
}

#[test]
fn other_protocols_can_be_spoken_by_the_same_rules() {
    let world = World::new();
    let server = world.server_of(&["app.test"]);
    let client = load(&world, "{ ca = \"ca.pem\" }").unwrap();
    let met = meet(&server, &client.config_for(&[b"http/1.1"]), "app.test").unwrap();
    assert_eq!(met.peer().alpn.as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let world = World::new();
    world.certificate("alice", &["alice.test"]);
    world.certificate("bob", &["bob.test"]);
    let said = |value: &str| {
        let error = load(&world, value).unwrap_err().to_string();
        error.replace(&world.dir.path().display().to_string(), "DIR")
    };
    assert_eq!(said("{ ca = \"none.pem\" }"), "DIR/none.pem: No such file or directory (os error 2)");
    assert_eq!(
        said("{ ca = \"ca.pem\", cert = \"alice.pem\", key = \"bob.key\" }"),
        "DIR/bob.key is not the key of the certificate in DIR/alice.pem"
    );
}

#[test]
fn changed_files_are_followed_and_broken_ones_are_not() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    world.certificate("alice", &["alice.test"]);
    let value = "{ cert = \"shop.pem\", key = \"shop.key\", clients = { ca = \"ca.pem\" } }";
    let server = world.server(&[("shop.test", value)]);
    let client = load(&world, "{ ca = \"ca.pem\", cert = \"alice.pem\", key = \"alice.key\" }").unwrap();
    let shown = |client: &Client| {
        let met = meet(&server, &client.config(), "shop.test").unwrap();
        met.peer().certificate.unwrap()
    };
    let first = shown(&client);
    world.certificate("alice", &["alice.test"]);
    client.refresh();
    let second = shown(&client);
    assert_ne!(first, second);
    world.write("alice.key", "nothing");
    client.refresh();
    client.refresh();
    assert_eq!(shown(&client), second);
}

#[test]
fn the_machine_has_authorities_or_says_that_it_has_none() {
    let world = World::new();
    match load(&world, "true") {
        Ok(client) => assert!(Arc::strong_count(&client.config()) > 0),
        Err(error) => assert!(error.to_string().ends_with("name a file with some as `ca`"), "{error}"),
    }
}
