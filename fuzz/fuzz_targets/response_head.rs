//! A response head is accepted only if its length can be read in one way.
#![no_main]

use edge::protocol::{FieldKind, Method, RequestLimits, ResponseHead};
use libfuzzer_sys::fuzz_target;

const LIMITS: RequestLimits = RequestLimits { head_bytes_max: 2048, fields_max: 256 };

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let method = if choice % 2 == 0 { Method::Get } else { Method::Head };
    let mut response = ResponseHead::default();
    if response.parse(bytes, 0, method, LIMITS) != Ok(true) {
        return;
    }
    let head = &bytes[..response.len];
    assert!(head.ends_with(b"\r\n\r\n") && (100..=999).contains(&response.status));
    let lengths: Vec<&[u8]> = (response.fields.iter())
        .filter(|field| field.kind == FieldKind::ContentLength)
        .map(|field| field.value.of_head(head))
        .collect();
    let is_chunked = response.fields.iter().any(|field| field.kind == FieldKind::TransferEncoding);
    assert!(!(is_chunked && !lengths.is_empty()), "two framings");
    if method == Method::Head || response.status < 200 || matches!(response.status, 204 | 304) {
        assert!(response.body.is_finished());
    } else if let Some(length) = lengths.first() {
        let length: u64 = std::str::from_utf8(length).unwrap().parse().unwrap();
        assert_eq!(response.body.bytes_left(), Some(length));
    } else {
        assert!(
            response.body.is_chunked() == is_chunked && response.body.ends_with_connection() != is_chunked
        );
    }
});
