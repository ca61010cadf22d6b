//! Several ranges in one body: `multipart/byteranges` (RFC 9110 §14.6, RFC 2046 §5.1.1).

use crate::answer::Part;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Makes boundaries that nobody can guess, so that nobody can put one into a file.
pub struct Boundaries([RandomState; 2]);

impl Default for Boundaries {
    fn default() -> Self {
        Self::new()
    }
}

impl Boundaries {
    /// With secrets of its own.
    pub fn new() -> Self {
        Self([RandomState::new(), RandomState::new()])
    }

    /// The boundary for parts of the representation with this tag: 32 hexadecimal digits.
    pub fn of(&self, etag: &str) -> String {
        let [one, other] = &self.0;
        format!("{:016x}{:016x}", one.hash_one(etag), other.hash_one(etag))
    }
}

/// The parts for these ranges of a representation of `size` bytes, the end of the multipart being the last.
/// `boundary` must not stand in the representation: one that nobody can guess does not.
pub fn parts(ranges: &[Range<u64>], size: u64, content_type: Option<&str>, boundary: &str) -> Vec<Part> {
    let mut parts = Vec::with_capacity(ranges.len() + 1);
    for (index, range) in ranges.iter().enumerate() {
        let line_end = if index == 0 { "" } else { "\r\n" };
        let content_range = content_range(range, size);
        let content_type = content_type.map(|value| format!("Content-Type: {value}\r\n")).unwrap_or_default();
        let head = format!("{line_end}--{boundary}\r\n{content_type}Content-Range: {content_range}\r\n\r\n");
        parts.push(Part { head: head.into_bytes(), offset: range.start, len: range.end - range.start });
    }
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    parts.push(Part { head: end, offset: 0, len: 0 });
    parts
}

/// The value of `Content-Range` (RFC 9110 §14.4), for a range that is not empty.
pub(crate) fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_says_what_it_is_and_the_last_ends_them() {
        let parts = parts(&[0..2, 5..6], 10, Some("text/plain"), "B");
        let heads: Vec<&str> = parts.iter().map(|part| std::str::from_utf8(&part.head).unwrap()).collect();
        assert_eq!(
            heads,
            [
                "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n",
                "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/10\r\n\r\n",
                "\r\n--B--\r\n",
            ]
        );
        let places: Vec<(u64, u64)> = parts.iter().map(|part| (part.offset, part.len)).collect();
        assert_eq!(places, [(0, 2), (5, 1), (0, 0)]);
    }
}
