//! A request head means the same however it is cut, and what is accepted can be read in one way only.
#![no_main]

use edge::protocol::{FieldKind, RequestHead, RequestLimits, Version, is_valid_host, normalized_path};
use libfuzzer_sys::fuzz_target;

const LIMITS: RequestLimits = RequestLimits { head_bytes_max: 2048, fields_max: 40 };

fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    let mut whole = RequestHead::default();
    let at_once = whole.parse(bytes, 0, LIMITS);
    check_pieces(bytes, usize::from(cut).max(1), &whole, at_once);
    if at_once == Ok(true) {
        check_accepted(bytes, &whole);
    }
});

/// Parsing as bytes arrive ends the same way, save that a head may be refused before its end is seen.
fn check_pieces(
    bytes: &[u8],
    cut: usize,
    whole: &RequestHead,
    at_once: Result<bool, edge::protocol::BadHead>,
) {
    let mut pieces = RequestHead::default();
    let (mut searched, mut end) = (0, 0);
    while end < bytes.len() {
        end = (end + cut).min(bytes.len());
        match pieces.parse(&bytes[..end], searched, LIMITS) {
            Ok(true) => {
                assert_eq!(at_once, Ok(true));
                assert_eq!((pieces.len, &pieces.fields), (whole.len, &whole.fields));
                return;
            }
            Ok(false) => searched = end,
            Err(_) => {
                assert!(at_once.is_err(), "refused in pieces, accepted whole");
                return;
            }
        }
    }
    assert_ne!(at_once, Ok(true), "accepted whole, incomplete in pieces");
}

fn check_accepted(bytes: &[u8], request: &RequestHead) {
    let head = &bytes[..request.len];
    assert!(head.ends_with(b"\r\n\r\n"));
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(head[at - 1], b'\r', "a bare LF"),
            b'\r' => assert_eq!(head[at + 1], b'\n', "a bare CR"),
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => panic!("a control byte was accepted"),
        }
    }
    let count = |kind| request.fields.iter().filter(|field| field.kind == kind).count();
    assert!(count(FieldKind::ContentLength) + count(FieldKind::TransferEncoding) <= 1);
    assert!(count(FieldKind::Host) <= 1);
    assert!(request.version == Version::Http10 || count(FieldKind::Host) == 1);
    if let Some(host) = request.host {
        assert!(is_valid_host(host.of_head(head)));
    }
    for part in [request.path, request.query] {
        assert!(part.of_head(head).iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
    }
    let path = normalized_path(request.path.of_head(head)).into_owned();
    assert_eq!(&*normalized_path(&path), &path[..]);
    for field in &request.fields {
        let name = field.name.of_head(head);
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        assert_eq!(head[field.name.end as usize], b':', "something stands before the colon");
    }
}
