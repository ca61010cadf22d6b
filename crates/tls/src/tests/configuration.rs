//! What stands in the file.

use super::world::tls;
use crate::{
    Automatic, ClientTls, EdgeTls, Events, Failure, OcspFetch, TlsConfig, Version, check_client, check_edge,
    check_server,
};
use notation::{Faults, Name};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Both {
    tls: TlsConfig,
    pool: ClientTls,
}

fn faults(check: impl FnOnce(&mut Faults)) -> Vec<String> {
    let mut faults = Faults::default();
    check(&mut faults);
    faults.into_vec().into_iter().map(|fault| fault.message).collect()
}

fn of_site(value: &str, name: &str) -> Vec<String> {
    faults(|faults| check_server(&tls(value), &format!("site {name}"), &Name::new(name), faults))
}

#[test]
fn short_forms_are_read_and_written_back() {
    for (text, auto) in [
        ("tls = \"self-signed\"\npool = true\n", Some(Automatic::SelfSigned)),
        ("tls = \"acme\"\npool = true\n", Some(Automatic::Acme)),
    ] {
        let both: Both = toml::from_str(text).unwrap();
        assert_eq!(both.tls.0.auto, auto);
        assert!(both.pool.0.verify);
        assert_eq!(toml::to_string(&both).unwrap(), text);
    }
    let text = "tls = { auto = \"self-signed\", clients = { ca = \"ca.pem\" } }\n\
                pool = { server_name = \"app.test\", verify = false }";
    let both: Both = toml::from_str(text).unwrap();
    assert!(both.tls.0.clients.as_ref().unwrap().required);
    let written = toml::to_string(&both).unwrap();
    assert_eq!(toml::from_str::<Both>(&written).unwrap(), both);
    assert!(written.contains("auto = \"self-signed\""), "{written}");
}

