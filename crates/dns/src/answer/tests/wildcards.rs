//! RFC 4592: the whole of §2.2.1's example, and the rules around it.

use super::world::{ask, plain_zone, zone, zones};
use crate::Zones;

/// RFC 4592 §2.2.1, with data where it says `<SOA RDATA>` and `<SRV RDATA>`.
fn example() -> Zones {
    zones([zone(
        "example",
        "
        example.                 3600 IN  SOA   ns.example.com. admin.example.com. 1 2 3 4 300
        example.                 3600     NS    ns.example.com.
        example.                 3600     NS    ns.example.net.
        *.example.               3600     TXT   \"this is a wildcard\"
        *.example.               3600     MX    10 host1.example.
        sub.*.example.           3600     TXT   \"this is not a wildcard\"
        host1.example.           3600     A     192.0.2.1
        _ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
        _ssh._tcp.host2.example. 3600     SRV   0 0 22 host1.example.
        subdel.example.          3600     NS    ns.example.com.
        subdel.example.          3600     NS    ns.example.net.
        ",
    )])
}

/// RFC 4592 §2.2.1: "the following responses would be synthesized from one of the wildcards".
#[test]
fn a_name_that_is_not_there_has_what_the_wildcard_has() {
    let response = ask(&example(), "host3.example MX");
    assert_eq!(response.status(), "NOERROR aa");
    assert_eq!(response.answer, ["host3.example 3600 MX 10 host1.example."]);
    let response = ask(&example(), "host3.example A");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", 0));
    assert_eq!(response.authority.len(), 1, "no data of that type at the wildcard");
    let response = ask(&example(), "foo.bar.example TXT");
    assert_eq!(response.answer, ["foo.bar.example 3600 TXT \"this is a wildcard\""]);
}

/// RFC 4592 §2.2.1: "the following responses would not be synthesized from any of the wildcards".
#[test]
fn a_name_that_is_there_has_nothing_from_the_wildcard() {
    for (asked, status, why) in [
        ("host1.example MX", "NOERROR aa", "host1.example exists"),
        ("sub.*.example MX", "NOERROR aa", "sub.*.example exists"),
        ("_telnet._tcp.host1.example SRV", "NXDOMAIN aa", "_tcp.host1.example exists"),
        ("host.subdel.example A", "NOERROR", "subdel.example exists, and is a cut"),
        ("ghost.*.example MX", "NXDOMAIN aa", "*.example exists"),
    ] {
        let response = ask(&example(), asked);
        assert_eq!(response.status(), status, "{asked}: {why}");
        assert!(response.answer.is_empty(), "{asked}: {why}");
    }
    assert_eq!(ask(&example(), "host.subdel.example A").authority.len(), 2);
    assert!(ask(&example(), "host.subdel.example A").authority[0].starts_with("subdel.example 3600 NS"));
}

/// RFC 4592 §2.1.1: an asterisk that is asked for is a name like others.
#[test]
fn the_wildcard_itself_can_be_asked_for() {
    let response = ask(&example(), "*.example TXT");
    assert_eq!(response.answer, ["*.example 3600 TXT \"this is a wildcard\""]);
}

/// RFC 4592 §2.2.2, §4.7: empty non-terminals are there, and hide the wildcard above them.
#[test]
fn an_empty_non_terminal_is_no_place_for_the_wildcard_above() {
    let response = ask(&example(), "_tcp.host2.example TXT");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", 0));
    let response = ask(&example(), "host2.example TXT");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", 0));
    assert_eq!(ask(&example(), "other.host2.example TXT").status(), "NXDOMAIN aa");
}

/// RFC 4592 §3.3.1, §4.7: a wildcard that is an empty non-terminal is a source of synthesis, of no data.
#[test]
fn a_wildcard_without_records_makes_names_without_records() {
    let zones = zones([plain_zone("example.org", "a.*.w A 192.0.2.1\nwww A 192.0.2.2")]);
    let response = ask(&zones, "x.w.example.org A");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", 0));
    assert_eq!(ask(&zones, "x.example.org A").status(), "NXDOMAIN aa");
}

/// RFC 4592 §4.3: the alias is made for the name that was asked for.
#[test]
fn a_wildcard_alias_is_followed() {
    let zones = zones([plain_zone("example.org", "*.w CNAME www\nwww A 192.0.2.1")]);
    let response = ask(&zones, "x.y.w.example.org A");
    assert_eq!(
        response.answer,
        ["x.y.w.example.org 3600 CNAME www.example.org.", "www.example.org 3600 A 192.0.2.1"]
    );
    assert_eq!(ask(&zones, "x.w.example.org CNAME").answer.len(), 1);
}

#[test]
fn the_closest_wildcard_counts() {
    let zones = zones([plain_zone(
        "example.org",
        "* A 192.0.2.1\n*.a A 192.0.2.2\n*.b.a A 192.0.2.3\nc.a TXT there",
    )]);
    for (name, address) in [
        ("x.example.org", "192.0.2.1"),
        ("x.y.example.org", "192.0.2.1"),
        ("x.a.example.org", "192.0.2.2"),
        ("x.y.a.example.org", "192.0.2.2"),
        ("x.b.a.example.org", "192.0.2.3"),
    ] {
        assert_eq!(ask(&zones, &format!("{name} A")).answer, [format!("{name} 3600 A {address}")]);
    }
    assert_eq!(ask(&zones, "x.c.a.example.org A").status(), "NXDOMAIN aa");
}
