//! Headers as they come and as they are sent.

use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn v1(line: &str) -> Result<Option<(Header, usize)>, Bad> {
    parse(line.as_bytes())
}

/// A header of version 2 with these bytes behind the first 16.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = v2::SIGNATURE.to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    header.extend_from_slice(rest);
    header
}

fn record(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn a_line_says_whom_a_connection_is_from() {
    let text = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\n";
    let (header, length) = v1(text).unwrap().unwrap();
    assert_eq!(header.client(), Some(socket("192.0.2.1:56324")));
    assert_eq!(&text[length..], "GET / HTTP/1.1\r\n");
    assert!(
        matches!(header.origin, Origin::Stream { destination, .. } if destination == socket("198.51.100.2:443"))
    );
    let (header, _) = v1("PROXY TCP6 2001:db8::1 ::1 1 0\r\n").unwrap().unwrap();
    assert_eq!(header.client(), Some(socket("[2001:db8::1]:1")));
    for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 what ever\r\n"] {
        let (header, length) = v1(unknown).unwrap().unwrap();
        assert_eq!((header.origin, length), (Origin::Unknown, unknown.len()));
    }
}

#[test]
fn the_longest_line_has_107_bytes() {
    let line = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(v1(&line).unwrap().unwrap().1, 107);
    let line = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
    for end in 107..=line.len() {
        assert_eq!(v1(&line[..end]), Err(Bad::Line("longer than 107 bytes")), "{end}");
    }
    assert_eq!(v1(&line[..106]), Ok(None));
}

