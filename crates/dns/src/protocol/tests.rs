//! What is a query, what is rejected, and what stays unanswered.

use super::{ClientSubnet, Name, NameError, Query, Rejection};
use domain::base::iana::{Class, OptRcode, Rtype};

/// Identifier 0x1234, these flags and counts, and what follows.
fn message(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34];
    message.extend_from_slice(&flags.to_be_bytes());
    message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    message.extend_from_slice(rest);
    message
}

const QUESTION: &[u8] = b"\x03wWw\x07example\x03ORG\0\0\x01\0\x01";
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";

fn rejected(message: &[u8]) -> Rejection<'_> {
    Query::parse(message).expect_err("it is rejected")
}

/// A query with these EDNS options.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut rest = [QUESTION, OPT].concat();
    let at = rest.len() - 2;
    rest[at..].copy_from_slice(&(options.len() as u16).to_be_bytes());
    rest.extend_from_slice(options);
    message(0, [1, 0, 0, 1], &rest)
}

#[test]
fn a_query_is_read() {
    let message = message(0x0100, [1, 0, 0, 0], QUESTION);
    let query = Query::parse(&message).unwrap();
    assert_eq!((query.id(), query.rtype, query.class), (0x1234, Rtype::A, Class::IN));
    assert_eq!(query.name.to_string(), "www.example.org");
    assert_eq!(query.name_as_asked(), b"\x03wWw\x07example\x03ORG\0");
    assert!(query.edns.is_none() && !query.dnssec_ok());
}

#[test]
fn what_is_an_answer_or_too_short_stays_unanswered() {
    let whole = message(0, [1, 0, 0, 0], QUESTION);
    for length in 0..12 {
        assert!(!rejected(&whole[..length]).is_answered(), "{length}");
    }
    for flags in [0x8000, 0x8180, 0xf800] {
        assert!(!rejected(&message(flags, [1, 0, 0, 0], QUESTION)).is_answered(), "{flags:x}");
    }
}

/// RFC 8906 §3.1.1, §3.1.4.
#[test]
fn other_opcodes_are_not_implemented() {
    for opcode in 1..16 {
        let message = message(opcode << 11, [1, 0, 0, 0], QUESTION);
        let rejection = rejected(&message);
        assert!(rejection.is_answered());
        assert_eq!(rejection.rcode, OptRcode::NOTIMP, "{opcode}");
        assert_eq!(rejection.head.map(<[u8]>::len), Some(12));
    }
}

#[test]
fn a_message_that_ends_early_is_malformed() {
    let whole = message(0, [1, 0, 0, 1], &[QUESTION, OPT].concat());
    assert!(Query::parse(&whole).is_ok());
    for length in 12..whole.len() {
        let rejection = rejected(&whole[..length]);
        assert_eq!((rejection.rcode, rejection.is_answered()), (OptRcode::FORMERR, true), "{length}");
    }
}

/// RFC 9619, and what no query has.
#[test]
fn a_query_has_one_question_and_no_records() {
    for counts in [
        [2, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 2],
        [1, 0, 0, 5],
        [65535; 4],
    ] {
        let rest = [QUESTION, OPT, OPT].concat();
        assert_eq!(rejected(&message(0, counts, &rest)).rcode, OptRcode::FORMERR, "{counts:?}");
    }
    assert_eq!(rejected(&message(0x0200, [1, 0, 0, 0], QUESTION)).rcode, OptRcode::FORMERR, "TC");
}

#[test]
fn names_of_questions_are_neither_compressed_nor_too_long() {
    for name in [&b"\xc0\x0c"[..], b"\x03www\xc0\x0c", b"\x40a", b"\x80a", b"\xff"] {
        let rest = [name, b"\0\x01\0\x01"].concat();
        assert_eq!(rejected(&message(0, [1, 0, 0, 0], &rest)).rcode, OptRcode::FORMERR, "{name:?}");
    }
    let of_labels = |labels: usize| [b"\x01a".repeat(labels), b"\0\0\x01\0\x01".to_vec()].concat();
    let longest = message(0, [1, 0, 0, 0], &of_labels(127));
    let query = Query::parse(&longest).unwrap();
    assert_eq!((query.name.labels(), query.name.wire_len()), (127, 255));
    assert_eq!(rejected(&message(0, [1, 0, 0, 0], &of_labels(128))).rcode, OptRcode::FORMERR);
}

#[test]
fn a_request_for_a_difference_brings_what_is_there() {
    let ixfr = b"\x03www\x07example\x03org\0\0\xfb\0\x01";
    let soa = b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
    let whole = message(0, [1, 0, 1, 1], &[&ixfr[..], soa, OPT].concat());
    assert_eq!(Query::parse(&whole).unwrap().rtype, Rtype::IXFR);
    assert!(Query::parse(&whole).unwrap().edns.is_some());
    assert_eq!(rejected(&whole[..50]).rcode, OptRcode::FORMERR);
}

#[test]
fn what_edns_says_is_read() {
    let options = [
        &b"\0\x03\0\0"[..],
        b"\0\x0a\0\x10clientckserverck",
        b"\0\x08\0\x07\0\x01\x18\0\xc0\0\x02",
        b"\0\x0c\0\x02\0\0",
        b"\xfd\xe9\0\x01x",
    ];
    let message = with_options(&options.concat());
    let edns = Query::parse(&message).unwrap().edns.unwrap();
    assert_eq!((edns.payload_bytes, edns.version, edns.dnssec_ok), (1232, 0, false));
    assert!(edns.nsid && edns.padding);
    let cookie = edns.cookie.unwrap();
    assert_eq!((cookie.client, cookie.server), (b"clientck", &b"serverck"[..]));
    assert_eq!(edns.client_subnet, Some(ClientSubnet { address: "192.0.2.0".parse().unwrap(), prefix: 24 }));
}

