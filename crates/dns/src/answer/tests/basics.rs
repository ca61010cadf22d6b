//! Names and types that are there, and those that are not: RFC 1034 §4.3.2, RFC 2308, RFC 8020, RFC 8482.

use super::world::{ask, plain_zone, question, read, send, zone, zones};
use crate::{Class, Facts, Kind, OptRcode, Query, Rtype, Transport, Zones, answer, refuse};

const SOA: &str = "example.org 300 SOA ns.example.org. admin.example.org. 7 3600 600 86400 300";

fn example() -> Zones {
    zones([plain_zone(
        "example.org",
        "
        www A 192.0.2.1
        www A 192.0.2.2
        www AAAA 2001:db8::1
        a.b.c A 192.0.2.3
        mail MX 10 mx
        mail MX 20 mx.example.net.
        mx A 192.0.2.25
        mx AAAA 2001:db8::25
        _sip._tcp SRV 0 5 5060 mx
        _sip._tcp SRV 0 5 5061 mx
        svc HTTPS 1 mx alpn=h2
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
fn the_apex_has_records_like_any_name() {
    let response = ask(&example(), "example.org NS");
    assert_eq!(response.answer, ["example.org 3600 NS ns.elsewhere.test."]);
    let response = ask(&example(), "example.org SOA");
    assert_eq!(
        response.answer,
        ["example.org 3600 SOA ns.example.org. admin.example.org. 7 3600 600 86400 300"]
    );
}

#[test]
fn a_type_that_is_not_there_is_answered_by_the_soa() {
    let response = ask(&example(), "www.example.org MX");
    assert_eq!((response.status().as_str(), &response.answer[..]), ("NOERROR aa", &[][..]));
    assert_eq!(response.authority, [SOA]);
}

#[test]
fn a_name_that_is_not_there_is_answered_by_the_soa() {
    let response = ask(&example(), "nothing.example.org A");
    assert_eq!((response.status().as_str(), &response.answer[..]), ("NXDOMAIN aa", &[][..]));
    assert_eq!(response.authority, [SOA]);
}

/// RFC 2308 §5: whichever is less.
#[test]
fn absence_is_remembered_no_longer_than_the_soa_lives_or_says() {
    for (ttl, minimum, expected) in [(3600, 300, 300), (60, 300, 60), (0, 300, 0), (300, 300, 300)] {
        let text = format!("@ {ttl} SOA ns admin 1 2 3 4 {minimum}\n@ NS ns\nns A 192.0.2.1");
        let zones = zones([zone("example.org", &text)]);
        for (asked, status) in [("x.example.org A", "NXDOMAIN aa"), ("ns.example.org MX", "NOERROR aa")] {
            let response = ask(&zones, asked);
            assert_eq!(response.status(), status);
            let expected =
                format!("example.org {expected} SOA ns.example.org. admin.example.org. 1 2 3 4 {minimum}");
            assert_eq!(response.authority, [expected]);
        }
        let figures = zones.get(&"example.org".parse().unwrap()).unwrap().figures();
        assert_eq!((figures.serial, figures.negative_ttl), (1, expected));
        assert!(ask(&zones, "example.org SOA").answer[0].starts_with(&format!("example.org {ttl} SOA")));
    }
}

/// RFC 8020: what is below a name that is not there is not there; and what has something below it is there.
#[test]
fn a_name_with_names_below_it_is_there() {
    for name in ["b.c.example.org", "c.example.org"] {
        let response = ask(&example(), &format!("{name} A"));
        assert_eq!((response.status().as_str(), response.authority.len()), ("NOERROR aa", 1), "{name}");
    }
    for name in ["x.b.c.example.org", "x.a.b.c.example.org", "z.c.example.org", "y.x.example.org"] {
        assert_eq!(ask(&example(), &format!("{name} A")).status(), "NXDOMAIN aa", "{name}");
    }
}

#[test]
fn names_are_found_whatever_their_case_and_answered_with_it() {
    let response = ask(&example(), "wWw.ExAmPlE.oRg A");
    assert_eq!(response.question, ["wWw.ExAmPlE.oRg A"]);
    assert_eq!(response.answer[0], "wWw.ExAmPlE.oRg 3600 A 192.0.2.1");
    assert!(
        ask(&example(), "NO.EXAMPLE.ORG A").authority[0].starts_with("EXAMPLE.ORG 300 SOA ns.EXAMPLE.ORG")
    );
}

#[test]
fn addresses_of_names_in_the_answer_are_added_once() {
    let addresses = ["mx.example.org 3600 A 192.0.2.25", "mx.example.org 3600 AAAA 2001:db8::25"];
    for (asked, records) in
        [("mail.example.org MX", 2), ("_sip._tcp.example.org SRV", 2), ("svc.example.org HTTPS", 1)]
    {
        let response = ask(&example(), asked);
        assert_eq!(response.answer.len(), records, "{asked}");
        assert_eq!(response.additional, addresses, "{asked}");
    }
}

/// RFC 8482 §4.1.
#[test]
fn any_is_answered_by_one_rrset_that_is_in_use() {
    let zones = zones([plain_zone(
        "example.org",
        "
        both TXT text
        both A 192.0.2.1
        text NSEC next A
        text TXT text
        alias CNAME both
        empty.x A 192.0.2.1
        ",
    )]);
    let answers = |asked: &str| ask(&zones, asked).answer;
    assert_eq!(answers("both.example.org ANY"), ["both.example.org 3600 A 192.0.2.1"]);
    assert_eq!(answers("text.example.org ANY"), ["text.example.org 3600 TXT \"text\""]);
    assert_eq!(answers("alias.example.org ANY"), ["alias.example.org 3600 CNAME both.example.org."]);
    assert_eq!(ask(&zones, "x.example.org ANY").authority.len(), 1);
    assert_eq!(ask(&zones, "nothing.example.org ANY").status(), "NXDOMAIN aa");
}

#[test]
fn a_name_in_no_zone_is_refused() {
    for name in ["example.net", "org", ".", "xexample.org", "www.example.org.net"] {
        let response = ask(&example(), &format!("{name} A"));
        assert_eq!(response.status(), "REFUSED", "{name}");
        assert!(response.answer.is_empty() && response.authority.is_empty());
    }
    assert_eq!(ask(&Zones::default(), "example.org A").status(), "REFUSED");
}

#[test]
fn only_class_in_has_zones_and_any_class_is_no_authority() {
    let zones = example();
    let facts = Facts::of_transport(Transport::Udp);
    let of_class = |class| send(&zones, &question("www.example.org", Rtype::A, class), &facts).0;
    assert_eq!(of_class(Class::HS).status(), "REFUSED");
    assert_eq!(of_class(Class::NONE).status(), "REFUSED");
    assert_eq!(of_class(Class::ANY).status(), "NOERROR");
    assert_eq!(of_class(Class::ANY).answer.len(), 2);
}

#[test]
fn types_of_questions_that_are_no_records_have_their_own_answers() {
    for (rtype, status) in [
        ("AXFR", "REFUSED"),
        ("IXFR", "REFUSED"),
        ("MAILA", "NOTIMP"),
        ("MAILB", "NOTIMP"),
        ("TYPE65280", "NOERROR aa"),
        ("OPT", "NOERROR aa"),
    ] {
        let response = ask(&example(), &format!("www.example.org {rtype}"));
        assert_eq!(response.status(), status, "{rtype}");
    }
}

#[test]
fn the_outcome_tells_what_became_of_it() {
    let zones = example();
    let facts = Facts::of_transport(Transport::Udp);
    for (name, rtype, kind, rcode, is_in_zone) in [
        ("www.example.org", Rtype::A, Kind::Positive, OptRcode::NOERROR, true),
        ("www.example.org", Rtype::MX, Kind::NoData, OptRcode::NOERROR, true),
        ("no.example.org", Rtype::A, Kind::NoName, OptRcode::NXDOMAIN, true),
        ("example.net", Rtype::A, Kind::Error, OptRcode::REFUSED, false),
    ] {
        let (_, outcome) = send(&zones, &question(name, rtype, Class::IN), &facts);
        assert_eq!((outcome.kind, outcome.rcode), (kind, rcode), "{name}");
        assert_eq!((outcome.rtype, outcome.class), (Some(rtype), Some(Class::IN)), "{name}");
        assert_eq!(outcome.zone.is_some(), is_in_zone, "{name}");
    }
}

#[test]
fn a_refusal_is_the_question_and_no_more() {
    let message = question("www.example.org", Rtype::A, Class::IN);
    let query = Query::parse(&message).unwrap();
    let mut out = b"what was there before".to_vec();
    let outcome = refuse(&query, OptRcode::SERVFAIL, &Facts::of_transport(Transport::Tcp), &mut out);
    assert_eq!(outcome.kind, Kind::Error);
    let response = read(&out);
    assert_eq!((response.status().as_str(), response.bytes), ("SERVFAIL", message.len()));
}

#[test]
fn of_the_header_only_the_identifier_rd_and_cd_come_back() {
    let zones = example();
    let mut message = question("www.example.org", Rtype::A, Class::IN);
    // AA, RD; RA, Z, AD, CD and an RCODE: RFC 8906 §3.1.3.
    message[2..4].copy_from_slice(&[0x05, 0xff]);
    let mut out = Vec::new();
    let query = Query::parse(&message).unwrap();
    answer(&zones, &query, &Facts::of_transport(Transport::Udp), &mut out);
    assert_eq!(out[..4], [0x12, 0x34, 0x85, 0x10]);
    message[2..4].copy_from_slice(&[0, 0]);
    let query = Query::parse(&message).unwrap();
    answer(&zones, &query, &Facts::of_transport(Transport::Udp), &mut out);
    assert_eq!(out[..4], [0x12, 0x34, 0x84, 0x00]);
}
