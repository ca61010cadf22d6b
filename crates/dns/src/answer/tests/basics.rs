//! RFC 1034 §4.3.2 on one zone.

use super::world::{ask, plain_zone, zones};
use crate::Zones;

fn example() -> Zones {
    zones([plain_zone(
        "example.org",
        "
        www A 192.0.2.1
        www A 192.0.2.2
        www AAAA 2001:db8::1
        alias CNAME www
        far CNAME www.example.net.
        a.b.c TXT deep
        mail MX 10 mx
        mx A 192.0.2.25
        sub NS ns.sub
        sub NS ns.elsewhere.test.
        ns.sub A 192.0.2.53
        ",
    )])
}

#[test]
fn a_name_and_type_that_are_there_are_answered() {
    let response = ask(&example(), "www.example.org A");
    assert_eq!(response.status(), "NOERROR aa");
    assert_eq!(response.question, ["www.example.org A"]);
    assert_eq!(response.answer, ["www.example.org 3600 A 192.0.2.1", "www.example.org 3600 A 192.0.2.2"]);
    assert!(response.authority.is_empty() && response.additional.is_empty(), "{response:?}");
}

#[test]
fn a_type_that_is_not_there_is_answered_by_the_soa() {
    let response = ask(&example(), "www.example.org MX");
    assert_eq!(response.status(), "NOERROR aa");
    assert!(response.answer.is_empty());
    assert_eq!(response.authority.len(), 1);
    println!("{response:#?}");
}

#[test]
fn smoke() {
    for asked in [
        "nope.example.org A",
        "b.c.example.org A",
        "alias.example.org A",
        "far.example.org A",
        "mail.example.org MX",
        "x.sub.example.org A",
        "sub.example.org NS",
        "sub.example.org DS",
        "example.org NS",
        "example.org SOA",
        "example.net A",
    ] {
        println!("{asked}: {:#?}", ask(&example(), asked));
    }
}
