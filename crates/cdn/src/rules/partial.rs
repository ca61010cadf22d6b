//! Ranges (RFC 9110 §14, RFC 9111 §3.3 and §3.4): what of a stored body is sent, and how parts become more.

use super::asked::Asked;
use super::came::{Came, DateField, decimal};
use super::condition::{self, Tag};
use super::lines::trim;
use super::stored::Stored;
use super::validation::Validators;
use files::range::{Ranges, ranges};
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// `Content-Range` of one part whose whole has a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
    /// The length of the whole.
    pub whole: u64,
}

impl ContentRange {
    /// Reads `bytes 0-4/10`. `None` for another unit, an unsatisfied range, a length that is not known, and what contradicts itself.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (unit, rest) = (&value[..space], trim(&value[space..]));
        let dash = rest.iter().position(|byte| *byte == b'-')?;
        let slash = rest.iter().position(|byte| *byte == b'/')?;
        let start = decimal(&rest[..dash])?;
        let end = decimal(rest.get(dash + 1..slash)?)?.checked_add(1)?;
        let whole = decimal(&rest[slash + 1..])?;
        (unit.eq_ignore_ascii_case(b"bytes") && start < end && end <= whole).then_some(Self {
            start,
            end,
            whole,
        })
    }

    /// Writes the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"Content-Range: bytes ");
        out.extend_from_slice(digits.format(self.start).as_bytes());
        out.push(b'-');
        out.extend_from_slice(digits.format(self.end - 1).as_bytes());
        out.push(b'/');
        out.extend_from_slice(digits.format(self.whole).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// What of a stored response answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// 304, with the lines of [`write_not_modified`](super::write_not_modified).
    NotModified,
    /// Its own status, and all that there is.
    Whole,
    /// 206 with these bytes of the whole, which are all there.
    One(Range<u64>),
    /// 206 with these, which are all there, in the order they are asked for. Whoever does not write multipart sends the whole.
    Many(Vec<Range<u64>>),
    /// 416, with the length of the whole.
    Unsatisfiable(u64),
    /// What is asked for is not stored: the origin is asked as [`plan`](super::plan()) says, or for what the client asks.
    NotHere,
}

/// Chooses what of a stored response answers a request, by its conditions and its range (RFC 9110 §13.2.2).
pub fn select(stored: &Stored, asked: &Asked<'_>) -> Selected {
    // RFC 9110 §13.2.1: conditions are of what would be a success; ranges of a whole (§14.2), or of parts of one.
    if !matches!(stored.status, 200 | 203 | 206) {
        return if stored.status < 300 && condition::is_not_modified(stored, asked) {
            Selected::NotModified
        } else {
            Selected::Whole
        };
    }
    if condition::is_not_modified(stored, asked) {
        return Selected::NotModified;
    }
    let wanted = asked.range().filter(|_| is_range_meant(stored, asked)).map(|field| (field, stored.length));
    match wanted {
        Some((field, Some(length))) => within(stored, ranges(field, length), length),
        _ if stored.range.is_some_and(|range| Some(range) != whole(stored)) => Selected::NotHere,
        _ => Selected::Whole,
    }
}

fn whole(stored: &Stored) -> Option<(u64, u64)> {
    stored.length.map(|length| (0, length))
}

fn within(stored: &Stored, wanted: Ranges, length: u64) -> Selected {
    let (first, end) = stored.range.unwrap_or((0, length));
    let is_here = |part: &Range<u64>| first <= part.start && part.end <= end;
    match wanted {
        Ranges::Unsatisfiable => Selected::Unsatisfiable(length),
        Ranges::Parts(parts) if !parts.iter().all(is_here) => Selected::NotHere,
        Ranges::Parts(mut parts) if parts.len() == 1 => Selected::One(parts.remove(0)),
        Ranges::Parts(parts) => Selected::Many(parts),
        Ranges::Whole if (first, end) == (0, length) => Selected::Whole,
        Ranges::Whole => Selected::NotHere,
    }
}

/// `If-Range` (RFC 9110 §13.1.5): by strong comparison of tags, or the very date, which must be a strong validator.
fn is_range_meant(stored: &Stored, asked: &Asked<'_>) -> bool {
    let Some(value) = asked.fields.if_range.as_deref().map(trim) else { return true };
    let validators = Validators::of(stored);
    if value.get(..3).unwrap_or(value).contains(&b'"') {
        return validators.etag.is_some_and(|etag| Tag::of(value).is_strongly(Tag::of(etag)));
    }
    validators.is_date_strong() && super::date::parse(value, stored.received) == validators.last_modified.at()
}

