//! Chains of CNAMEs: RFC 1034 §3.6.2, RFC 6604.

use super::world::{ask, ask_over, plain_zone, zones};
use crate::{Facts, Kind, Transport};

#[test]
fn a_chain_is_followed_within_the_zone() {
    let zones = zones([plain_zone("example.org", "a CNAME b\nb CNAME c.d\nc.d CNAME e\ne A 192.0.2.1")]);
    assert_eq!(
        ask(&zones, "a.example.org A").answer,
        [
            "a.example.org 3600 CNAME b.example.org.",
            "b.example.org 3600 CNAME c.d.example.org.",
            "c.d.example.org 3600 CNAME e.example.org.",
            "e.example.org 3600 A 192.0.2.1"
        ]
    );
    assert_eq!(ask(&zones, "a.example.org CNAME").answer.len(), 1);
    let response = ask(&zones, "a.example.org AAAA");
    assert_eq!(
        (response.status().as_str(), response.answer.len(), response.authority.len()),
        ("NOERROR aa", 3, 1)
    );
}

#[test]
fn what_a_chain_leads_to_decides_the_rcode() {
    let zones = zones([plain_zone("example.org", "a CNAME nothing\nx.y A 192.0.2.1\nb CNAME y")]);
    let response = ask(&zones, "a.example.org A");
    assert_eq!(
        (response.status().as_str(), response.answer.len(), response.authority.len()),
        ("NXDOMAIN aa", 1, 1)
    );
    let response = ask(&zones, "b.example.org A");
    assert_eq!(
        (response.status().as_str(), response.answer.len(), response.authority.len()),
        ("NOERROR aa", 1, 1)
    );
}

#[test]
fn a_chain_that_leaves_the_zone_is_for_the_resolver_to_follow() {
    let zones = zones([
        plain_zone("example.org", "a CNAME www.example.net."),
        plain_zone("example.net", "www A 192.0.2.1"),
    ]);
    let response = ask(&zones, "a.example.org A");
    assert_eq!(response.answer, ["a.example.org 3600 CNAME www.example.net."]);
    assert_eq!((response.status().as_str(), response.authority.len()), ("NOERROR aa", 0));
}

#[test]
fn a_circle_is_told_once() {
    let zones = zones([plain_zone("example.org", "a CNAME b\nb CNAME a\nself CNAME self\n*.w CNAME x.w")]);
    let facts = Facts::of_transport(Transport::Tcp);
    for (asked, records) in [("a", 2), ("self", 1), ("y.w", 2), ("x.w", 1)] {
        let (response, outcome) = ask_over(&zones, &format!("{asked}.example.org A"), &facts);
        assert_eq!(outcome.kind, Kind::Alias);
        assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", records), "{asked}");
    }
}

#[test]
fn a_chain_is_followed_sixteen_links() {
    let links: Vec<String> = (0..20).map(|number| format!("a{number} CNAME a{}", number + 1)).collect();
    let zones = zones([plain_zone("example.org", &format!("{}\na20 A 192.0.2.1", links.join("\n")))]);
    assert_eq!(ask(&zones, "a0.example.org A").answer.len(), 17);
    let response = ask(&zones, "a4.example.org A");
    assert_eq!(response.answer.len(), 17);
    assert_eq!(response.answer[16], "a20.example.org 3600 A 192.0.2.1");
}

/// The aliases are this zone's, so they are spoken for; what they lead to is not.
#[test]
fn a_chain_that_leads_below_a_cut_ends_in_a_referral() {
    let zones = zones([plain_zone("example.org", "a CNAME www.sub\nsub NS ns.sub\nns.sub A 192.0.2.53")]);
    let response = ask(&zones, "a.example.org A");
    assert_eq!(response.status(), "NOERROR aa");
    assert_eq!(response.answer, ["a.example.org 3600 CNAME www.sub.example.org."]);
    assert_eq!(response.authority, ["sub.example.org 3600 NS ns.sub.example.org."]);
    assert_eq!(response.additional, ["ns.sub.example.org 3600 A 192.0.2.53"]);
}
