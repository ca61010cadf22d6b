//! What does not fit: RFC 2181 §9, RFC 6891 §6.2.5, RFC 9471.

use super::edns::add_opt;
use super::world::{Response, plain_zone, question, send, zones};
use crate::{Class, Facts, Query, Rtype, Transport, Zones, truncate};
use std::fmt::Write;

/// What `payload` octets over UDP (`None` without EDNS) hold.
fn over_udp(zones: &Zones, name: &str, rtype: Rtype, payload: Option<u16>) -> Response {
    let mut message = question(name, rtype, Class::IN);
    if let Some(payload) = payload {
        add_opt(&mut message, payload, [0; 4], &[]);
    }
    let response = send(zones, &message, &Facts::of_transport(Transport::Udp)).0;
    let limit = payload.map_or(512, |payload| payload.clamp(512, 1232));
    assert!(response.bytes <= usize::from(limit), "{} of {limit} bytes", response.bytes);
    response
}

/// A zone whose `many.example.org` has this many addresses, 16 octets each.
fn addresses(count: usize) -> Zones {
    let mut lines = String::new();
    for number in 0..count {
        writeln!(lines, "many A 10.0.{}.{}", number / 256, number % 256).unwrap();
    }
    zones([plain_zone("example.org", &lines)])
}

#[test]
fn an_answer_that_does_not_fit_is_left_to_a_stream() {
    // 12 + 22 octets of header and question: 29 addresses are 498, 30 are 514.
    for (count, payload, fits) in [
        (29, None, true),
        (30, None, false),
        (29, Some(512), true),
        (30, Some(512), false),
        (30, Some(600), true),
        (74, Some(4096), true),
        (75, Some(4096), false),
        (30, Some(0), false),
    ] {
        let response = over_udp(&addresses(count), "many.example.org", Rtype::A, payload);
        assert_eq!(
            response.status(),
            if fits { "NOERROR aa" } else { "NOERROR aa tc" },
            "{count} {payload:?}"
        );
        assert_eq!(response.answer.len(), if fits { count } else { 0 }, "{count} {payload:?}");
        assert_eq!(response.additional.len(), usize::from(payload.is_some()), "EDNS is answered in any case");
    }
}

#[test]
fn a_stream_takes_what_a_message_can_hold() {
    let facts = Facts::of_transport(Transport::Tcp);
    let message = question("many.example.org", Rtype::A, Class::IN);
    let (response, _) = send(&addresses(4000), &message, &facts);
    assert_eq!((response.flags.as_str(), response.answer.len()), ("aa", 4000));
    let too_many = addresses(4100);
    let (response, outcome) = send(&too_many, &message, &facts);
    assert_eq!((response.flags.as_str(), response.answer.len()), ("aa tc", 0));
    assert!(outcome.truncated);
}

#[test]
fn what_is_additional_is_left_out_without_a_word() {
    let mut lines = "@ MX 1 mx\n".to_owned();
    for number in 0..40 {
        writeln!(lines, "mx A 10.0.0.{number}").unwrap();
    }
    writeln!(lines, "mx AAAA 2001:db8::1").unwrap();
    let zones = zones([plain_zone("example.org", &lines)]);
    let response = over_udp(&zones, "example.org", Rtype::MX, None);
    assert_eq!((response.flags.as_str(), response.answer.len()), ("aa", 1));
    assert_eq!(
        response.additional,
        ["mx.example.org 3600 AAAA 2001:db8::1"],
        "whole RRsets, as far as they fit"
    );
    let response = over_udp(&zones, "example.org", Rtype::MX, Some(1232));
    assert_eq!(response.additional.len(), 42);
}

/// RFC 9471 §3.1: in-domain glue is no extra.
#[test]
fn a_referral_without_its_glue_is_truncated() {
    let mut lines = String::new();
    for number in 0..13 {
        writeln!(lines, "sub NS ns{number}.sub\nns{number}.sub AAAA 2001:db8::{number}").unwrap();
        writeln!(lines, "out NS ns{number}.sub").unwrap();
    }
    let zones = zones([plain_zone("example.org", &lines)]);
    let response = over_udp(&zones, "www.sub.example.org", Rtype::A, None);
    assert_eq!((response.status().as_str(), response.authority.len()), ("NOERROR tc", 13));
    let response = over_udp(&zones, "www.sub.example.org", Rtype::A, Some(1232));
    assert_eq!((response.status().as_str(), response.additional.len()), ("NOERROR", 14));
    let response = over_udp(&zones, "www.out.example.org", Rtype::A, None);
    assert_eq!(response.status(), "NOERROR", "addresses of servers elsewhere are extras");
    assert_eq!(response.authority.len(), 13);
}

/// RFC 2181 §9: aliases that fit stay, so that a stream is asked for the rest.
#[test]
fn what_fits_of_a_chain_stays() {
    let mut lines = "alias CNAME many\n".to_owned();
    for number in 0..40 {
        writeln!(lines, "many A 10.0.0.{number}").unwrap();
    }
    let zones = zones([plain_zone("example.org", &lines)]);
    let response = over_udp(&zones, "alias.example.org", Rtype::A, None);
    assert_eq!(response.status(), "NOERROR aa tc");
    assert_eq!(response.answer, ["alias.example.org 3600 CNAME many.example.org."]);
}

#[test]
fn a_flood_can_be_sent_to_a_stream() {
    let message = question("www.example.org", Rtype::A, Class::IN);
    let query = Query::parse(&message).unwrap();
    let mut out = Vec::new();
    let outcome = truncate(&query, &Facts::of_transport(Transport::Udp), &mut out);
    assert!(outcome.truncated);
    assert_eq!(super::world::read(&out).status(), "NOERROR tc");
    assert_eq!(out.len(), message.len());
}

/// Names of servers share what they have in common, as in the root's own answer.
#[test]
fn servers_names_are_compressed_towards_each_other() {
    let mut lines = String::new();
    for letter in 'a'..='m' {
        writeln!(lines, "sub NS {letter}.servers-of-somebody.example.net.").unwrap();
    }
    let zones = zones([plain_zone("example.org", &lines)]);
    let response = over_udp(&zones, "www.sub.example.org", Rtype::A, None);
    assert_eq!(response.authority.len(), 13);
    assert_eq!(response.authority[12], "sub.example.org 3600 NS m.servers-of-somebody.example.net.");
    // Question 37; 13 records with a pointer, a label and a pointer; the name once.
    assert_eq!(response.bytes, 37 + 13 * (12 + 2 + 2) + "servers-of-somebody.example.net.".len() - 1);
}
