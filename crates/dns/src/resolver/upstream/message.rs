//! The query that an upstream gets.

use super::super::key::{Asked, Subnet};
use crate::protocol::HEADER_BYTES;
use crate::protocol::edns::{CLIENT_SUBNET, COOKIE, OPT, PADDING};
use rand::{Rng, RngExt};
use std::net::IpAddr;

/// What is taken in a datagram (the DNS flag day of 2020).
const PAYLOAD_BYTES: u16 = 1232;
/// RFC 8467 §4.1: a query is padded to a multiple of this where it is encrypted, so that its length tells little of the name.
const PADDING_BLOCK_BYTES: usize = 128;
const RD: u8 = 0x01;
const CD: u8 = 0x10;
const DO: u8 = 0x80;

/// A query with an identifier that nobody foresees, with letters by chance or padding where they are wanted.
pub(super) fn query(
    name: &[u8],
    asked: Asked,
    cookie: &[u8],
    (random_case, is_padded): (bool, bool),
    rng: &mut impl Rng,
) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_BYTES + name.len() + 80);
    message.extend_from_slice(&rng.random::<u16>().to_be_bytes());
    message.extend_from_slice(&[RD, if asked.checking_disabled { CD } else { 0 }]);
    message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 1]);
    write_name(name, random_case, rng, &mut message);
    message.extend_from_slice(&asked.rtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.push(0);
    message.extend_from_slice(&OPT.to_be_bytes());
    message.extend_from_slice(&PAYLOAD_BYTES.to_be_bytes());
    message.extend_from_slice(&[0, 0, if asked.dnssec_ok { DO } else { 0 }, 0]);
    let length_at = message.len();
    message.extend_from_slice(&[0, 0]);
    if !cookie.is_empty() {
        option(COOKIE, &[cookie], &mut message);
    }
    if let Some(subnet) = asked.subnet {
        client_subnet(subnet, &mut message);
    }
    if is_padded {
        let bare = message.len() + 4;
        option(
            PADDING,
            &[&[0; PADDING_BLOCK_BYTES][..bare.next_multiple_of(PADDING_BLOCK_BYTES) - bare]],
            &mut message,
        );
    }
    let length = (message.len() - length_at - 2) as u16;
    message[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    message
}

/// The octets of lengths are below those of letters.
fn write_name(name: &[u8], random_case: bool, rng: &mut impl Rng, message: &mut Vec<u8>) {
    for &octet in name {
        let is_large = random_case && octet.is_ascii_lowercase() && rng.random();
        message.push(if is_large { octet.to_ascii_uppercase() } else { octet });
    }
}

fn client_subnet(Subnet { address, prefix }: Subnet, message: &mut Vec<u8>) {
    let (family, octets): (u8, &[u8]) = match &address {
        IpAddr::V4(v4) => (1, &v4.octets()),
        IpAddr::V6(v6) => (2, &v6.octets()),
    };
    option(CLIENT_SUBNET, &[&[0, family, prefix, 0], &octets[..usize::from(prefix).div_ceil(8)]], message);
}

fn option(code: u16, parts: &[&[u8]], message: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    message.extend_from_slice(&code.to_be_bytes());
    message.extend_from_slice(&(length as u16).to_be_bytes());
    parts.iter().for_each(|part| message.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Query;
    use crate::resolver::key::Subnet;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn it_is_a_query_that_says_what_is_asked_and_no_more() {
        let mut rng = SmallRng::seed_from_u64(1);
        let asked = Asked { rtype: 28, dnssec_ok: true, checking_disabled: true, subnet: None };
        let name = b"\x03www\x04test\x00";
        let message = query(name, asked, b"12345678", (false, false), &mut rng);
        let query_ = Query::parse(&message).unwrap();
        assert_eq!((query_.name_as_asked(), query_.rtype.to_int()), (&name[..], 28));
        let edns = query_.edns.unwrap();
        assert_eq!((edns.dnssec_ok, edns.payload_bytes, edns.client_subnet), (true, 1232, None));
        assert_eq!(edns.cookie.unwrap().client, b"12345678");
        assert_eq!(message[2..4], [1, 0x10]);
        let subnet = Subnet { address: [192, 0, 2, 0].into(), prefix: 24 };
        let asked = Asked { subnet: Some(subnet), dnssec_ok: false, ..asked };
        let message = query(name, asked, &[], (false, false), &mut rng);
        let edns = Query::parse(&message).unwrap().edns.unwrap();
        assert_eq!(
            edns.client_subnet.map(|told| (told.address, told.prefix)),
            Some(([192, 0, 2, 0].into(), 24))
        );
        assert_eq!((edns.dnssec_ok, edns.cookie), (false, None));
    }

    #[test]
    fn identifiers_and_letters_are_drawn() {
        let mut rng = SmallRng::seed_from_u64(1);
        let asked = Asked { rtype: 1, dnssec_ok: false, checking_disabled: false, subnet: None };
        let drawn: Vec<_> =
            (0..50).map(|_| query(b"\x0caaaaaaaaaaaa\x00", asked, &[], (true, false), &mut rng)).collect();
        let distinct =
            |from, to| drawn.iter().map(|one| &one[from..to]).collect::<std::collections::HashSet<_>>().len();
        assert!(distinct(0, 2) > 45 && distinct(12, 26) > 45);
        assert!(drawn.iter().all(|one| one[12..26].eq_ignore_ascii_case(b"\x0caaaaaaaaaaaa\x00")));
    }

    #[test]
    fn lengths_of_encrypted_queries_tell_little_of_the_name() {
        let mut rng = SmallRng::seed_from_u64(1);
        let asked = Asked { rtype: 1, dnssec_ok: true, checking_disabled: false, subnet: None };
        for length in 1..=60u8 {
            let name = [&[length][..], &[b'a'; 60][..usize::from(length)], b"\x04test\x00"].concat();
            let message = query(&name, asked, &[], (false, true), &mut rng);
            assert_eq!(message.len(), 128);
            assert!(Query::parse(&message).unwrap().edns.unwrap().padding);
        }
    }
}
