//! Several zones on one server: the longest match, a zone and the one above it, replacing one.

use super::world::{ask, plain_zone, zones};
use crate::{Name, Zones};
use std::sync::Arc;

fn parent_and_child() -> Zones {
    zones([
        plain_zone("example.org", "sub NS ns.sub\nsub DS 1 13 2 0102\nns.sub A 192.0.2.53\nwww A 192.0.2.1"),
        plain_zone("sub.example.org", "www A 192.0.2.2\nns A 192.0.2.53"),
        plain_zone("org", "example NS ns.elsewhere.test."),
    ])
}

#[test]
fn the_zone_with_the_longest_name_answers() {
    let zones = parent_and_child();
    assert_eq!(ask(&zones, "www.example.org A").answer, ["www.example.org 3600 A 192.0.2.1"]);
    assert_eq!(ask(&zones, "www.sub.example.org A").answer, ["www.sub.example.org 3600 A 192.0.2.2"]);
    let response = ask(&zones, "nothing.sub.example.org A");
    assert!(response.authority[0].starts_with("sub.example.org 300 SOA"), "{response:?}");
    assert_eq!(ask(&zones, "sub.example.org NS").status(), "NOERROR aa");
    assert!(ask(&zones, "nothing.org A").authority[0].starts_with("org 300 SOA"));
    for name in ["www.example.org", "sub.example.org", "sub.org"] {
        let zone = zones.find(&name.parse().unwrap()).unwrap();
        assert!(name.parse::<Name>().unwrap().is_within(zone.apex()));
    }
}

/// RFC 4035 §3.1.4.1.
#[test]
fn ds_is_asked_of_the_zone_above_if_that_is_here() {
    let zones = parent_and_child();
    let response = ask(&zones, "sub.example.org DS");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", 1));
    let alone = zones.without(&"example.org".parse().unwrap()).without(&"org".parse().unwrap());
    let response = ask(&alone, "sub.example.org DS");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", 0));
    assert!(response.authority[0].starts_with("sub.example.org 300 SOA"));
}

#[test]
fn a_zone_is_replaced_and_the_others_are_the_same() {
    let before = parent_and_child();
    let after = before.with(plain_zone("example.org", "www A 192.0.2.9"));
    assert_eq!((before.len(), after.len()), (3, 3));
    assert_eq!(ask(&before, "www.example.org A").answer, ["www.example.org 3600 A 192.0.2.1"]);
    assert_eq!(ask(&after, "www.example.org A").answer, ["www.example.org 3600 A 192.0.2.9"]);
    let sub: Name = "sub.example.org".parse().unwrap();
    assert!(Arc::ptr_eq(before.get(&sub).unwrap(), after.get(&sub).unwrap()));
    let less = after.without(&sub);
    assert_eq!((less.len(), less.get(&sub).is_none()), (2, true));
    assert_eq!(ask(&less, "www.sub.example.org A").status(), "NXDOMAIN aa");
}

#[test]
fn the_root_is_a_zone_like_others() {
    let zones = zones([plain_zone(
        ".",
        "test NS ns.test.\nns.test A 192.0.2.53\nlocal A 192.0.2.1\n*.wild A 192.0.2.2",
    )]);
    assert_eq!(ask(&zones, "local A").answer, ["local 3600 A 192.0.2.1"]);
    assert_eq!(ask(&zones, ". NS").answer.len(), 1);
    let response = ask(&zones, "www.test A");
    assert_eq!(response.authority, ["test 3600 NS ns.test."]);
    assert_eq!(response.additional, ["ns.test 3600 A 192.0.2.53"]);
    let response = ask(&zones, "nothing A");
    assert_eq!(response.status(), "NXDOMAIN aa");
    assert_eq!(response.authority, [". 300 SOA ns. admin. 7 3600 600 86400 300"]);
    assert_eq!(ask(&zones, "a.b.wild A").answer, ["a.b.wild 3600 A 192.0.2.2"]);
    assert_eq!(ask(&zones, ". DS").status(), "NOERROR aa");
}

#[test]
fn many_zones_are_each_found() {
    let all = zones((0..300).map(|number| plain_zone(&format!("z{number}.test"), "www A 192.0.2.1")));
    for number in 0..300 {
        let response = ask(&all, &format!("www.z{number}.test A"));
        assert_eq!(response.answer, [format!("www.z{number}.test 3600 A 192.0.2.1")]);
    }
    assert_eq!(all.iter().count(), 300);
    assert_eq!(ask(&all, "www.z300.test A").status(), "REFUSED");
}
