//! Files of certificates: what is wrong with them, and what happens when they change.

use super::world::{DAY, NOW, World, meet};
use std::sync::Arc;

pub(super) const SITE: [(&str, &str); 1] = [("shop.test", "{ cert = \"shop.pem\", key = \"shop.key\" }")];

pub(super) fn error(world: &World, value: &str) -> String {
    let error = world.try_server(world.context(), &[("shop.test", value)]).unwrap_err().to_string();
    error.replace(&world.dir.path().display().to_string(), "DIR")
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    world.certificate("other", &["other.test"]);
    world.write("empty", "");
    world.write("torn", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    world.write("rubbish.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    world.write("rubbish.key", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    world.write(
        "locked",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let pair = |cert: &str, key: &str| format!("{{ cert = \"{cert}\", key = \"{key}\" }}");
    for (value, said) in [
        (pair("none.pem", "shop.key"), "DIR/none.pem: No such file or directory (os error 2)"),
        (pair("empty", "shop.key"), "DIR/empty has no certificate in it"),
        (pair("shop.pem", "empty"), "DIR/empty has no private key in it"),
        (pair("shop.pem", "shop.pem"), "DIR/shop.pem has no private key in it"),
        (
            pair("shop.pem", "locked"),
            "DIR/locked: its private key cannot be used: it has a passphrase, which nobody types here",
        ),
        (pair("shop.pem", "other.key"), "DIR/other.key is not the key of the certificate in DIR/shop.pem"),
        (pair("rubbish.pem", "shop.key"), "DIR/rubbish.pem: its certificate cannot be used: BadEncoding"),
        (
            "{ cert = \"shop.pem\", key = \"shop.key\", clients = { ca = \"empty\" } }".to_owned(),
            "DIR/empty has no certificate in it",
        ),
        (
            "{ cert = \"shop.pem\", key = \"shop.key\", ocsp = \"shop.pem\" }".to_owned(),
            "DIR/shop.pem cannot be stapled: it is no OCSP response in DER",
        ),
    ] {
        assert_eq!(error(&world, &value), said);
    }
    assert!(error(&world, &pair("torn", "shop.key")).starts_with("DIR/torn is no PEM file: "));
    assert!(
        error(&world, &pair("shop.pem", "rubbish.key"))
            .starts_with("DIR/rubbish.key: its private key cannot be used: ")
    );
}

#[test]
fn a_new_certificate_is_shown_once_it_is_there() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    let server = world.server(&SITE);
    let client = Arc::new(world.client());
    let before = meet(&server, &client, "shop.test").unwrap();
    let first = before.client.peer_certificates().unwrap()[0].clone();
    world.certificate("shop", &["shop.test"]);
    let unnoticed = meet(&server, &Arc::new(world.client()), "shop.test").unwrap();
    assert_eq!(unnoticed.client.peer_certificates().unwrap()[0], first);
    server.refresh();
    let after = meet(&server, &Arc::new(world.client()), "shop.test").unwrap();
    assert_ne!(after.client.peer_certificates().unwrap()[0], first);
    assert!(meet(&server, &client, "shop.test").unwrap().peer().is_resumed, "sessions of before go on");
}

#[test]
fn a_broken_new_file_keeps_the_certificate_before() {
    let world = World::new();
    world.certificate("shop", &["shop.test"]);
    let server = world.server(&SITE);
    let key = std::fs::read(world.path("shop.key")).unwrap();
    world.certificate("other", &["shop.test"]);
    // The new key has come, and its certificate has not.
    std::fs::rename(world.path("other.key"), world.path("shop.key")).unwrap();
    server.refresh();
    server.refresh();
    let met = meet(&server, &Arc::new(world.client()), "shop.test").unwrap();
    assert_eq!(met.shown(), "shop");
    std::fs::rename(world.path("other.pem"), world.path("shop.pem")).unwrap();
    server.refresh();
    let met = meet(&server, &Arc::new(world.client()), "shop.test").unwrap();
    assert_eq!(met.shown(), "other");
    world.write("shop.key", key);
    server.refresh();
    let met = meet(&server, &Arc::new(world.client()), "shop.test").unwrap();
    assert_eq!(met.shown(), "other", "the old key does not fit the new certificate");
}

#[test]
fn the_ends_of_certificates_are_told() {
    let world = World::new();
    world.certificate_with("shop", &["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    });
    let server = world.server(&SITE);
    let line =
        "nines_tls_certificate_expires_timestamp_seconds{key=\"ecdsa\",listener=\"edge\",name=\"shop.test\"}";
    let told = world.registry.render();
    assert!(told.contains(&format!("{line} 1893456000")), "{told}");
    world.certificate_with("shop", &["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    });
    server.refresh();
    let told = world.registry.render();
    assert!(told.contains(&format!("{line} 1924992000")), "{told}");
    drop(server);
    assert!(!world.registry.render().contains("nines_tls_certificate"));
}

#[test]
fn an_odd_certificate_is_shown_and_its_oddity_is_known() {
    let world = World::new();
    let odd = |name: &str| crate::facts::oddity(&world.key("shop"), name, NOW);
    world.certificate("shop", &["shop.test", "*.shop.test"]);
    for fine in ["shop.test", "*.shop.test", "default"] {
        assert_eq!(odd(fine), None);
    }
    assert_eq!(odd("other.test").unwrap(), "it is not for other.test");
    world.certificate_with("shop", &["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    });
    assert_eq!(odd("shop.test").unwrap(), "it expired 14 days ago");
    let server = world.server(&SITE);
    let apart = meet(&server, &Arc::new(world.client()), "shop.test").unwrap_err();
    assert!(
        matches!(apart, super::world::Apart::Client(_)),
        "the server shows it, the client does not like it"
    );
    world.certificate_with("shop", &["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(NOW + DAY);
    });
    assert_eq!(odd("shop.test").unwrap(), "it is not valid for another 86400 s");
}
