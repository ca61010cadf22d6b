//! Conditions of a request against a stored response (RFC 9110 §13, RFC 9111 §4.3.2).

use super::asked::Asked;
use super::date;
use super::lines::{Lines, members, trim, write_line};
use super::stored::Stored;
use super::validation::Validators;

/// An entity-tag (RFC 9110 §8.8.3).
///
/// What is not written as one is taken for its opaque part as it stands: a client that gives back what it got means that version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Self {
        let text = trim(text);
        let (is_weak, opaque) = match text {
            [b'W' | b'w', b'/', opaque @ ..] => (true, opaque),
            _ => (false, text),
        };
        let inner = match opaque {
            [b'"', inner @ .., b'"'] => inner,
            _ => opaque,
        };
        Self { is_weak, opaque: inner }
    }

    pub(crate) fn is_strong(self) -> bool {
        !self.is_weak
    }

    /// Strong comparison (§8.8.3.2).
    pub(crate) fn is_strongly(self, other: Self) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// Weak comparison.
    pub(crate) fn is_weakly(self, other: Self) -> bool {
        self.opaque == other.opaque
    }
}

/// Whether a request has this version already: by `If-None-Match`, or without one by `If-Modified-Since`.
pub(crate) fn is_not_modified(stored: &Stored, asked: &Asked<'_>) -> bool {
    let fields = &asked.fields;
    if let Some(tags) = fields.if_none_match.as_deref() {
        let etag = Validators::of(stored).etag;
        return trim(tags) == b"*"
            || etag.is_some_and(|etag| {
                // A tag may have commas, within its quotes.
                members(tags).any(|listed| Tag::of(listed).is_weakly(Tag::of(etag)))
            });
    }
    let Some(since) =
        fields.if_modified_since.as_deref().and_then(|value| date::parse(value, stored.received))
    else {
        return false;
    };
    // RFC 9111 §4.3.2: without `Last-Modified` it is as new as its `Date`, or as its arrival.
    let validators = Validators::of(stored);
    let modified = validators.last_modified.at().or(validators.date.at()).unwrap_or(stored.received);
    date::seconds(modified) <= date::seconds(since)
}

/// Writes the lines of a 304 (RFC 9110 §15.4.5): those that tell caches of the client something, and nothing of the body. Without a
/// tag the date of change is what tells versions apart.
pub fn write_not_modified(stored: &Stored, out: &mut Vec<u8>) {
    let has_etag = Validators::of(stored).etag.is_some();
    for (name, value) in Lines::of(&stored.lines) {
        if !is_of_representation(name) || (!has_etag && name.eq_ignore_ascii_case(b"last-modified")) {
            write_line(out, name, value);
        }
    }
}

/// What a 304 leaves out: representation metadata but for what §15.4.5 names.
fn is_of_representation(name: &[u8]) -> bool {
    const FIELDS: [&str; 7] = [
        "content-type",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-range",
        "last-modified",
        "accept-ranges",
    ];
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_strongly_and_weakly() {
        let (strong, weak) = (Tag::of(b"\"a\""), Tag::of(b" W/\"a\""));
        assert!(strong.is_strongly(strong) && strong.is_weakly(weak) && weak.is_weakly(weak));
        assert!(!strong.is_strongly(weak) && !weak.is_strongly(weak) && !strong.is_weakly(Tag::of(b"\"b\"")));
        assert!(Tag::of(b"a").is_weakly(strong) && Tag::of(b"w/\"a\"").is_weakly(strong));
        assert!(!Tag::of(b"W\"a\"").is_weakly(strong) && !Tag::of(b"W\\\"a\"").is_weakly(strong));
        assert!(Tag::of(b"W\\\"a\"").is_weakly(Tag::of(b"W\\\"a\"")));
    }
}
