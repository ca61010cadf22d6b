//! Which bytes the origin is asked for where a client wants some of a response (RFC 9110 §14, RFC 9111 §3.3 and §3.4).
//!
//! A client that wants the end of something large does not wait for its beginning: the origin is asked for what it wants, in blocks, and
//! for no more than what is not here already.

use super::asked::Asked;
use super::came::Came;
use super::lines::write_line;
use super::partial::{ContentRange, combined, is_one_version, strong_validator};
use super::stored::Stored;
use crate::store::CHUNK_BYTES;
use files::range::{Spec, only};
use std::ops::Range;

/// Ranges are fetched in whole blocks of this length: who asks for what lies near finds it there, and as chunks of bodies
/// are as long, parts are joined without a copy.
pub const BLOCK_BYTES: u64 = CHUNK_BYTES as u64;

/// Some of a response whose length need not be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// From a byte up to another, which is not in it; `None`: to the end.
    From {
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: Option<u64>,
    },
    /// So many bytes at the end.
    Last(u64),
}

impl Span {
    /// What a request asks for, if that is one range and not all there is.
    pub fn of(asked: &Asked<'_>) -> Option<Self> {
        match only(asked.range()?)? {
            Spec::From { first: 0, last: u64::MAX } | Spec::Last { length: 0 } => None,
            Spec::From { first, last } => {
                Some(Self::From { start: first, end: last.checked_add(1).filter(|end| *end < u64::MAX) })
            }
            Spec::Last { length } => Some(Self::Last(length)),
        }
    }

    /// In whole blocks; `None` where that is all there is.
    pub fn rounded(self) -> Option<Self> {
        let Self::From { start, end } = self else { return Some(self) };
        let start = start - start % BLOCK_BYTES;
        let end = end.map(|end| end.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(end));
        (start > 0 || end.is_some()).then_some(Self::From { start, end })
    }

    /// The first byte, where that is known.
    pub fn start(self) -> Option<u64> {
        if let Self::From { start, .. } = self { Some(start) } else { None }
    }

    /// The bytes of a whole of this length that are meant; none where it begins after its end.
    fn within(self, length: u64) -> Range<u64> {
        match self {
            Self::From { start, end } => start..end.map_or(length, |end| end.min(length)),
            Self::Last(count) => length.saturating_sub(count)..length,
        }
    }

    /// Writes the line that asks for it.
    fn write(self, out: &mut Vec<u8>) {
        let range = match self {
            Self::From { start, end: None } => format!("bytes={start}-"),
            Self::From { start, end: Some(end) } => format!("bytes={start}-{}", end.saturating_sub(1)),
            Self::Last(count) => format!("bytes=-{count}"),
        };
        write_line(out, b"Range", range.as_bytes());
    }
}

/// What the origin is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// These bytes.
    pub span: Span,
    /// Between bytes that are here.
    pub hole: Option<Hole>,
}

/// Bytes that are missing between, before or after parts of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// What there is once they have come: with bytes of the parts around.
    pub filled: Range<u64>,
    /// What is fetched.
    pub missing: Range<u64>,
    /// Which of the parts has the bytes from the beginning of `filled` on.
    pub before: Option<usize>,
    /// Which has those to its end.
    pub after: Option<usize>,
}

impl Ask {
    /// Writes the lines that ask for it. Of a hole: for all of the response where it is another one by now.
    pub fn write(&self, parts: &[&Stored], out: &mut Vec<u8>) {
        self.span.write(out);
        let beside = self.hole.as_ref().and_then(|hole| hole.before.or(hole.after));
        if let Some(validator) = beside.and_then(|at| strong_validator(parts[at])) {
            write_line(out, b"If-Range", validator);
        }
    }

    /// What an answer is to it.
    pub fn fits(&self, parts: &[&Stored], came: &Came<'_>) -> Fits {
        match (came.status, &self.hole) {
            (206, hole) => match (self.length_of(came), hole) {
                (None, _) => Fits::Unfit,
                (Some(length), None) => Fits::Part(length),
                (Some(length), Some(hole)) => {
                    let beside = hole.before.or(hole.after).and_then(|at| combined(parts[at], came));
                    if beside.is_some() { Fits::Rest(length) } else { Fits::Unfit }
                }
            },
            // It begins beyond the end of what is there by now.
            (416, Some(_)) => Fits::Unfit,
            (200, _) => Fits::Whole,
            _ => Fits::Other,
        }
    }