#[test]
fn a_line_that_breaks_the_grammar_is_refused_as_soon_as_it_does() {
    for bad in [
        "GET / HTTP/1.1",
        "proxy TCP4",
        "PROXY  TCP4",
        "PROXY TCP5",
        "PROXY UDP4",
        "PROXY \r\n",
        "PROXY\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\rX",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4  192.0.2.1",
        "PROXY TCP4 192.0.2.01 ",
        "PROXY TCP4 192.0.2 ",
        "PROXY TCP4 a",
        "PROXY TCP4 1111111111111111",
        "PROXY TCP4 2001:db8::1 ",
        "PROXY TCP6 192.0.2.1 ",
        "PROXY TCP6 g",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 ",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 x",
        "\r\n\r\n\0\r\nQUIX",
        "\n",
    ] {
        assert!(v1(bad).is_err(), "{bad:?}");
        assert!(bad.len() < 2 || v1(&bad[..1]) == Ok(None) || v1(&bad[..1]).is_err());
    }
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn version_2_says_whom_a_connection_is_from() {
    let bytes = [&v2(0x21, 0x11, &V4)[..], b"rest"].concat();
    let (header, length) = parse(&bytes).unwrap().unwrap();
    let (source, destination) = (socket("192.0.2.1:56324"), socket("198.51.100.2:443"));
    assert_eq!(header.origin, Origin::Stream { source, destination });
    assert_eq!(&bytes[length..], b"rest");
    let (header, _) = parse(&v2(0x21, 0x12, &V4)).unwrap().unwrap();
    assert_eq!(header.origin, Origin::Datagram { source, destination });
    let mut v6 = [0; 36];
    (v6[0], v6[15], v6[31], v6[33], v6[35]) = (0x20, 1, 2, 3, 4);
    for (family, is_stream) in [(0x21, true), (0x22, false)] {
        let (header, _) = parse(&v2(0x21, family, &v6)).unwrap().unwrap();
        assert_eq!(header.client(), Some(socket("[2000::1]:3")));
        assert_eq!(matches!(header.origin, Origin::Stream { .. }), is_stream);
    }
}

#[test]
fn a_unix_socket_has_paths_without_the_zeroes_that_fill_them_up() {
    let mut paths = [0; 216];
    paths[..4].copy_from_slice(b"/a\0b");
    paths[108..].copy_from_slice(&[b'x'; 108]);
    let (header, _) = parse(&v2(0x21, 0x31, &paths)).unwrap().unwrap();
    assert_eq!(header.client(), None);
    let expected = Origin::Unix { source: b"/a\0b"[..].into(), destination: [b'x'; 108].into() };
    assert_eq!(header.origin, expected);
}

#[test]
fn the_proxy_s_own_connections_count_by_their_own_addresses() {
    for (command, family, rest, origin) in [
        (0x20, 0x00, &b""[..], Origin::Local),
        (0x20, 0x11, &V4, Origin::Local),
        (0x20, 0xff, b"what ever", Origin::Local),
        (0x21, 0x00, b"what ever", Origin::Unknown),
    ] {
        let bytes = v2(command, family, rest);
        let (header, length) = parse(&bytes).unwrap().unwrap();
        assert_eq!((header.client(), header.origin, length), (None, origin, bytes.len()));
    }
    assert_eq!(parse(V2_LOCAL).unwrap().unwrap().0.origin, Origin::Local);
    assert_eq!(parse(V1_UNKNOWN).unwrap().unwrap().0.origin, Origin::Unknown);
}

#[test]
fn what_version_2_does_not_know_is_refused_as_soon_as_it_comes() {
    for command in [0x11, 0x22, 0x00, 0x31] {
        assert_eq!(
            parse(&v2(command, 0x11, &V4)[..13]),
            Err(Bad::Unknown { what: "version or command", value: command })
        );
    }
    for family in [0x01, 0x10, 0x13, 0x20, 0x41] {
        assert_eq!(
            parse(&v2(0x21, family, &V4)[..14]),
            Err(Bad::Unknown { what: "family or protocol", value: family })
        );
    }
    assert_eq!(parse(&v2(0x21, 0x11, &V4[..11])[..16]), Err(Bad::Short { length: 11 }));
    let longest = v2(0x21, 0x00, &[0; HEADER_BYTES_MAX - 16]);
    assert!(parse(&longest).unwrap().is_some());
    let too_long = v2(0x21, 0x00, &[0; HEADER_BYTES_MAX - 15]);
    assert_eq!(parse(&too_long[..16]), Err(Bad::TooLong { length: 4081 }));
}

#[test]
fn records_are_read_and_those_not_known_are_skipped() {
    let ssl =
        [&[0b101, 0, 0, 0, 0][..], &record(0x21, b"TLSv1.3"), &record(0x22, b"alice"), &record(0x23, b"?")];
    let records = [
        record(0xee, b"x"),
        record(0x04, b""),
        record(2, b"a.test"),
        record(1, b"h2"),
        record(5, b"id"),
        record(0x20, &ssl.concat()),
    ];
    let (header, _) = parse(&v2(0x21, 0x11, &[&V4[..], &records.concat()].concat())).unwrap().unwrap();
    assert_eq!(header.tlvs.authority(), Some("a.test"));
    assert_eq!(header.tlvs.alpn(), Some(&b"h2"[..]));
    assert_eq!(header.tlvs.unique_id(), Some(&b"id"[..]));
    let expected = Ssl {
        is_tls: true,
        has_certificate: true,
        is_verified: true,
        version: Some("TLSv1.3"),
        common_name: Some("alice"),
    };
    assert_eq!(header.tlvs.ssl(), Some(expected));
    assert_eq!(header.tlvs.iter().count(), 6);
}

#[test]
fn a_client_is_verified_only_when_it_showed_a_certificate_that_was_good() {
    for (client, verify, is_verified) in
        [(0b101, 0, true), (0b011, 0, true), (0b101, 1, false), (0b001, 0, false)]
    {
        let ssl = record(0x20, &[client, 0, 0, 0, verify]);
        let (header, _) = parse(&v2(0x21, 0x11, &[&V4[..], &ssl].concat())).unwrap().unwrap();
        assert_eq!(header.tlvs.ssl().unwrap().is_verified, is_verified, "{client:b} {verify}");
    }
}

#[test]
fn a_record_that_is_not_whole_is_refused() {
    for records in [
        &b"\x02"[..],
        b"\x02\0",
        b"\x02\0\x02a",
        b"\x20\0\x04abcd",
        b"\x20\0\x07\x01\0\0\0\0\x21\0",
        b"\x03\0\x03abc",
    ] {
        let bytes = v2(0x21, 0x11, &[&V4[..], records].concat());
        assert_eq!(parse(&bytes), Err(Bad::Record), "{records:?}");
    }
}

#[test]
fn a_checksum_is_verified() {
    let (source, destination) = (socket("192.0.2.1:1"), socket("192.0.2.2:2"));
    let mut bytes = Vec::new();
    let extras = Extras { authority: Some("a.test"), checksum: true, ..Extras::default() };
    write_v2(&mut bytes, source, destination, &extras);
    assert!(parse(&bytes).is_ok());
    for at in 16..bytes.len() - 7 {
        bytes[at] ^= 1;
        assert!(parse(&bytes).is_err(), "byte {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn what_is_sent_is_what_haproxy_sends() {
    let mut out = b"before".to_vec();
    write_v1(&mut out, socket("192.0.2.1:56324"), socket("[::ffff:198.51.100.2]:443"));
    assert_eq!(out, b"beforePROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
    out.clear();
    write_v1(&mut out, socket("[2001:db8::1]:1"), socket("[::1]:2"));
    assert_eq!(out, b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
    out.clear();
    write_v1(&mut out, socket("[2001:db8::1]:1"), socket("192.0.2.1:2"));
    assert_eq!(out, V1_UNKNOWN);
    out.clear();
    write_v2(&mut out, socket("192.0.2.1:56324"), socket("198.51.100.2:443"), &Extras::default());
    assert_eq!(out, v2(0x21, 0x11, &V4));
}

#[test]
fn a_value_that_is_too_long_is_left_out() {
    let (name, mut out) = ("a".repeat(256), Vec::new());
    let extras = Extras { authority: Some(&name), ssl_version: Some("TLSv1.2"), ..Extras::default() };
    write_v2(&mut out, socket("192.0.2.1:1"), socket("192.0.2.2:2"), &extras);
    let (header, _) = parse(&out).unwrap().unwrap();
    assert_eq!(header.tlvs.authority(), None);
    let ssl = header.tlvs.ssl().unwrap();
    assert_eq!((ssl.version, ssl.is_tls, ssl.is_verified), (Some("TLSv1.2"), true, false));
}

fn any_socket() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical());
    (prop_oneof![v4, v6], any::<u16>()).prop_map(SocketAddr::from)
}

/// Bytes that are nearly headers.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let line = "PROXY (TCP4|TCP6|UNKNOWN)( [0-9a-f:.]{0,12}){0,5}(\r\n|\r|\n)?[a-z]{0,3}"
        .prop_map(String::into_bytes);
    let records =
        proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..9)), 0..4);
    let addresses = proptest::collection::vec(any::<u8>(), 0..40);
    let binary = (
        prop_oneof![Just(0x21), Just(0x20), any::<u8>()],
        prop_oneof![Just(0x11), Just(0x21), any::<u8>()],
        addresses,
        records,
    )
        .prop_map(|(command, family, addresses, records)| {
            let records: Vec<u8> = records.iter().flat_map(|(kind, value)| record(*kind, value)).collect();
            v2(command, family, &[addresses, records].concat())
        });
    prop_oneof![line, binary, proptest::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #[test]
    fn what_is_sent_is_read(
        source in any_socket(), destination in any_socket(), authority in proptest::option::of("[a-z.]{0,40}"),
        version in proptest::option::of("TLSv1.[0-3]"), alpn in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
        checksum: bool,
    ) {
        let extras = Extras { authority: authority.as_deref(), alpn: alpn.as_deref(), ssl_version: version.as_deref(), checksum };
        let mut out = Vec::new();
        write_v2(&mut out, source, destination, &extras);
        let (header, length) = parse(&out).unwrap().unwrap();
        prop_assert_eq!(length, out.len());
        prop_assert_eq!(header.client().map(|client| (client.ip().to_canonical(), client.port())), Some((source.ip(), source.port())));
        prop_assert_eq!(header.tlvs.authority(), authority.as_deref());
        prop_assert_eq!(header.tlvs.alpn(), alpn.as_deref());
        prop_assert_eq!(header.tlvs.ssl().and_then(|ssl| ssl.version), version.as_deref());
        out.clear();
        write_v1(&mut out, source, destination);
        let (header, length) = parse(&out).unwrap().unwrap();
        prop_assert_eq!(length, out.len());
        let is_one_family = source.is_ipv4() == destination.is_ipv4();
        prop_assert_eq!(header.client(), is_one_family.then_some(source));
    }

    #[test]
    fn bytes_that_come_in_pieces_say_what_they_say_at_once(bytes in nearly()) {
        let whole = parse(&bytes);
        for end in 0..bytes.len() {
            match parse(&bytes[..end]) {
                Ok(None) => {}
                Ok(Some((header, length))) => {
                    prop_assert_eq!(length, end, "not before its last byte, and not later");
                    prop_assert_eq!(&whole, &Ok(Some((header, length))));
                    break;
                }
                Err(bad) => {
                    prop_assert!(whole.is_err(), "{} after {} bytes, {:?} after all", bad, end, whole);
                    break;
                }
            }
        }
    }
}
