//! EDNS in responses: RFC 6891, NSID (RFC 5001), cookies (RFC 7873), padding (RFC 7830, RFC 8467).

use super::world::{plain_zone, question, read, zones};
use crate::{Class, Facts, Query, Rtype, Transport, answer, reject};

/// A query with an OPT record: payload size, the TTL's four octets, options.
pub(super) fn with_opt(payload: u16, ttl: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut message = question("www.example.org", Rtype::A, Class::IN);
    add_opt(&mut message, payload, ttl, options);
    message
}

pub(crate) fn add_opt(message: &mut Vec<u8>, payload: u16, ttl: [u8; 4], options: &[u8]) {
    message[11] = 1;
    message.extend_from_slice(&[0, 0, 41]);
    message.extend_from_slice(&payload.to_be_bytes());
    message.extend_from_slice(&ttl);
    message.extend_from_slice(&(options.len() as u16).to_be_bytes());
    message.extend_from_slice(options);
}

fn answered(message: &[u8], facts: &Facts<'_>) -> Vec<u8> {
    let zones = zones([plain_zone("example.org", "www A 192.0.2.1")]);
    let mut out = Vec::new();
    match Query::parse(message) {
        Ok(query) => drop(answer(&zones, &query, facts, &mut out)),
        Err(rejection) => assert!(reject(&rejection, facts, &mut out).is_some()),
    }
    read(&out);
    out
}

/// The OPT record at the end of a response.
fn opt(response: &[u8], options: usize) -> &[u8] {
    let opt = &response[response.len() - 11 - options..];
    assert_eq!((opt[..3].to_vec(), usize::from(opt[10])), (vec![0, 0, 41], options));
    opt
}

