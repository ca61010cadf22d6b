//! Who is shown what, by the name that is asked for.

use super::world::{Apart, Shelf, World, meet};
use crate::{Client, ClientTable, ClientTls, Failure, Refused, Version};
use std::sync::Arc;

#[test]
fn a_name_is_found_exactly_then_by_its_longest_wildcard_then_as_default() {
    let world = World::new();
    let server = world.server_of(&["shop.test", "*.shop.test", "*.eu.shop.test", "default"]);
    let client = Arc::new(world.client());
    for (name, file) in [
        ("shop.test", "shop.test"),
        ("SHOP.test", "shop.test"),
        ("www.shop.test", "any.shop.test"),
        ("a.eu.shop.test", "any.eu.shop.test"),
        ("fallback.test", "default"),
    ] {
        let met = meet(&server, &client, name).unwrap();
        assert_eq!(met.shown(), file, "{name}");
        assert_eq!(met.peer().server_name.as_deref(), Some(name.to_ascii_lowercase().as_str()));
    }
    // A wildcard stands for more than one label here, though its certificate does not.
    assert_eq!(
        meet(&server, &client, "a.b.shop.test").unwrap_err().failure(),
        Failure::ClientCertificate,
        "the client does not believe it"
    );
}

#[test]
fn an_unknown_name_is_refused_with_its_alert() {
    let world = World::new();
    let server = world.server_of(&["shop.test", "*.shop.test"]);
    let client = Arc::new(world.client());
    let apart = meet(&server, &client, "other.test").unwrap_err();
    assert_eq!(apart, Apart::Refused(Refused::UnknownName { name: Some("other.test".into()) }));
    assert_eq!(apart.failure(), Failure::UnknownName);
    let Apart::Refused(refused) = apart else { unreachable!("it was compared above") };
    assert_eq!(refused.alert(), [21, 3, 3, 0, 2, 2, 112]);
    assert_eq!(refused.to_string(), "no certificate for \"other.test\"");
    let again = meet(&server, &client, "eshop.test").unwrap_err();
    assert_eq!(again.failure(), Failure::UnknownName, "a wildcard begins at a dot");
}

#[test]
fn the_alert_is_what_a_client_reads_as_unrecognised_name() {
    let world = World::new();
    let config = Arc::new(world.client());
    let mut client =
        rustls::ClientConnection::new(config, "other.test".to_owned().try_into().unwrap()).unwrap();
    client.write_tls(&mut Vec::new()).unwrap();
    client.read_tls(&mut Refused::UnknownName { name: None }.alert().as_slice()).unwrap();
    let heard = client.process_new_packets().unwrap_err();
    assert_eq!(heard, rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName));
}

#[test]
fn a_client_that_names_nobody_meets_the_default_or_else_the_first() {
    let world = World::new();
    let trustful = || {
        let tls = ClientTls(ClientTable { verify: false, ..ClientTable::default() });
        Client::load(&tls, "web", world.dir.path(), &[], world.clock.clone()).unwrap().config()
    };
    let met = meet(&world.server_of(&["a.test", "default"]), &trustful(), "127.0.0.1").unwrap();
    assert_eq!(met.shown(), "default");
    assert_eq!(met.peer().server_name, None);
    let met = meet(&world.server_of(&["a.test", "b.test"]), &trustful(), "127.0.0.1").unwrap();
    assert_eq!(met.shown(), "a.test");
    assert_eq!(met.chosen.site.as_deref(), Some("a.test"));
}

#[test]
fn the_protocol_within_is_the_first_of_ours_that_the_client_speaks() {
    let world = World::new();
    let server = world.server_of(&["shop.test"]);
    for (offered, agreed) in
        [(vec![], None), (vec!["http/1.1"], Some("http/1.1")), (vec!["http/1.1", "h2"], Some("h2"))]
    {
        let mut client = world.client();
        client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let met = meet(&server, &Arc::new(client), "shop.test").unwrap();
        assert_eq!(met.peer().alpn.as_deref(), agreed.map(str::as_bytes));
    }
    let mut client = world.client();
    client.alpn_protocols = vec![b"imap".to_vec()];
    let apart = meet(&server, &Arc::new(client), "shop.test").unwrap_err();
    assert_eq!(apart.failure(), Failure::NothingInCommon);
}

