//! The codec alone: what is understood, what is refused, and that it does not matter how bytes are cut.

use edge::protocol::{
    BadBody, BadHead, Body, FieldKind, Method, RequestHead, RequestLimits, ResponseHead, TargetForm, Version,
    is_valid_host, normalized_path,
};
use proptest::prelude::*;

const LIMITS: RequestLimits = RequestLimits { head_bytes_max: 4096, fields_max: 20 };

fn parse(head: &[u8]) -> Result<Option<RequestHead>, BadHead> {
    let mut request = RequestHead::default();
    request.parse(head, 0, LIMITS).map(|is_whole| is_whole.then_some(request))
}

fn whole(head: &str) -> RequestHead {
    parse(head.as_bytes()).expect("the head is good").expect("the head is whole")
}

#[test]
fn a_plain_request_is_taken_apart() {
    let head = "GET /a/b?x=1 HTTP/1.1\r\nHost: shop.test:8080\r\nCookie: a=1; b=two\r\nX-Y:  z \r\n\r\n";
    let request = whole(head);
    let bytes = head.as_bytes();
    assert_eq!((request.method, request.version, request.len), (Method::Get, Version::Http11, head.len()));
    assert_eq!(request.path.of_head(bytes), b"/a/b");
    assert_eq!(request.query.of_head(bytes), b"?x=1");
    assert_eq!(request.host.unwrap().of_head(bytes), b"shop.test:8080");
    assert_eq!(request.value_of(bytes, b"x-y"), Some(&b"z"[..]));
    assert_eq!(request.cookie(bytes, b"b"), Some(&b"two"[..]));
    assert_eq!(request.cookie(bytes, b"c"), None);
    assert!(request.persists() && request.body.is_finished());
}

#[test]
fn every_form_of_misuse_is_refused_by_its_name() {
    let host = "Host: a\r\n";
    let cases: Vec<(String, BadHead)> = vec![
        ("GET / HTTP/1.1\r\n\r\n".into(), BadHead::HostMissing),
        ("CONNECT a:80 HTTP/1.1\r\n\r\n".into(), BadHead::HostMissing),
        (format!("CONNECT /a HTTP/1.1\r\n{host}\r\n"), BadHead::TargetForm),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), BadHead::HostRepeated),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n".into(), BadHead::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), BadHead::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), BadHead::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".into(), BadHead::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a:8a\r\n\r\n".into(), BadHead::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a,b:80:80\r\n\r\n".into(), BadHead::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n".into(), BadHead::HostInvalid),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), BadHead::HostContradicts),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), BadHead::HostContradicts),
        ("GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n".into(), BadHead::HostInvalid),
        (format!("GET / HTTP/1.1\n{host}\r\n"), BadHead::BareLineBreak),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n\r\n".into(), BadHead::BareLineBreak),
        ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n".into(), BadHead::FieldValue),
        (format!("GET / HTTP/1.1\r\n{host}X: a\rb\r\n\r\n"), BadHead::FieldValue),
        (
            format!("GET / HTTP/1.1\r\n{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            BadHead::LengthAndEncoding,
        ),
        (format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"), BadHead::TransferEncoding),
        (
            format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            BadHead::TransferEncoding,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, chunked\r\n\r\n"),
            BadHead::TransferEncoding,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            BadHead::TransferEncoding,
        ),
        (format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: \x0bchunked\r\n\r\n"), BadHead::FieldValue),
        (format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: identity\r\n\r\n"), BadHead::TransferEncoding),
        (format!("GET / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), BadHead::TransferEncoding),
        (
            format!("GET / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            BadHead::ContentLengthRepeated,
        ),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 1, 1\r\n\r\n"), BadHead::ContentLength),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\n"), BadHead::ContentLength),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 1a\r\n\r\n"), BadHead::ContentLength),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length:\r\n\r\n"), BadHead::ContentLength),
        (
            format!("GET / HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"),
            BadHead::ContentLength,
        ),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".into(), BadHead::FieldName),
        (format!("GET / HTTP/1.1\r\n{host} X: folded\r\n\r\n"), BadHead::FieldName),
        (format!("GET / HTTP/1.1\r\n{host}X: a\r\n\tb\r\n\r\n"), BadHead::FieldName),
        (format!("GET / HTTP/1.1\r\n{host}X\x01: a\r\n\r\n"), BadHead::FieldName),
        (format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"), BadHead::FieldValue),
        (format!("GET / HTTP/1.1\r\n{host}: a\r\n\r\n"), BadHead::FieldName),
        (format!("GET / HTTP/1.1\r\n{host}no colon\r\n\r\n"), BadHead::FieldName),
        (format!("GET /#top HTTP/1.1\r\n{host}\r\n"), BadHead::TargetCharacter),
        (format!("GET /caf\u{e9} HTTP/1.1\r\n{host}\r\n"), BadHead::TargetCharacter),
        (format!("GET /\x7f HTTP/1.1\r\n{host}\r\n"), BadHead::TargetCharacter),
        (format!("GET a HTTP/1.1\r\n{host}\r\n"), BadHead::TargetForm),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"), BadHead::TargetForm),
        (format!("GET ftp://a/ HTTP/1.1\r\n{host}\r\n"), BadHead::TargetForm),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), BadHead::Version),
        (format!("GET / HTTP/1.1 x\r\n{host}\r\n"), BadHead::RequestLine),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), BadHead::RequestLine),
        (format!("GET /a b HTTP/1.1\r\n{host}\r\n"), BadHead::RequestLine),
        (format!("GET /100% HTTP/1.1\r\n{host}\r\n"), BadHead::TargetCharacter),
        (format!("GET /%%361 HTTP/1.1\r\n{host}\r\n"), BadHead::TargetCharacter),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n".into(), BadHead::HostInvalid),
        (format!("G@T / HTTP/1.1\r\n{host}\r\n"), BadHead::RequestLine),
        (format!("GET /\r\n{host}\r\n"), BadHead::RequestLine),
        ("\n\r\n\r\n".into(), BadHead::BareLineBreak),
        (format!("GET / HTTP/1.1\r\n{host}Expect: 200-ok\r\n\r\n"), BadHead::Expectation),
        (
            format!("GET / HTTP/1.1\r\n{host}Expect: 200-ok\r\nExpect: 100-continue\r\n\r\n"),
            BadHead::Expectation,
        ),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: a\r\n".repeat(20)), BadHead::TooManyFields),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "a".repeat(5000)), BadHead::TooLarge),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(5000)), BadHead::TargetTooLong),
    ];
    for (head, expected) in cases {
        match parse(head.as_bytes()) {
            Err(refused) => assert_eq!(refused, expected, "{head:?}"),
            Ok(_) => panic!("accepted {head:?}"),
        }
    }
}

