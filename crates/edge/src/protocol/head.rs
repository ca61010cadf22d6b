//! What request and response heads share: places, versions, what can be wrong, `Connection`.

use super::field::{Field, FieldKind};
use thiserror::Error;

/// A place in the buffer that holds a head, in bytes from the head's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The place of `part` within `whole`; `part` must be a slice of it.
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(start + part.len() <= whole.len(), "a span is taken of a slice of the head");
        Self { start: start as u32, end: (start + part.len()) as u32 }
    }

    /// The bytes at this place.
    pub fn of_head(self, head: &[u8]) -> &[u8] {
        &head[self.start as usize..self.end as usize]
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether nothing is there.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The versions spoken here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, and a connection ends with its response unless told otherwise.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2, whose messages come in frames and are read as lines.
    Http2,
    /// HTTP/3, likewise.
    Http3,
}

impl Version {
    /// Whether messages come in frames, which tell their ends by themselves.
    pub fn is_framed(self) -> bool {
        self >= Self::Http2
    }

    /// Its number, as `Via` writes it.
    pub fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        }
    }
}

/// Why a head is refused. The text is for the log and the answer; it never repeats what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadHead {
    /// RFC 9112 §3.
    #[error("malformed request line")]
    RequestLine,
    /// RFC 9112 §4.
    #[error("malformed status line")]
    StatusLine,
    /// RFC 9112 §2.3: a major version other than 1.
    #[error("unsupported HTTP version")]
    Version,
    /// RFC 9110 §5.1: a field name is a token directly before its colon; RFC 9112 §5.2: no obs-fold.
    #[error("malformed header name")]
    FieldName,
    /// RFC 9110 §5.5.
    #[error("malformed header value")]
    FieldValue,
    /// RFC 9112 §2.2: lines end with CRLF, and neither byte stands elsewhere.
    #[error("bare line feed or carriage return")]
    BareLineBreak,
    /// The head exceeds `limit.head`.
    #[error("header section too large")]
    TooLarge,
    /// The request line alone exceeds `limit.head`.
    #[error("request target too long")]
    TargetTooLong,
    /// The head exceeds `limit.headers`.
    #[error("too many headers")]
    TooManyFields,
    /// RFC 9112 §3.2.
    #[error("missing Host")]
    HostMissing,
    /// RFC 9112 §3.2.
    #[error("repeated Host")]
    HostRepeated,
    /// RFC 9110 §7.2.
    #[error("invalid Host")]
    HostInvalid,
    /// RFC 9112 §3.2.2, and no way to know which one is meant.
    #[error("Host contradicts the request target")]
    HostContradicts,
    /// RFC 3986 §2: no fragment, no raw non-ASCII, no controls.
    #[error("invalid character in the request target")]
    TargetCharacter,
    /// RFC 9112 §3.2: a form that fits neither the method nor any scheme of ours.
    #[error("invalid request target")]
    TargetForm,
    /// RFC 9112 §6.3, item 5.
    #[error("malformed Content-Length")]
    ContentLength,
    /// RFC 9112 §6.3: even equal ones are refused.
    #[error("repeated Content-Length")]
    ContentLengthRepeated,
    /// RFC 9112 §6.1: the pair is a smuggling attempt or a bug.
    #[error("Content-Length together with Transfer-Encoding")]
    LengthAndEncoding,
    /// RFC 9112 §6.1: anything but one `chunked`, or any of it in HTTP/1.0.
    #[error("unsupported Transfer-Encoding")]
    TransferEncoding,
    /// RFC 9110 §10.1.1: an expectation other than 100-continue.
    #[error("unknown expectation")]
    Expectation,
}

/// What the `Connection` fields of a head say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close`.
    pub close: bool,
    /// `keep-alive`, which only HTTP/1.0 needs.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// It names other fields, which are then hop-by-hop as well (RFC 9110 §7.6.1).
    pub nominates: bool,
}

impl Connection {
    /// Adds one `Connection` field's value.
    pub(crate) fn read(&mut self, value: &[u8]) {
        for token in list(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.nominates = true;
            }
        }
    }

    /// Whether the connection outlives the message (RFC 9112 §9.3).
    pub fn persists(self, version: Version) -> bool {
        !self.close && (version >= Version::Http11 || self.keep_alive)
    }
}

/// The members of a comma-separated list, without blanks and empty members (RFC 9110 §5.6.1).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether a `Connection` field of the head names this field, which makes it hop-by-hop.
pub(crate) fn is_nominated(head: &[u8], fields: &[Field], name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| field.kind == FieldKind::Connection)
        .any(|field| list(field.value.of_head(head)).any(|token| token.eq_ignore_ascii_case(name)))
}

/// Where the head in `bytes` ends, one past its empty line; the search goes on from `searched`.
///
/// RFC 9112 §2.2: a recipient may take a bare LF for a line end; we refuse it, since peers differ in what they
/// make of it. A bare CR is refused by httparse, in the first line and in fields alike.
pub(crate) fn end_of_head(bytes: &[u8], searched: usize) -> Result<Option<usize>, BadHead> {
    for at in memchr::memchr_iter(b'\n', &bytes[searched..]).map(|at| searched + at) {
        match &bytes[..at] {
            [.., b'\r', b'\n', b'\r'] => return Ok(Some(at + 1)),
            [.., b'\r'] => {}
            _ => return Err(BadHead::BareLineBreak),
        }
    }
    Ok(None)
}

/// RFC 9110 §8.6: digits only, no sign, no list, no overflow.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, BadHead> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadHead::ContentLength);
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}