    /// The length of a part, if it is what was asked for and says so twice. RFC 9110 §15.3.7 lets an origin send less, or more; who does
    /// so without need may as well be wrong about where its bytes belong.
    fn length_of(&self, came: &Came<'_>) -> Option<u64> {
        let part = came.content_range.and_then(ContentRange::parse)?;
        let length = part.end - part.start;
        let is_asked = self.span.within(part.whole) == (part.start..part.end);
        (is_asked && came.length.is_none_or(|said| said == length)).then_some(length)
    }
}

/// What an answer is to what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    /// The part, of so many bytes.
    Part(u64),
    /// So many bytes that were missing, of the version whose others are here.
    Rest(u64),
    /// All of the response.
    Whole,
    /// A part that is not what was asked for, or not of that version: none that anything could be made of.
    Unfit,
    /// Another answer, for itself.
    Other,
}

/// What to ask the origin for where `wanted` of a response is not here, but these parts of it are, the newest first. They match
/// the request, and no purge forbids to use them; they may be stale, since an origin that goes on with one confirms it.
///
/// `wanted`: `None` is all of it, and then so is a plan of `None`. Together, parts take no more than `bytes_max`.
pub fn plan(wanted: Option<Span>, parts: &[&Stored], bytes_max: u64) -> Option<Ask> {
    let newest = parts.iter().find_map(|part| part.length.map(|length| (*part, length)));
    let Some((newest, length)) = newest else {
        return wanted.and_then(Span::rounded).map(|span| Ask { span, hole: None });
    };
    let Some(wanted) = wanted else { return hole(newest, 0..length, parts, bytes_max) };
    let exact = wanted.within(length);
    if exact.is_empty() {
        // It was shorter, or it never will be there: the origin tells.
        return wanted.rounded().map(|span| Ask { span, hole: None });
    }
    let filled = exact.start - exact.start % BLOCK_BYTES
        ..exact.end.checked_next_multiple_of(BLOCK_BYTES).map_or(length, |end| end.min(length));
    let plain = || Some(Ask { span: span(&filled, length), hole: None }).filter(|_| filled != (0..length));
    hole(newest, filled.clone(), parts, bytes_max).or_else(plain)
}

/// What is missing of these bytes, where parts of the newest version have some of them.
fn hole(newest: &Stored, filled: Range<u64>, parts: &[&Stored], bytes_max: u64) -> Option<Ask> {
    if filled.end - filled.start > bytes_max {
        return None;
    }
    let of_version = || {
        let same = parts.iter().enumerate().filter(|(_, part)| is_one_version(newest, part));
        same.filter_map(|(at, part)| part.range.map(|range| (at, range)))
    };
    let has = |byte: u64| move |(_, (start, end)): &(usize, (u64, u64))| *start <= byte && byte < *end;
    let before = of_version().filter(has(filled.start)).max_by_key(|(_, (_, end))| *end);
    let after = of_version().filter(has(filled.end - 1)).min_by_key(|(_, (start, _))| *start);
    let start = before.map_or(filled.start, |(_, (_, end))| end);
    // What two parts that overlap have together is not in one of them: it is fetched from where the first ends.
    let after = after.filter(|(_, (after, _))| start < *after);
    let missing = start..after.map_or(filled.end, |(_, (start, _))| start);
    let (before, after) = (before.map(|(at, _)| at), after.map(|(at, _)| at));
    if missing.is_empty() || (before, after) == (None, None) {
        return None;
    }
    let span = span(&missing, newest.length?);
    Some(Ask { span, hole: Some(Hole { filled, missing, before, after }) })
}

fn span(range: &Range<u64>, length: u64) -> Span {
    Span::From { start: range.start, end: Some(range.end).filter(|end| *end < length) }
}
