//! RFC 6672.

use super::world::{ask, ask_over, plain_zone, zones};
use crate::{Facts, Kind, Transport};

/// RFC 6672 §2.2, table 1; `None` is "no match".
#[test]
fn names_below_a_dname_are_substituted() {
    for (asked, owner, target, expected) in [
        ("com.", "example.com.", "example.net.", None),
        ("example.com.", "example.com.", "example.net.", None),
        ("a.example.com.", "example.com.", "example.net.", Some("a.example.net.")),
        ("a.b.example.com.", "example.com.", "example.net.", Some("a.b.example.net.")),
        ("ab.example.com.", "b.example.com.", "example.net.", None),
        ("foo.example.com.", "example.com.", "example.net.", Some("foo.example.net.")),
        ("a.x.example.com.", "x.example.com.", "example.net.", Some("a.example.net.")),
        ("a.example.com.", "example.com.", "y.example.net.", Some("a.y.example.net.")),
        ("cyc.example.com.", "example.com.", "example.com.", Some("cyc.example.com.")),
        ("cyc.example.com.", "example.com.", "c.example.com.", Some("cyc.c.example.com.")),
        ("shortloop.x.x.", "x.", ".", Some("shortloop.x.")),
        ("shortloop.x.", "x.", ".", Some("shortloop.")),
    ] {
        let apex = if asked.ends_with("x.") { "x" } else { "com" };
        let zones = zones([plain_zone(apex, &format!("{owner} 60 DNAME {target}"))]);
        let response = ask(&zones, &format!("{asked} A"));
        let made: Option<&String> = response.answer.get(1);
        let shown = asked.trim_end_matches('.');
        assert_eq!(made, expected.map(|name| format!("{shown} 60 CNAME {name}")).as_ref(), "{asked} {owner}");
        if expected.is_some() {
            let dname = format!("{} 60 DNAME {target}", owner.trim_end_matches('.'));
            assert_eq!(response.answer[0], dname);
        }
    }
}

/// RFC 6672 §2.2, note 0 of the table, and §2.4.
#[test]
fn the_owner_of_a_dname_has_its_own_records() {
    let zones = zones([plain_zone("example.com", "x DNAME example.net.\nx A 192.0.2.1")]);
    assert_eq!(ask(&zones, "x.example.com DNAME").answer, ["x.example.com 3600 DNAME example.net."]);
    assert_eq!(ask(&zones, "x.example.com A").answer, ["x.example.com 3600 A 192.0.2.1"]);
    let response = ask(&zones, "x.example.com MX");
    assert_eq!((response.answer.len(), response.authority.len()), (0, 1));
}

#[test]
fn the_substitute_is_looked_up_in_the_zone() {
    let zones = zones([plain_zone(
        "example.com",
        "old DNAME new.example.com.\nwww.new A 192.0.2.1\nalias.new CNAME www.new",
    )]);
    let response = ask(&zones, "www.old.example.com A");
    assert_eq!(
        response.answer,
        [
            "old.example.com 3600 DNAME new.example.com.",
            "www.old.example.com 3600 CNAME www.new.example.com.",
            "www.new.example.com 3600 A 192.0.2.1"
        ]
    );
    assert_eq!(ask(&zones, "alias.old.example.com A").answer.len(), 4);
    let response = ask(&zones, "nothing.old.example.com A");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NXDOMAIN aa", 2), "RFC 6604");
}

#[test]
fn whoever_asks_for_the_alias_gets_it_and_no_more() {
    let zones = zones([plain_zone("example.com", "old DNAME new.example.com.\nwww.new A 192.0.2.1")]);
    for rtype in ["CNAME", "ANY"] {
        let response = ask(&zones, &format!("www.old.example.com {rtype}"));
        assert_eq!(response.answer.len(), 2, "{rtype}");
        assert_eq!(response.answer[1], "www.old.example.com 3600 CNAME www.new.example.com.");
    }
}

/// RFC 6672 §2.2: YXDOMAIN, with the DNAME that is the reason.
#[test]
fn a_substitute_that_is_too_long_is_yxdomain() {
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".");
    let zones = zones([plain_zone("example.com", &format!("x DNAME {long}.example.net."))]);
    let facts = Facts::of_transport(Transport::Tcp);
    // 1 + 48, and 192 + 13: 254 octets. With one more it is the longest name, with two it is none.
    for (length, status) in [(48, "NOERROR aa"), (49, "NOERROR aa"), (50, "YXDOMAIN aa")] {
        let (response, outcome) =
            ask_over(&zones, &format!("{}.x.example.com A", "d".repeat(length)), &facts);
        assert_eq!(response.status(), status, "{length}");
        assert_eq!(outcome.kind, Kind::Alias);
        assert!(response.answer[0].starts_with("x.example.com 3600 DNAME "), "{:?}", response.answer);
        assert_eq!(response.answer.len(), if status.starts_with('Y') { 1 } else { 2 });
    }
}

#[test]
fn the_apex_may_have_a_dname() {
    let zones = zones([plain_zone("example.com", "@ DNAME example.net.")]);
    let response = ask(&zones, "www.example.com A");
    assert_eq!(
        response.answer,
        ["example.com 3600 DNAME example.net.", "www.example.com 3600 CNAME www.example.net."]
    );
    assert_eq!(ask(&zones, "example.com SOA").answer.len(), 1);
}

#[test]
fn a_dname_that_leads_below_itself_ends() {
    let zones = zones([plain_zone("example.com", "x DNAME y.x.example.com.")]);
    let (response, outcome) = ask_over(&zones, "a.x.example.com A", &Facts::of_transport(Transport::Tcp));
    assert_eq!(outcome.kind, Kind::Alias);
    assert_eq!(response.answer.len(), 2 * 17, "the first and sixteen that are followed");
}
