//! Several ranges of a response that is kept whole, in one answer (RFC 9110 §14.6).

use super::head::value_of;
use super::send::Content;
use bytes::Bytes;
use cdn::rules::{Lines, Stored};
use cdn::store::Body;
use files::Part;
use files::multipart::{Boundaries, parts};
use std::ops::Range;

/// What is sent of several ranges.
pub(super) struct Several {
    /// The response's own lines without its media type, which stands in each part.
    pub(super) lines: Vec<u8>,
    boundary: String,
    parts: Vec<Part>,
}

impl Several {
    /// Of what is still arriving, bytes that come late would hold up those that are asked for after them; and whether a coding is of
    /// the parts or of what is around them, nobody says; and a core does not wait for parts from a disk. Then all of it is sent.
    pub(super) fn is_possible(stored: &Stored, content: &Content) -> bool {
        let is_whole = stored.range.is_none() && matches!(content, Content::Kept(body) if !body.is_in_file());
        is_whole && value_of(&stored.lines, b"content-encoding").is_none()
    }

    pub(super) fn of(stored: &Stored, ranges: &[Range<u64>]) -> Self {
        let etag = value_of(&stored.lines, b"etag").map(String::from_utf8_lossy);
        let boundary = Boundaries::new().of(etag.as_deref().unwrap_or_default());
        let content_type = value_of(&stored.lines, b"content-type").map(String::from_utf8_lossy);
        let size = stored.length.unwrap_or_default();
        let parts = parts(ranges, size, content_type.as_deref(), &boundary);
        let mut lines = Vec::with_capacity(stored.lines.len());
        for (name, value) in Lines::of(&stored.lines).filter(|(name, _)| !is_media_type(name)) {
            lines.extend_from_slice(name);
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        }
        Self { lines, boundary, parts }
    }

    /// The line that says how the parts are told apart.
    pub(super) fn content_type(&self) -> String {
        format!("Content-Type: multipart/byteranges; boundary={}\r\n", self.boundary)
    }

    /// Bytes of all parts with what stands between them.
    pub(super) fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.head.len() as u64 + part.len).sum()
    }

    /// The same, as it is sent.
    pub(super) fn pieces(&self, body: &Body) -> std::vec::IntoIter<Bytes> {
        let of_part = |part: &Part| {
            let head = std::iter::once(Bytes::copy_from_slice(&part.head));
            head.chain(body.pieces(part.offset..part.offset + part.len))
        };
        self.parts.iter().flat_map(of_part).collect::<Vec<_>>().into_iter()
    }
}

fn is_media_type(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-type")
}
