//! Asking the origin whether a stored response holds still (RFC 9111 §4.3).

use super::asked::{Asked, Method};
use super::came::{Came, DateField};
use super::condition::Tag;
use super::date;
use super::kept;
use super::lines::{Lines, write_line};
use super::partial::is_date_strong;
use super::policy::Policy;
use super::stored::Stored;
use super::storing::{NotStored, Part, Times, decide};
use super::vary::RequestLines;
use std::time::SystemTime;

/// Tags that one request asks about.
pub const TAGS_ASKED_MAX: usize = 8;

/// What tells one version of a stored response from another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Validators<'a> {
    pub(crate) etag: Option<&'a [u8]>,
    pub(crate) last_modified: DateField,
    /// As it stands.
    pub(crate) last_modified_text: Option<&'a [u8]>,
    pub(crate) date: DateField,
}

impl<'a> Validators<'a> {
    pub(crate) fn of(stored: &'a Stored) -> Self {
        let mut validators = Self::default();
        let read = |value, now: SystemTime| date::parse(value, now).map_or(DateField::Invalid, DateField::At);
        for (name, value) in Lines::of(&stored.lines) {
            match name.len() {
                4 if name.eq_ignore_ascii_case(b"etag") => validators.etag = validators.etag.or(Some(value)),
                4 if name.eq_ignore_ascii_case(b"date") => validators.date = read(value, stored.received),
                13 if name.eq_ignore_ascii_case(b"last-modified") => {
                    validators.last_modified = read(value, stored.received);
                    validators.last_modified_text = Some(value);
                }
                _ => {}
            }
        }
        validators
    }

    pub(crate) fn is_date_strong(&self) -> bool {
        is_date_strong(self.last_modified, self.date)
    }
}

/// What a fetch asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AskedAbout {
    /// Tags in `If-None-Match`.
    pub tags: usize,
    /// There is an `If-Modified-Since`.
    pub date: bool,
}

impl AskedAbout {
    /// Whether the fetch has a condition.
    pub fn is_conditional(self) -> bool {
        self.tags > 0 || self.date
    }
}

/// Writes the conditions of a fetch that would confirm one of these responses (§4.3.1): the tags of all of them, and the date of change
/// of the first, which is the one that would be served. Where none of the request's variants is stored, the others are asked about,
/// and the origin may say that one of them answers it as well.
pub fn write_conditions<'s>(stored: impl IntoIterator<Item = &'s Stored>, out: &mut Vec<u8>) -> AskedAbout {
    let mut about = AskedAbout::default();
    let mut date = None;
    for (at, one) in stored.into_iter().enumerate() {
        let validators = Validators::of(one);
        if at == 0 && validators.last_modified.at().is_some() {
            date = validators.last_modified_text;
        }
        if let Some(etag) = validators.etag.filter(|_| about.tags < TAGS_ASKED_MAX) {
            out.extend_from_slice(if about.tags == 0 { b"If-None-Match: " } else { b", " });
            out.extend_from_slice(etag);
            about.tags += 1;
        }
    }
    if about.tags > 0 {
        out.extend_from_slice(b"\r\n");
    }
    // A date beside the tags of several would speak for one of them alone.
    if let Some(date) = date.filter(|_| about.tags <= 1) {
        write_line(out, b"If-Modified-Since", date);
        about.date = true;
    }
    about
}

/// Which of the responses that were asked about a 304 confirms (§4.3.4): the one with its tag, or its date of change. A 304 that tells
/// nothing, or names another tag than the only one it was asked about, is about that one: it answers the condition.
///
/// `None`: nobody knows; the origin is asked again without conditions.
pub fn confirmed<'s>(stored: impl IntoIterator<Item = &'s Stored>, came: &Came<'_>) -> Option<&'s Stored> {
    let mut asked = stored.into_iter();
    let first = asked.next()?;
    let Some(second) = asked.next() else { return Some(first) };
    let mut all = [first, second].into_iter().chain(asked);
    match (came.etag, came.last_modified) {
        (Some(etag), _) => {
            let is_named = |one: &&Stored| {
                Validators::of(one).etag.is_some_and(|own| Tag::of(own).is_weakly(Tag::of(etag)))
            };
            all.find(is_named)
        }
        (None, DateField::At(_)) => all.find(|one| Validators::of(one).last_modified == came.last_modified),
        _ => None,
    }
}

/// The stored response as a 304 leaves it (§3.2, §4.3.4): with the fields that came, and fresh anew. The body is the one it had.
///
/// `Err`: it is not to be stored any longer; it answers this one request and is dropped.
pub fn freshened<'a, 'b>(
    stored: &Stored,
    asked: &Asked<'_>,
    request: &impl RequestLines<'a>,
    came: &Came<'b>,
    response: impl RequestLines<'b>,
    policy: &Policy,
    times: Times,
) -> Result<Stored, NotStored> {
    let merged = kept::merged(stored, response);
    let mut updated = Came::of(stored.status, Lines::of(&merged), times.received);
    updated.age = came.age;
    updated.connection.extend_from_slice(&came.connection);
    let part = Part { length: stored.length, range: stored.range };
    decide(asked, request, &updated, Lines::of(&merged), policy, times, part)
}

/// The lines that answer this one request where [`freshened`] says that the response is no longer stored: those of the stored
/// response with the fields that came.
pub fn merged_lines<'b>(
    stored: &Stored,
    came: &Came<'b>,
    response: impl RequestLines<'b>,
    policy: &Policy,
) -> Vec<u8> {
    let merged = kept::merged(stored, response);
    let mut updated = Came::of(stored.status, Lines::of(&merged), stored.received);
    updated.connection.extend_from_slice(&came.connection);
    kept::Kept::of(&updated, Lines::of(&merged), policy).lines
}

/// What a HEAD response says of the stored response that a GET would get (§4.3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadSays {
    /// It is the same, and becomes this. Boxed, since it is rare.
    Same(Box<Stored>),
    /// It is another one by now: what is stored is stale.
    Changed,
    /// Nothing.
    Nothing,
}

/// Holds the response to a HEAD against the stored one.
pub fn head_says<'a, 'b>(
    stored: &Stored,
    asked: &Asked<'_>,
    request: &impl RequestLines<'a>,
    came: &Came<'b>,
    response: impl RequestLines<'b>,
    policy: &Policy,
    times: Times,
) -> HeadSays {
    if asked.method != Method::Head || came.status != stored.status {
        return HeadSays::Nothing;
    }
    let validators = Validators::of(stored);
    let differ = |was: Option<&[u8]>, is: Option<&[u8]>| is.is_some_and(|is| was != Some(is));
    let is_changed = differ(validators.etag, came.etag)
        || (came.last_modified != DateField::Absent && came.last_modified != validators.last_modified)
        || came.length.is_some_and(|length| stored.length.is_some_and(|was| was != length));
    if is_changed {
        return HeadSays::Changed;
    }
    // What nothing tells from another version, or the second alone, may be another one: its fields are not those of this body.
    let is_date_known = validators.is_date_strong() && is_date_strong(came.last_modified, came.date);
    let is_known = came.etag.is_some() || is_date_known;
    match freshened(stored, asked, request, came, response, policy, times) {
        // Another client's request is as good as before.
        Err(reason) if reason.is_of_request() => HeadSays::Nothing,
        Err(_) => HeadSays::Changed,
        Ok(stored) if is_known => HeadSays::Same(Box::new(stored)),
        Ok(_) => HeadSays::Nothing,
    }
}