#[test]
fn a_client_subnet_of_no_family_is_none() {
    let mut message = with_options(&[0, 8, 0, 4, 0, 0, 0, 0]);
    assert_eq!(Query::parse(&message).unwrap().edns.unwrap().client_subnet, None);
    let prefix = message.len() - 2;
    message[prefix] = 8;
    assert!(Query::parse(&message).is_err());
}

#[test]
fn a_client_subnet_has_as_many_bits_as_it_says() {
    let subnet = |octets: &[u8]| {
        let option = [&[0, 8, 0, octets.len() as u8][..], octets].concat();
        let message = with_options(&option);
        Query::parse(&message).ok().map(|query| query.edns.unwrap().client_subnet.unwrap())
    };
    let v6 = subnet(b"\0\x02\x38\0\x20\x01\x0d\xb8\0\x01\x02").unwrap();
    assert_eq!(v6, ClientSubnet { address: "2001:db8:1:200::".parse().unwrap(), prefix: 56 });
    assert_eq!(subnet(b"\0\x01\0\0").unwrap().prefix, 0);
    assert_eq!(subnet(b"\0\x02\0\0").unwrap().address, "::".parse::<std::net::IpAddr>().unwrap());
    for malformed in [
        &b""[..],
        b"\0\x01\x18",
        b"\0\x01\x18\0\xc0\0",
        b"\0\x01\x18\0\xc0\0\x02\0",
        b"\0\x01\x17\0\xc0\0\x03",
        b"\0\x01\x18\x01\xc0\0\x02",
        b"\0\x01\x21\0\xc0\0\x02\0\0",
        b"\0\x03\0\0",
    ] {
        assert_eq!(subnet(malformed), None, "{malformed:?}");
    }
}

#[test]
fn malformed_options_are_malformed_queries() {
    for options in [
        &b"\0"[..],
        b"\0\x03\0",
        b"\0\x03\0\x01",
        b"\0\x0a\0\x07clientc",
        b"\0\x0a\0\x0fclientckserverc",
        b"\0\x0a\0\x29clientck---------------------------------",
    ] {
        assert_eq!(rejected(&with_options(options)).rcode, OptRcode::FORMERR, "{options:?}");
    }
    // RFC 6891 §6.1.1: at most one, and its owner is the root.
    for records in [[OPT, OPT].concat(), [b"\x01a", OPT].concat(), b"\0\0\x01\0\x01\0\0\0\0\0\0".to_vec()] {
        let count = if records.len() > 20 { 2 } else { 1 };
        let message = message(0, [1, 0, 0, count], &[QUESTION, &records].concat());
        assert_eq!(rejected(&message).rcode, OptRcode::FORMERR, "{records:?}");
    }
}

#[test]
fn another_version_of_edns_is_told_so() {
    let mut message = with_options(b"what a version 1 would have here");
    message[12 + QUESTION.len() + 6] = 1;
    let rejection = rejected(&message);
    assert_eq!(rejection.rcode, OptRcode::BADVERS);
    assert_eq!(rejection.head.map(<[u8]>::len), Some(12 + QUESTION.len()));
    assert!(rejection.edns.is_some());
}

#[test]
fn names_are_read_and_written_as_people_do() {
    for (text, shown) in [
        ("example.org", "example.org"),
        ("Example.ORG.", "example.org"),
        (".", "."),
        ("a\\.b.c", "a\\.b.c"),
        ("\\065\\032\\000.x", "a\\032\\000.x"),
        ("*._tcp", "*._tcp"),
    ] {
        let name: Name = text.parse().unwrap();
        assert_eq!(name.to_string(), shown);
        assert_eq!(name.to_string().parse::<Name>().unwrap(), name);
    }
    for (text, error) in [
        ("", NameError::Empty),
        ("a..b", NameError::EmptyLabel),
        (".a", NameError::EmptyLabel),
        ("a\\.b..", NameError::EmptyLabel),
        ("a\\", NameError::Escape),
        ("a\\1", NameError::Escape),
        ("a\\256", NameError::Escape),
    ] {
        assert_eq!(text.parse::<Name>().unwrap_err(), error, "{text}");
    }
    assert_eq!("a".repeat(64).parse::<Name>().unwrap_err(), NameError::LongLabel);
    assert!("a".repeat(63).parse::<Name>().is_ok());
    assert!("a.".repeat(127).parse::<Name>().is_ok());
    assert_eq!("a.".repeat(128).parse::<Name>().unwrap_err(), NameError::LongName);
}

#[test]
fn a_name_is_within_itself_and_what_is_above() {
    let name = |text: &str| text.parse::<Name>().unwrap();
    for above in ["www.example.org", "example.org", "org", "."] {
        assert!(name("www.example.org").is_within(&name(above)), "{above}");
    }
    for other in ["a.www.example.org", "ample.org", "example.net", "ww.example.org"] {
        assert!(!name("www.example.org").is_within(&name(other)), "{other}");
    }
    assert!(!name(".").is_within(&name("org")));
}