#[test]
fn what_is_neither_form_is_refused() {
    for (text, said) in [
        ("tls = \"letsencrypt\"\npool = true", "unknown variant `letsencrypt`"),
        ("tls = true\npool = true", "expected \"self-signed\", \"acme\" or a table"),
        ("tls = { certificate = \"x\" }\npool = true", "unknown field `certificate`"),
        ("tls = \"acme\"\npool = false", "`tls = false` is written by leaving `tls` out"),
        ("tls = \"acme\"\npool = \"yes\"", "expected true or a table"),
        ("tls = \"acme\"\npool = { verfy = true }", "unknown field `verfy`"),
    ] {
        let error = toml::from_str::<Both>(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn the_schema_knows_both_forms() {
    let schema = serde_json::to_value(schemars::schema_for!(TlsConfig)).unwrap();
    let forms = schema["anyOf"].as_array().unwrap();
    assert_eq!(forms.len(), 2, "{schema}");
    assert!(schema["$defs"]["TlsTable"]["properties"]["certs"].is_object(), "{schema}");
    let schema = serde_json::to_value(schemars::schema_for!(ClientTls)).unwrap();
    assert_eq!(schema["anyOf"][0]["type"], "boolean");
    assert!(schema["$defs"]["ClientTable"]["properties"]["verify"].is_object(), "{schema}");
}

#[test]
fn a_site_shows_certificates_of_one_source() {
    for fine in [
        "\"self-signed\"",
        "\"acme\"",
        "{ cert = \"c\", key = \"k\", ocsp = \"o\" }",
        "{ certs = [{ cert = \"c\", key = \"k\" }] }",
        "{ auto = \"acme\", clients = { ca = \"ca\", required = false } }",
    ] {
        assert!(of_site(fine, "shop.test").is_empty(), "{fine}");
    }
    for (value, said) in [
        ("{}", "site shop.test: `tls` does not say which certificate it shows"),
        ("{ clients = { ca = \"ca\" } }", "site shop.test: `tls` does not say which certificate it shows"),
        (
            "{ auto = \"acme\", cert = \"c\", key = \"k\" }",
            "site shop.test: `tls` takes one of `auto`, `cert` and `certs`",
        ),
        ("{ cert = \"c\" }", "site shop.test: `tls.cert` is without its `key`"),
        ("{ key = \"k\" }", "site shop.test: `tls.key` is without its `cert`"),
        (
            "{ certs = [{ cert = \"c\", key = \"k\" }], ocsp = \"o\" }",
            "site shop.test: `tls.ocsp` is without the `cert` it speaks of",
        ),
    ] {
        assert_eq!(of_site(value, "shop.test"), [said], "{value}");
    }
    assert_eq!(
        of_site("\"acme\"", "default"),
        ["site default: `tls = \"acme\"` wants a name to ask a certificate for"]
    );
}

#[test]
fn the_edge_speaks_some_version_and_rotates_its_keys_in_time() {
    let read = |text: &str| toml::from_str::<EdgeTls>(text).unwrap();
    let of = |text: &str| faults(|faults| check_edge(&read(text), faults));
    assert_eq!(read("").versions, [Version::Tls12, Version::Tls13]);
    assert_eq!((read("").ocsp, read("ocsp = \"off\"").ocsp), (OcspFetch::Fetch, OcspFetch::Off));
    assert!(of("versions = [\"1.3\"]\ntickets = { secret = { env = \"X\" }, rotate = \"1h\" }").is_empty());
    assert_eq!(of("versions = []"), ["[edge.tls] versions is empty"]);
    for rotate in ["10s", "4d"] {
        let said = format!(
            "[edge.tls] tickets.rotate is {rotate}: from 1m to 3d12h, as a ticket lives for two of it"
        );
        assert_eq!(of(&format!("tickets = {{ rotate = \"{rotate}\" }}")), [said]);
    }
    for bad in ["versions = [\"1.1\"]", "ocsp = false"] {
        assert!(toml::from_str::<EdgeTls>(bad).is_err());
    }
}

#[test]
fn a_pool_says_whom_it_believes() {
    let of = |text: &str| {
        let tls: ClientTls = ClientTls(toml::from_str(text).unwrap());
        faults(|faults| check_client(&tls, &Name::new("api"), faults))
    };
    assert!(of("").is_empty());
    assert!(of("ca = \"ca\"\nserver_name = \"app.test\"\ncert = \"c\"\nkey = \"k\"").is_empty());
    assert_eq!(of("cert = \"c\""), ["pool `api`: `tls.cert` and `tls.key` go together"]);
    assert_eq!(
        of("ca = \"ca\"\nverify = false"),
        ["pool `api`: `tls.ca` says whom to believe, and `tls.verify = false` to believe anybody"]
    );
    assert_eq!(
        of("server_name = \"a b\""),
        ["pool `api`: `tls.server_name` is \"a b\", which is no host name"]
    );
}

#[test]
fn handshakes_are_counted_by_version_and_failure() {
    let world = super::world::World::new();
    let events = Events::new(&world.registry, "edge");
    let server = world.server_of(&["shop.test"]);
    let client = std::sync::Arc::new(world.client());
    for name in ["shop.test", "shop.test", "other.test"] {
        match super::world::meet(&server, &client, name) {
            Ok(met) => events.succeeded(&met.peer()),
            Err(apart) => events.failed(apart.failure()),
        }
    }
    events.failed(Failure::of(&std::io::Error::from(std::io::ErrorKind::TimedOut)));
    events.failed(Failure::of(&std::io::Error::other(rustls::Error::HandshakeNotComplete)));
    events.failed(Failure::of(&std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
    let told = world.registry.render();
    for line in [
        "nines_tls_handshakes_total{listener=\"edge\",resumed=\"false\",version=\"1.3\"} 1",
        "nines_tls_handshakes_total{listener=\"edge\",resumed=\"true\",version=\"1.3\"} 1",
        "nines_tls_handshakes_total{listener=\"edge\",resumed=\"true\",version=\"1.2\"} 0",
        "nines_tls_handshake_failures_total{listener=\"edge\",reason=\"unknown_name\"} 1",
        "nines_tls_handshake_failures_total{listener=\"edge\",reason=\"timeout\"} 1",
        "nines_tls_handshake_failures_total{listener=\"edge\",reason=\"protocol\"} 1",
        "nines_tls_handshake_failures_total{listener=\"edge\",reason=\"gone\"} 1",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
}