/// A tag that is strong, else a date that is.
pub(crate) fn strong_validator(stored: &Stored) -> Option<&[u8]> {
    let validators = Validators::of(stored);
    match validators.etag {
        Some(etag) => Some(etag).filter(|etag| Tag::of(etag).is_strong()),
        None if validators.is_date_strong() => validators.last_modified_text,
        None => None,
    }
}

/// Whether the part that came is of the response that is stored in part, and together they are one run of bytes (RFC 9111 §3.4): the
/// range that both have. The bytes are the same where they overlap.
pub fn combined(stored: &Stored, came: &Came<'_>) -> Option<Range<u64>> {
    let (first, end) = stored.range?;
    let part = came.content_range.and_then(ContentRange::parse).filter(|_| came.status == 206)?;
    let touch = part.start <= end && first <= part.end;
    let is_same_length = Some(part.whole) == stored.length;
    let says_its_length = came.length.is_none_or(|length| length == part.end - part.start);
    let is_whole = touch && is_same_length && says_its_length && is_same_strongly(stored, came);
    is_whole.then(|| first.min(part.start)..end.max(part.end))
}

/// Whether two responses that are stored are of one version, so that their bytes may stand in one body (RFC 9111 §3.4).
pub(crate) fn is_one_version(one: &Stored, other: &Stored) -> bool {
    let (Some(this), Some(that)) = (strong_validator(one), strong_validator(other)) else { return false };
    let kinds = (Validators::of(one).etag.is_some(), Validators::of(other).etag.is_some());
    one.length == other.length
        && match kinds {
            (true, true) => Tag::of(this).is_strongly(Tag::of(that)),
            (false, false) => Validators::of(one).last_modified == Validators::of(other).last_modified,
            _ => false,
        }
}

/// The range that two stored parts have together, if they are of one version and one run of bytes.
pub fn joined(one: &Stored, other: &Stored) -> Option<(u64, u64)> {
    let ((start, end), (other_start, other_end)) = (one.range?, other.range?);
    let touch = start <= other_end && other_start <= end;
    (touch && is_one_version(one, other)).then(|| (start.min(other_start), end.max(other_end)))
}

/// Whether a response that has come takes the place of one that is stored: it was asked for with the same fields, and has its bytes; or both
/// are parts, and of two versions, of which it is the newer.
pub(crate) fn replaces(new: &Stored, old: &Stored) -> bool {
    new.vary == old.vary
        && match (new.range, old.range) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((start, end)), Some((old_start, old_end))) => {
                (start <= old_start && old_end <= end) || is_other_version(new, old)
            }
        }
}

/// Whether it is known that two responses are not of one version.
pub(crate) fn is_other_version(one: &Stored, other: &Stored) -> bool {
    let (this, that) = (Validators::of(one), Validators::of(other));
    one.length != other.length
        || this.etag.zip(that.etag).is_some_and(|(this, that)| !Tag::of(this).is_weakly(Tag::of(that)))
        || (this.last_modified.at().zip(that.last_modified.at())).is_some_and(|(this, that)| this != that)
}

fn is_same_strongly(stored: &Stored, came: &Came<'_>) -> bool {
    let validators = Validators::of(stored);
    match (validators.etag, came.etag) {
        (Some(stored), Some(came)) => Tag::of(stored).is_strongly(Tag::of(came)),
        (None, None) => {
            validators.is_date_strong()
                && is_date_strong(came.last_modified, came.date)
                && validators.last_modified == came.last_modified
        }
        _ => false,
    }
}

/// RFC 9110 §8.8.2.2: a date tells versions apart if it is a second older than the response at least; a minute, as long as nobody knows
/// how far the clocks of the origin are apart.
pub(crate) fn is_date_strong(last_modified: DateField, date: DateField) -> bool {
    const APART: Duration = Duration::from_secs(60);
    let later = |at: SystemTime| last_modified.at().and_then(|modified| at.duration_since(modified).ok());
    date.at().and_then(later).is_some_and(|apart| apart >= APART)
}