#[test]
fn raw_bytes_outside_ascii_are_refused_in_the_target_and_carried_in_values() {
    assert_eq!(parse(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n").unwrap_err(), BadHead::TargetCharacter);
    assert!(parse(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n").unwrap().is_some());
}

#[test]
fn a_name_that_a_gateway_would_take_for_one_of_ours_is_of_this_hop() {
    for name in
        ["X_Forwarded_For", "x-forwarded_proto", "Content_Length", "Transfer_Encoding", "X_Request_Id"]
    {
        assert_eq!(FieldKind::of_request(name.as_bytes()), FieldKind::HopByHop, "{name}");
    }
    assert_eq!(FieldKind::of_request(b"my_header"), FieldKind::Other);
    assert_eq!(FieldKind::of_request(&[b'_'; 40]), FieldKind::Other);
}

#[test]
fn the_absolute_form_says_whom_the_request_is_for() {
    let head = "GET http://Shop.test?x HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let request = whole(head);
    assert_eq!(request.host.unwrap().of_head(head.as_bytes()), b"Shop.test");
    assert!(request.path.is_empty());
    assert_eq!(request.query.of_head(head.as_bytes()), b"?x");
    let old = whole("GET / HTTP/1.0\r\n\r\n");
    assert!(old.host.is_none() && !old.persists());
    assert!(whole("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").persists());
    assert!(!whole("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n").persists());
}

#[test]
fn options_may_ask_about_the_server_as_a_whole() {
    let head = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = whole(head);
    assert_eq!(request.path.of_head(head.as_bytes()), b"*");
    assert!(request.query.is_empty());
}

#[test]
fn an_upgrade_is_a_wish_only_where_it_may_be_passed_on() {
    let wish = |lines: &str| whole(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).upgrade.is_some();
    assert!(wish("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert!(!wish("Upgrade: websocket\r\n"), "RFC 9110 §7.8: only with the connection option");
    assert!(!wish("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"));
    assert!(!wish("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n"));
}

#[test]
fn hosts_are_judged_by_rfc_3986() {
    for good in [
        "a",
        "shop.test",
        "shop.test:80",
        "shop.test:",
        "127.0.0.1:1",
        "[::1]",
        "[2001:db8::1]:443",
        "a_b",
        "%61",
    ] {
        assert!(is_valid_host(good.as_bytes()), "{good}");
    }
    for bad in ["", ":80", "a b", "a@b", "[::1", "::1", "[x]", "a:65536", "a/b", "a\u{e9}"] {
        assert!(!is_valid_host(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn dot_segments_are_gone_before_a_route_is_looked_up() {
    let cases = [
        ("/a/b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/../../a", "/a"),
        ("/%2e%2E/a", "/a"),
        ("/%61pi/%7e%2F%2f%20", "/api/~%2F%2F%20"),
        ("/docs/%40x%3A%2b", "/docs/@x:+"),
        ("/%c3%bc/a%3bb", "/%C3%BC/a%3Bb"),
        ("/%2561", "/%2561"),
        ("/a/.%2e/b", "/b"),
        ("/a/...", "/a/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a//b/../c", "/a//c"),
        ("/.", "/"),
        ("/a%2fb/..", "/"),
    ];
    for (path, normal) in cases {
        assert_eq!(&*normalized_path(path.as_bytes()), normal.as_bytes(), "{path}");
    }
}

fn response(head: &str, method: Method) -> Result<ResponseHead, BadHead> {
    let mut response = ResponseHead::default();
    assert!(response.parse(head.as_bytes(), 0, method, LIMITS)?, "the head is whole");
    Ok(response)
}

#[test]
fn a_response_s_length_follows_rfc_9112_section_6_3() {
    let body = |head: &str, method| response(head, method).unwrap().body;
    assert!(body("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Method::Head).is_finished());
    assert!(body("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Method::Get).is_finished());
    assert!(body("HTTP/1.1 204 No Content\r\n\r\n", Method::Get).is_finished());
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Method::Get).bytes_left(), Some(9));
    assert!(body("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Method::Get).is_chunked());
    assert!(body("HTTP/1.1 200 OK\r\n\r\n", Method::Get).ends_with_connection());
    assert_eq!(
        body("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 9\r\n\r\n", Method::Get).bytes_left(),
        Some(9)
    );
}

#[test]
fn a_response_that_could_be_read_two_ways_is_refused() {
    let refused = |head: &str| response(head, Method::Get).unwrap_err();
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n";
    assert_eq!(refused(&format!("{length}Content-Length: 8\r\n\r\n")), BadHead::ContentLengthRepeated);
    assert_eq!(refused(&format!("{length}Transfer-Encoding: chunked\r\n\r\n")), BadHead::LengthAndEncoding);
    assert_eq!(refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), BadHead::TransferEncoding);
    assert_eq!(refused("HTTP/1.1 200 OK\r\nX : y\r\n\r\n"), BadHead::FieldName);
    assert_eq!(refused("HTTP/1.1 20 OK\r\n\r\n"), BadHead::StatusLine);
    assert_eq!(refused("HTTP/1.1 200 OK\nX: y\r\n\r\n"), BadHead::BareLineBreak);
}

/// A body's data, its trailer lines, and what followed it.
type Parts = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Decodes a body that arrives in pieces of the given sizes.
fn decode(mut body: Body, wire: &[u8], pieces: &[usize]) -> Result<Parts, BadBody> {
    let (mut data, mut trailers, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let mut pieces = pieces.iter().copied().cycle();
    let mut rest = wire;
    while !rest.is_empty() && !body.is_finished() {
        let (piece, after) = rest.split_at(pieces.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = after;
        kept.extend_from_slice(piece);
        let decoded = body.decode(&mut kept, 0)?;
        data.extend_from_slice(&kept[decoded.data.clone()]);
        trailers.extend_from_slice(&kept[decoded.trailers.clone()]);
        kept.drain(..decoded.consumed);
    }
    kept.extend_from_slice(rest);
    if !body.is_finished() {
        body.end_of_connection()?;
    }
    Ok((data, trailers, kept))
}

#[test]
fn chunks_are_decoded_and_what_follows_is_left() {
    let wire = b"5;ext=\"a b\"\r\nhello\r\n06\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
    let (data, trailers, rest) = decode(Body::chunked(), wire, &[wire.len()]).unwrap();
    assert_eq!(
        (&data[..], &trailers[..], &rest[..]),
        (&b"hello world"[..], &b"X-Sum: 1\r\n"[..], &b"GET /"[..])
    );
}

#[test]
fn malformed_chunks_are_refused() {
    let cases = [
        "x\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "\r\n",
        ";a\r\n",
        "5;a\nb\r\nhello\r\n",
        "5;a\x01\r\n",
        "5\r\rhello",
        "10000000000000000\r\n",
        "ffffffffffffffffff\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nX: a\0\r\n\r\n",
    ];
    for wire in cases {
        let decoded = decode(Body::chunked(), wire.as_bytes(), &[wire.len()]);
        assert!(matches!(decoded, Err(BadBody::Chunk(_))), "{wire:?}: {decoded:?}");
    }
    let long = format!("5;{}\r\nhello\r\n", "a".repeat(5000));
    assert!(matches!(decode(Body::chunked(), long.as_bytes(), &[64]), Err(BadBody::Chunk(_))));
    let trailers = format!("0\r\nX: {}\r\n\r\n", "a".repeat(9000));
    assert!(matches!(decode(Body::chunked(), trailers.as_bytes(), &[64]), Err(BadBody::Chunk(_))));
}

#[test]
fn a_body_that_ends_early_is_not_whole() {
    assert_eq!(decode(Body::length(5), b"hell", &[4]).unwrap_err(), BadBody::Incomplete);
    assert_eq!(decode(Body::chunked(), b"5\r\nhell", &[4]).unwrap_err(), BadBody::Incomplete);
    assert_eq!(decode(Body::until_close(), b"hell", &[3]).unwrap().0, b"hell");
}

proptest! {
    #[test]
    fn chunks_mean_the_same_however_they_are_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
        pieces in prop::collection::vec(1usize..20, 1..10),
        trailer in any::<bool>(),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:X};x=y\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n");
        let lines: &[u8] = if trailer { b"A: b\r\nC: d\r\n" } else { b"" };
        wire.extend_from_slice(lines);
        wire.extend_from_slice(b"\r\nnext");
        let (data, trailers, rest) = decode(Body::chunked(), &wire, &pieces).unwrap();
        prop_assert_eq!(data, chunks.concat());
        prop_assert_eq!(&trailers[..], lines);
        prop_assert_eq!(&rest[..], &b"next"[..]);
    }

    #[test]
    fn a_head_means_the_same_however_it_is_cut(
        names in prop::collection::vec("[A-Za-z][A-Za-z0-9-]{0,12}", 0..10),
        values in prop::collection::vec("[ -~]{0,30}", 10),
        cut in 1usize..64,
    ) {
        let mut head = String::from("POST /x?y HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in names.iter().zip(&values) {
            head.push_str(&format!("X{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let at_once = whole(&head);
        let mut request = RequestHead::default();
        let mut searched = 0;
        let mut end = 0;
        loop {
            end = (end + cut).min(head.len());
            if request.parse(&head.as_bytes()[..end], searched, LIMITS).unwrap() {
                break;
            }
            searched = end;
        }
        prop_assert_eq!(end, head.len());
        prop_assert_eq!(&request.fields, &at_once.fields);
        prop_assert_eq!(request.fields.len(), names.len() + 1);
        for (field, (name, value)) in request.fields[1..].iter().zip(names.iter().zip(&values)) {
            let name = format!("X{name}");
            prop_assert_eq!(field.name.of_head(head.as_bytes()), name.as_bytes());
            prop_assert_eq!(field.value.of_head(head.as_bytes()), value.trim_matches(' ').as_bytes());
        }
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), from in 0usize..300) {
        let mut request = RequestHead::default();
        let _ = request.parse(&bytes, from.min(bytes.len()), LIMITS);
        let mut response = ResponseHead::default();
        let _ = response.parse(&bytes, 0, Method::Get, LIMITS);
        if let Ok(target) = TargetForm::parse(&bytes, true) {
            let normal = normalized_path(target.path).into_owned();
            prop_assert_eq!(&*normalized_path(&normal), &normal[..], "normalising twice changes nothing");
        }
        let _ = FieldKind::of(&bytes);
        let mut copy = bytes.clone();
        let _ = Body::chunked().decode(&mut copy, from.min(bytes.len()));
        let _ = normalized_path(&bytes);
    }
}
