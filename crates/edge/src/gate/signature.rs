//! Signed requests: what a head shows of a signature, and the head without it.

use crate::protocol::{FieldKind, RequestHead};
use admission::signed::{Asked, retain_other_cookies, retain_others};
use admission::{Signed, Unsigned};
use std::net::IpAddr;
use std::time::SystemTime;

/// What a head asks for, in the form that routes are looked up by.
pub(crate) struct Shown<'a> {
    pub(crate) request: &'a RequestHead,
    pub(crate) head: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) client: IpAddr,
}

impl Shown<'_> {
    /// Whether it shows a signature that is good now.
    pub(crate) fn judge(&self, signed: &Signed, now: SystemTime) -> Result<(), Unsigned> {
        let Self { request, head, host, path, client } = *self;
        let asked = Asked { host, path, query: request.query.of_head(head), client };
        let cookies = request.fields.iter().filter(|field| field.kind == FieldKind::Cookie);
        signed.judge(&asked, cookies.map(|field| field.value.of_head(head)), now)
    }
}

/// Takes signatures out of a head: they are for this door, and neither for what is behind it nor for the key of a cache or
/// a log.
pub(crate) fn strip(signed: &Signed, request: &mut RequestHead, head: &mut [u8]) {
    let query = &mut head[request.query.start as usize..request.query.end as usize];
    // What is left is no longer than what was there.
    request.query.end = request.query.start + retain_others(query) as u32;
    for field in request.fields.iter_mut().filter(|field| field.kind == FieldKind::Cookie) {
        let value = &mut head[field.value.start as usize..field.value.end as usize];
        let length = retain_other_cookies(value, signed.cookie().as_bytes());
        // The line stays as long: blanks at its end are no part of the value (RFC 9110 §5.5).
        value[length..].fill(b' ');
        field.value.end = field.value.start + length as u32;
        if length == 0 {
            // An empty line of cookies is none (RFC 6265 §4.2.1).
            field.kind = FieldKind::HopByHop;
            field.name.end = field.name.start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{RequestLimits, copy_kept_lines};

    fn signed() -> Signed {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "0123456789abcdef".repeat(2)).unwrap();
        Signed::load(&toml::from_str("keys = { k1 = { file = 'key' } }").unwrap(), dir.path()).unwrap()
    }

    /// The query and the lines that are passed on.
    fn stripped(head: &str) -> (String, String) {
        let mut head = head.replace('\n', "\r\n").into_bytes();
        let mut request = RequestHead::default();
        let limits = RequestLimits { head_bytes_max: 4096, fields_max: 100 };
        assert_eq!(request.parse(&head, 0, limits), Ok(true));
        strip(&signed(), &mut request, &mut head);
        let mut out = Vec::new();
        copy_kept_lines(&head, &request.fields, request.len - 2, &mut out, |field| {
            field.kind != FieldKind::HopByHop
        });
        let query = request.query.of_head(&head).to_vec();
        (String::from_utf8(query).unwrap(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn nothing_of_a_signature_goes_on() {
        let head = "GET /a?x=1&nines-key=k1&nines-signature=2&y HTTP/1.1\nHost: a\nCookie: s=1; nines-signed=x; t=2\nA: b\n\n";
        let (query, lines) = stripped(head);
        assert_eq!(query, "?x=1&y");
        assert_eq!(lines.replace(' ', ""), "Host:a\r\nCookie:s=1;t=2\r\nA:b\r\n");
        let (query, lines) =
            stripped("GET /?nines-key=k1 HTTP/1.1\nHost: a\nCookie: nines-signed=x\nA: b\n\n");
        assert_eq!((query.as_str(), lines.as_str()), ("", "Host: a\r\nA: b\r\n"));
    }

    #[test]
    fn a_head_without_a_signature_stays_as_it_is() {
        let (query, lines) = stripped("GET /a?b HTTP/1.1\nHost: a\nCookie: s=1;t=2\nCookie: u=3\n\n");
        assert_eq!(query, "?b");
        assert_eq!(lines, "Host: a\r\nCookie: s=1;t=2\r\nCookie: u=3\r\n");
    }
}