#[test]
fn both_versions_are_spoken_unless_one_is_left_out() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    let site = [("shop.test", "{ cert = \"shop.pem\", key = \"shop.key\" }")];
    let both = world.server(&site);
    let new = Arc::new(world.client());
    let old = Arc::new(world.client_12());
    assert_eq!(meet(&both, &new, "shop.test").unwrap().peer().version, Version::Tls13);
    let met = meet(&both, &old, "shop.test").unwrap();
    assert_eq!(met.peer().version, Version::Tls12);
    assert!(met.peer().cipher.starts_with("TLS_ECDHE_ECDSA_WITH_"), "{}", met.peer().cipher);
    let only_new =
        world.server_with(crate::ServerContext { versions: vec![Version::Tls13], ..world.context() }, &site);
    let apart = meet(&only_new, &old, "shop.test").unwrap_err();
    assert_eq!(apart.failure(), Failure::NothingInCommon);
}

#[test]
fn of_several_certificates_a_client_gets_the_first_that_it_can_verify() {
    let world = World::new();
    world.certificate("ecdsa", &["shop.test"]);
    world.certificate_with("rsa", &["shop.test"], &rcgen::PKCS_RSA_SHA256, |_| {});
    let server = world.server(&[(
        "shop.test",
        "{ certs = [{ cert = \"ecdsa.pem\", key = \"ecdsa.key\" }, { cert = \"rsa.pem\", key = \"rsa.key\" }] }",
    )]);
    assert_eq!(meet(&server, &Arc::new(world.client()), "shop.test").unwrap().shown(), "ecdsa");

    // One that knows RSA only, by its cipher suites.
    let mut provider = crate::provider().as_ref().clone();
    provider.cipher_suites =
        vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(world.path("ca.pem")).unwrap()).unwrap();
    let old = rustls::ClientConfig::builder_with_details(Arc::new(provider), world.clock.clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert_eq!(meet(&server, &Arc::new(old), "shop.test").unwrap().shown(), "rsa");
}

#[test]
fn an_issued_certificate_is_asked_for_at_each_handshake() {
    let world = World::new();
    let shelf = Shelf::empty();
    let context = crate::ServerContext { issued: Some(shelf.clone()), ..world.context() };
    let server = world.server_with(context, &[("*.shop.test", "\"acme\"")]);
    let client = Arc::new(world.client());
    let apart = meet(&server, &client, "www.shop.test").unwrap_err();
    assert_eq!(apart.failure(), Failure::NotIssued);
    let Apart::Refused(refused) = apart else { panic!("{apart:?}") };
    assert_eq!(refused.alert()[6], 80);
    world.certificate("first", &["*.shop.test"]);
    shelf.put("*.shop.test", world.key("first"));
    assert_eq!(meet(&server, &client, "www.shop.test").unwrap().shown(), "first");
    let told = || {
        world
            .registry
            .render()
            .contains("expires_timestamp_seconds{key=\"ecdsa\",listener=\"edge\",name=\"*.shop.test\"}")
    };
    assert!(!told());
    server.refresh();
    assert!(told(), "its end is told once it is there");
    world.certificate("second", &["*.shop.test"]);
    shelf.0.lock().unwrap().clear();
    shelf.put("*.shop.test", world.key("second"));
    assert_eq!(meet(&server, &Arc::new(world.client()), "www.shop.test").unwrap().shown(), "second");
}

#[test]
fn without_an_issuer_acme_is_an_error_of_the_file() {
    let world = World::new();
    let error = world.try_server(world.context(), &[("shop.test", "\"acme\"")]).unwrap_err();
    assert_eq!(error.to_string(), "shop.test: `tls = \"acme\"` wants `[edge.acme]`");
}

#[test]
fn a_challenge_is_answered_with_its_own_certificate_and_nothing_else_is() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    world.certificate("challenge", &["shop.test"]);
    let shelf = Shelf::empty();
    shelf.put("shop.test", world.key("challenge"));
    let context = crate::ServerContext { challenges: Some(shelf.clone()), ..world.context() };
    let server = world.server_with(context, &[("shop.test", "{ cert = \"shop.pem\", key = \"shop.key\" }")]);
    let mut authority = world.client();
    authority.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let authority = Arc::new(authority);
    let met = meet(&server, &authority, "shop.test").unwrap();
    assert_eq!(met.shown(), "challenge");
    assert!(met.chosen.is_challenge);
    assert_eq!(met.peer().alpn.as_deref(), Some(&b"acme-tls/1"[..]));
    let met = meet(&server, &Arc::new(world.client()), "shop.test").unwrap();
    assert_eq!(met.shown(), "shop");
    assert!(!met.chosen.is_challenge);
    shelf.0.lock().unwrap().clear();
    let apart = meet(&server, &authority, "shop.test").unwrap_err();
    assert_eq!(apart.failure(), Failure::UnknownName, "no challenge is under way");
}
