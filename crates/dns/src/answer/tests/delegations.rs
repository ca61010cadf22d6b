//! Referrals: RFC 1034 §4.3.2, step 3b; RFC 4035 §3.1.4.1.

use super::world::{ask, ask_over, plain_zone, zones};
use crate::{Facts, Kind, Transport, Zones};

fn example() -> Zones {
    zones([plain_zone(
        "example.org",
        "
        sub NS ns.sub
        sub NS ns.other
        sub NS ns.example.net.
        sub DS 1 13 2 0102
        ns.sub A 192.0.2.53
        ns.sub AAAA 2001:db8::53
        deep.sub NS ns.deep.sub
        ns.deep.sub A 192.0.2.54
        www.sub A 192.0.2.99
        other NS ns.other
        ns.other A 192.0.2.55
        plain NS ns.example.net.
        mail MX 1 ns.sub
        mail MX 2 host
        host A 192.0.2.1
        ",
    )])
}

#[test]
fn names_at_and_below_a_cut_are_referred_with_glue() {
    let zones = example();
    for asked in
        ["sub A", "sub NS", "sub ANY", "www.sub A", "ns.sub A", "x.y.sub MX", "ns.deep.sub A", "deep.sub NS"]
    {
        let (name, rtype) = asked.split_once(' ').unwrap();
        let asked = format!("{name}.example.org {rtype}");
        let (response, outcome) = ask_over(&zones, &asked, &Facts::of_transport(Transport::Tcp));
        assert_eq!((response.status().as_str(), outcome.kind), ("NOERROR", Kind::Referral), "{asked}");
        assert!(response.answer.is_empty(), "{asked}");
        assert_eq!(
            response.authority,
            [
                "sub.example.org 3600 NS ns.sub.example.org.",
                "sub.example.org 3600 NS ns.other.example.org.",
                "sub.example.org 3600 NS ns.example.net."
            ],
            "{asked}"
        );
        assert_eq!(
            response.additional,
            [
                "ns.sub.example.org 3600 A 192.0.2.53",
                "ns.sub.example.org 3600 AAAA 2001:db8::53",
                "ns.other.example.org 3600 A 192.0.2.55"
            ],
            "{asked}"
        );
    }
}

#[test]
fn ds_at_a_cut_is_the_upper_zones() {
    let response = ask(&example(), "sub.example.org DS");
    assert_eq!(response.status(), "NOERROR aa");
    assert_eq!(response.answer.len(), 1);
    let response = ask(&example(), "plain.example.org DS");
    assert_eq!(
        (response.status().as_str(), response.authority.len()),
        ("NOERROR aa", 1),
        "no DS, says the SOA"
    );
    assert_eq!(ask(&example(), "x.sub.example.org DS").status(), "NOERROR", "below it is the lower zone's");
}

#[test]
fn addresses_below_a_cut_are_for_referrals_alone() {
    let response = ask(&example(), "mail.example.org MX");
    assert_eq!(response.additional, ["host.example.org 3600 A 192.0.2.1"]);
}