#[test]
fn whoever_speaks_edns_hears_it() {
    let response = answered(&with_opt(4096, [0; 4], &[]), &Facts::of_transport(Transport::Udp));
    assert_eq!(opt(&response, 0), [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    let plain =
        answered(&question("www.example.org", Rtype::A, Class::IN), &Facts::of_transport(Transport::Udp));
    assert_eq!(plain.len(), response.len() - 11);
}

/// RFC 3225 §3; RFC 6891 §6.1.4: of the flags only DO comes back.
#[test]
fn do_is_repeated_and_what_is_not_known_is_not() {
    let response = answered(&with_opt(4096, [0, 0, 0xff, 0xff], &[]), &Facts::of_transport(Transport::Udp));
    assert_eq!(opt(&response, 0)[5..9], [0, 0, 0x80, 0]);
    // An option that nobody knows (RFC 8906 §3.2.2).
    let response =
        answered(&with_opt(4096, [0; 4], &[0xfd, 0xe9, 0, 2, 1, 2]), &Facts::of_transport(Transport::Udp));
    assert_eq!(opt(&response, 0)[5..9], [0, 0, 0, 0]);
}

/// RFC 6891 §6.1.3.
#[test]
fn another_version_is_told_ours() {
    let message = with_opt(4096, [0, 1, 0x80, 0], &[1, 2, 3]);
    let response = answered(&message, &Facts::of_transport(Transport::Udp));
    assert_eq!(read(&response).rcode, "BADVERS");
    assert!(read(&response).answer.is_empty());
    assert_eq!(opt(&response, 0)[5..9], [1, 0, 0x80, 0]);
}

#[test]
fn the_server_tells_its_name_to_those_who_ask() {
    let facts = Facts { nsid: Some(b"eu-1"), ..Facts::of_transport(Transport::Udp) };
    let response = answered(&with_opt(4096, [0; 4], &[0, 3, 0, 0]), &facts);
    assert_eq!(opt(&response, 8)[11..], *b"\0\x03\0\x04eu-1");
    assert_eq!(answered(&with_opt(4096, [0; 4], &[]), &facts).len(), response.len() - 8);
    let nameless = Facts::of_transport(Transport::Udp);
    assert_eq!(answered(&with_opt(4096, [0; 4], &[0, 3, 0, 0]), &nameless).len(), response.len() - 8);
}

#[test]
fn a_cookie_is_repeated_with_the_servers_half() {
    let cookie = [&[0, 10, 0, 8][..], b"clientck"].concat();
    let facts = Facts { server_cookie: Some(b"servercookie----"), ..Facts::of_transport(Transport::Udp) };
    let response = answered(&with_opt(4096, [0; 4], &cookie), &facts);
    assert_eq!(opt(&response, 28)[11..], *b"\0\x0a\0\x18clientckservercookie----");
    assert_eq!(answered(&with_opt(4096, [0; 4], &[]), &facts).len(), response.len() - 28);
    // RFC 7873 §5.4: a question is not needed for that.
    let mut bare = vec![0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    add_opt(&mut bare, 1232, [0; 4], &cookie);
    let response = answered(&bare, &facts);
    assert_eq!((read(&response).status().as_str(), response.len()), ("NOERROR", 12 + 11 + 28));
}

/// The longest question and everything that an OPT record can carry: 512 octets are enough.
#[test]
fn an_opt_record_fits_beside_any_question() {
    let nsid = [b'n'; 300];
    let facts =
        Facts { nsid: Some(&nsid), server_cookie: Some(&[b's'; 32]), ..Facts::of_transport(Transport::Udp) };
    let name = [b"\x01a".repeat(121), b"\x07example\x03org\0".to_vec()].concat();
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&name);
    message.extend_from_slice(&[0, 1, 0, 1]);
    let mut longer = message.clone();
    let options = [&[0, 3, 0, 0, 0, 10, 0, 8][..], b"clientck"].concat();
    add_opt(&mut message, 512, [0; 4], &options);
    let subnet = [&[0, 8, 0, 20, 0, 2, 128, 0][..], &[0xff; 16]].concat();
    add_opt(&mut longer, 512, [0; 4], &[options, subnet].concat());
    let response = answered(&longer, &facts);
    assert!(response.len() <= 512, "{}", response.len());
    assert_eq!(read(&response).status(), "NXDOMAIN aa tc", "the SOA has no room any more");
    let response = answered(&message, &facts);
    assert!(response.len() <= 512, "{}", response.len());
    assert_eq!(read(&response).status(), "NXDOMAIN aa");
    let odd = Facts { server_cookie: Some(b"short"), ..facts };
    assert_eq!(answered(&message, &odd).len(), response.len() - 44);
}

/// RFC 7871 §7.2.1: what every client gets says so.
#[test]
fn a_client_subnet_is_repeated_with_whom_the_answer_is_for() {
    let subnet = b"\0\x08\0\x07\0\x01\x18\0\xc0\0\x02";
    let response = answered(&with_opt(4096, [0; 4], subnet), &Facts::of_transport(Transport::Udp));
    assert_eq!(opt(&response, 11)[11..], *subnet);
    let subnet = b"\0\x08\0\x09\0\x02\x28\0\x20\x01\x0d\xb8\x01";
    let response = answered(&with_opt(4096, [0; 4], subnet), &Facts::of_transport(Transport::Udp));
    assert_eq!(opt(&response, 13)[11..], *subnet);
}

#[test]
fn padding_hides_the_length_where_nobody_sees_more() {
    let message = with_opt(4096, [0; 4], &[0, 12, 0, 3, 0, 0, 0]);
    for transport in [Transport::Tls, Transport::Https] {
        let response = answered(&message, &Facts::of_transport(transport));
        assert_eq!(response.len(), 468, "{transport:?}");
    }
    for transport in [Transport::Udp, Transport::Tcp] {
        assert_eq!(answered(&message, &Facts::of_transport(transport)).len(), 60, "{transport:?}");
    }
    let unasked = answered(&with_opt(4096, [0; 4], &[]), &Facts::of_transport(Transport::Tls));
    assert_eq!(unasked.len(), 60);
}
