//! What a file may not say about a pool.

use super::world::config;
use crate::check;
use notation::{Faults, Name};

fn faults(toml: &str) -> Vec<String> {
    let mut faults = Faults::default();
    check(&config(toml), &Name::new("web"), &mut faults);
    faults.into_vec().into_iter().map(|fault| fault.message).collect()
}

#[test]
fn a_sound_pool_has_no_faults() {
    for sound in [
        "service = \"shop\"",
        "dns = \"shop.internal:80\"",
        "servers = [\"10.0.0.1:80\", \"[::1]:80\", { address = \"app:80\", weight = 0 }]",
        "servers = [\"a:1\"]\nbalance = \"maglev\"\nhash = { header = \"x-user\" }\nsticky = { cookie = \"at\" }",
        "servers = [\"a:1\"]\nhealth = { http = \"/healthz?deep=1\", status = \"200,204\", headers = { x-ok = \"yes\" }, host = \"shop.test\" }",
        "servers = [\"a:1\"]\nhealth = { grpc = \"\", host = \"shop.test\" }",
        "servers = [\"a:1\"]\ntls = true\nprotocol = \"http2\"\nproxy_protocol = \"v2\"",
        "servers = [\"a_-b:1\"]\ntls = { server_name = \"app.test\" }",
    ] {
        assert_eq!(faults(sound), [""; 0], "{sound}");
    }
}

#[test]
fn each_fault_is_named() {
    let cases = [
        ("balance = \"random\"", "nothing says who its endpoints are"),
        ("service = \"shop\"\ndns = \"a:1\"", "only one of `servers`, `service` and `dns`"),
        ("servers = []", "`servers` is empty"),
        ("servers = [\"app\"]", "server \"app\": an address is written"),
        ("servers = [\"a:1\", \"a:1\"]", "server \"a:1\" stands here twice"),
        ("servers = [{ address = \"a:1\", weight = 1001 }]", "weight 1001 is above 1000"),
        ("servers = [{ address = \"a:1\", weight = 0 }]", "every server has weight 0"),
        ("dns = \"shop\"", "`dns` is \"shop\""),
        ("service = \"s\"\nbalance = \"maglev\"", "`balance` hashes, but nothing says what"),
        ("service = \"s\"\nhash = \"path\"", "`hash` is given, but `balance` does not hash"),
        (
            "service = \"s\"\nhash = \"path\"\nbalance = \"ring-hash\"\nsticky = \"client-address\"",
            "is a hash itself",
        ),
        ("service = \"s\"\nsticky = { cookie = \"a b\" }", "`sticky.cookie` is \"a b\""),
        ("service = \"s\"\ntls = { cert = \"c.pem\" }", "`tls.cert` and `tls.key` go together"),
        ("service = \"s\"\nhealth = {}", "`health` does not say how to check"),
        ("service = \"s\"\nhealth = { tcp = true, grpc = \"\" }", "only one way"),
        ("service = \"s\"\nhealth = { http = \"healthz\" }", "which is no path"),
        ("service = \"s\"\nhealth = { http = \"/\", status = \"2xx\" }", "`health.status` is \"2xx\""),
        (
            "service = \"s\"\nhealth = { tcp = true, body = \"ok\" }",
            "`health.body` is for checks by `http` only",
        ),
        ("service = \"s\"\nhealth = { tcp = true, every = \"0\" }", "`health.every` must be above 0"),
        ("service = \"s\"\nhealth = { tcp = true, fall = 0 }", "`health.fall` must be at least 1"),
        (
            "service = \"s\"\nhealth = { http = \"/\", headers = { \"x y\" = \"1\" } }",
            "`health.headers` is \"x y\"",
        ),
        ("service = \"s\"\nlimit = { inflight = 0 }", "`limit.inflight` must be at least 1"),
        ("service = \"s\"\nretry = { attempts = 11 }", "`retry.attempts` is 11"),
        ("service = \"s\"\neject = { for = \"10m\" }", "`eject.for_max` is 5m, below `eject.for`, 10m"),
        ("service = \"s\"\neject = { ratio = \"0%\" }", "`eject.ratio` is 0%"),
        ("service = \"s\"\nslow_start = \"0\"", "`slow_start` must be above 0"),
        ("service = \"s\"\ntimeout = { connect = \"0\" }", "`timeout.connect` must be above 0"),
    ];
    for (toml, expected) in cases {
        let found = faults(toml);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{toml}: {found:?}");
        assert!(found.iter().all(|fault| fault.starts_with("pool `web`: ")), "{found:?}");
    }
}

#[test]
fn a_fault_stands_where_its_name_stands() {
    let text = "balance = \"random\"\nservers = [\"a:1\", \"app\"]";
    let mut faults = Faults::default();
    check(&config(text), &Name::new("web"), &mut faults);
    let span = faults.into_vec()[0].span.clone().unwrap();
    assert_eq!(&text[span], "\"app\"");
}
