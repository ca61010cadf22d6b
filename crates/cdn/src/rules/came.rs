//! A response, as far as a cache cares.

use super::date;
use super::directive::{ResponseControl, SECONDS_MAX, delta_seconds};
use super::lines::members;
use super::targeted::{cdn_cache_control, surrogate_control};
use std::time::SystemTime;

/// A field's date, and whether it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateField {
    /// The field is not there.
    #[default]
    Absent,
    /// It is there, and no date.
    Invalid,
    /// Its date. Of several lines the first counts (RFC 9111 §4.2.1).
    At(SystemTime),
}

impl DateField {
    /// The date, if there is one.
    pub fn at(self) -> Option<SystemTime> {
        if let Self::At(at) = self { Some(at) } else { None }
    }

    fn note(&mut self, value: &[u8], now: SystemTime) {
        if *self == Self::Absent {
            *self = date::parse(value, now).map_or(Self::Invalid, Self::At);
        }
    }
}

/// Which of the fields that control caches counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// `CDN-Cache-Control` (RFC 9213 §3).
    Cdn,
    /// `Surrogate-Control`.
    Surrogate,
    /// `Cache-Control`, with `Expires`.
    #[default]
    CacheControl,
}

/// The facts of a response, taken from its lines in one pass.
#[derive(Debug, Clone, Default)]
pub struct Came<'a> {
    /// The final status.
    pub status: u16,
    /// What the field says that counts.
    pub control: ResponseControl<'a>,
    /// Which field that is.
    pub source: Source,
    /// `Expires`.
    pub expires: DateField,
    /// `Date`.
    pub date: DateField,
    /// `Last-Modified`.
    pub last_modified: DateField,
    /// `Age` in seconds; [`SECONDS_MAX`] if it cannot be known.
    pub age: u32,
    /// `ETag`, as it stands.
    pub etag: Option<&'a [u8]>,
    /// `Content-Length`, if it is one number.
    pub length: Option<u64>,
    /// `Content-Range`, as it stands.
    pub content_range: Option<&'a [u8]>,
    /// `Content-Location`, as it stands.
    pub content_location: Option<&'a [u8]>,
    /// `Location`, as it stands.
    pub location: Option<&'a [u8]>,
    /// It sets cookies.
    pub sets_cookie: bool,
    /// `Vary: *` (RFC 9111 §4.1).
    pub varies_by_all: bool,
    /// The fields that `Vary` names, as they stand.
    pub vary: Vec<&'a [u8]>,
    /// The fields that `Connection` names, as lists.
    pub(crate) connection: Vec<&'a [u8]>,
}

impl<'a> Came<'a> {
    /// From the header lines of a response, names and values. `now` is when they came.
    pub fn of(status: u16, lines: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, now: SystemTime) -> Self {
        let mut came = Self { status, ..Self::default() };
        let mut targeted = Targeted::default();
        let mut ages = Ages::default();
        for (name, value) in lines {
            match name.len() {
                3 if name.eq_ignore_ascii_case(b"age") => ages.note(value),
                4 => came.note_short(name, value, now),
                7 if name.eq_ignore_ascii_case(b"expires") => came.expires.note(value, now),
                8 if name.eq_ignore_ascii_case(b"location") => came.location = Some(value),
                10 if name.eq_ignore_ascii_case(b"connection") => came.connection.push(value),
                10 if name.eq_ignore_ascii_case(b"set-cookie") => came.sets_cookie = true,
                11 if name.eq_ignore_ascii_case(b"set-cookie2") => came.sets_cookie = true,
                13 if name.eq_ignore_ascii_case(b"cache-control") => came.control.note(value),
                13 if name.eq_ignore_ascii_case(b"last-modified") => came.last_modified.note(value, now),
                13 if name.eq_ignore_ascii_case(b"content-range") => came.content_range = Some(value),
                14 if name.eq_ignore_ascii_case(b"content-length") => came.length = decimal(value),
                16 if name.eq_ignore_ascii_case(b"content-location") => came.content_location = Some(value),
                17 => targeted.note(name, value),
                _ => {}
            }
        }
        came.age = ages.seconds();
        came.choose_control(&targeted);
        came
    }

    fn note_short(&mut self, name: &[u8], value: &'a [u8], now: SystemTime) {
        if name.eq_ignore_ascii_case(b"date") {
            self.date.note(value, now);
        } else if name.eq_ignore_ascii_case(b"etag") {
            self.etag = self.etag.or(Some(value));
        } else if name.eq_ignore_ascii_case(b"vary") {
            for member in members(value) {
                self.varies_by_all |= member == b"*";
                self.vary.push(member);
            }
        }
    }

    /// RFC 9213 §2.2: the first targeted field that is understood counts, and then `Cache-Control` and `Expires` do not. What
    /// `Cache-Control` says of fields that are not to be stored holds in any case.
    fn choose_control(&mut self, targeted: &Targeted<'a>) {
        let chosen = cdn_cache_control(&targeted.cdn)
            .map(|control| (control, Source::Cdn))
            .or_else(|| surrogate_control(&targeted.surrogate).map(|control| (control, Source::Surrogate)));
        if let Some((mut control, source)) = chosen {
            control.unstored.append(&mut self.control.unstored);
            self.control = control;
            self.source = source;
        }
    }

    /// Whether the origin itself says for how long it is fresh (RFC 9111 §4.2.1).
    pub fn is_explicit(&self) -> bool {
        self.control.lifetime().is_some()
            || (self.source == Source::CacheControl && self.expires != DateField::Absent)
    }
}

#[derive(Default)]
struct Targeted<'a> {
    cdn: Vec<&'a [u8]>,
    surrogate: Vec<&'a [u8]>,
}

impl<'a> Targeted<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        if name.eq_ignore_ascii_case(b"cdn-cache-control") {
            self.cdn.push(value);
        } else if name.eq_ignore_ascii_case(b"surrogate-control") {
            self.surrogate.push(value);
        }
    }
}

/// `Age`: a number, if it stands once. Of a list the first member counts (RFC 9111 §5.1). Where it stands on several lines, or a list
/// says a number twice, caches on the way have not added up what they know: then nobody knows the age, as with what is no number,
/// and what may be too old is too old (§4.2.1).
#[derive(Default)]
enum Ages {
    #[default]
    Absent,
    One(u32),
    Unknown,
}

impl Ages {
    fn note(&mut self, value: &[u8]) {
        let mut listed = members(value);
        let first = listed.next().unwrap_or_default();
        *self = match (&self, delta_seconds(first)) {
            (Self::Absent, Some(age)) if !listed.any(|member| member == first) => Self::One(age),
            _ => Self::Unknown,
        };
    }

    fn seconds(&self) -> u32 {
        match self {
            Self::Absent => 0,
            Self::One(age) => *age,
            Self::Unknown => SECONDS_MAX,
        }
    }
}

/// A number of bytes; `None` for what is none, or too great.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Lines;
    use std::time::{Duration, UNIX_EPOCH};

    fn came(lines: &str) -> Came<'_> {
        Came::of(200, Lines::of(lines.as_bytes()), UNIX_EPOCH + Duration::from_secs(1_790_000_000))
    }

    #[test]
    fn an_age_is_known_or_too_great() {
        for (lines, expected) in [
            ("", 0),
            ("Age: 30\r\n", 30),
            ("Age: abc\r\n", SECONDS_MAX),
            ("Age: -7200\r\n", SECONDS_MAX),
            ("Age: 7200.0\r\n", SECONDS_MAX),
            ("Age: 7200,0\r\n", 7200),
            ("Age: 0,7200\r\n", 0),
            ("Age: 7200\r\nAge: 0\r\n", SECONDS_MAX),
            ("Age: 0\r\nAge: 7200\r\n", SECONDS_MAX),
            ("Age: 0, 0\r\n", SECONDS_MAX),
            ("Age: 0\r\nAge: 0\r\n", SECONDS_MAX),
            ("Age: 3600, 3600\r\n", SECONDS_MAX),
            ("Age: 7200;foo=bar\r\n", SECONDS_MAX),
            ("Age: 7200;foo=111\r\n", SECONDS_MAX),
            ("Age:\r\n", SECONDS_MAX),
            ("Age: 99999999999\r\n", SECONDS_MAX),
        ] {
            assert_eq!(came(lines).age, expected, "{lines}");
        }
    }

    #[test]
    fn the_most_targeted_field_counts() {
        let lines = "Cache-Control: max-age=1, no-cache=\"a\"\r\nSurrogate-Control: max-age=2\r\nCDN-Cache-Control: max-age=3\r\n";
        let all = came(lines);
        assert_eq!((all.source, all.control.max_age), (Source::Cdn, Some(3)));
        assert_eq!(all.control.unstored, [b"a"]);
        let without = came(&lines[..lines.len() - 30]);
        assert_eq!((without.source, without.control.max_age), (Source::Surrogate, Some(2)));
        let broken =
            came("Cache-Control: max-age=1\r\nSurrogate-Control: foo\r\nCDN-Cache-Control: Max-Age=3\r\n");
        assert_eq!((broken.source, broken.control.max_age), (Source::CacheControl, Some(1)));
    }

    #[test]
    fn a_targeted_field_makes_the_others_not_count() {
        let came = came("Cache-Control: no-store\r\nExpires: 0\r\nCDN-Cache-Control: public\r\n");
        assert!(!came.control.no_store && !came.is_explicit());
    }

    #[test]
    fn vary_is_one_list_and_any_star_is_all() {
        for (lines, is_all) in [
            ("Vary: *\r\n", true),
            ("Vary: *, *\r\n", true),
            ("Vary: , *\r\n", true),
            ("Vary:\r\nVary: *\r\n", true),
            ("Vary: *, Foo\r\n", true),
            ("Vary: Foo, *\r\n", true),
            ("Vary: Foo\r\nVary: Bar\r\n", false),
        ] {
            assert_eq!(came(lines).varies_by_all, is_all, "{lines}");
        }
        assert_eq!(came("Vary: Foo, bar\r\nVary: Baz\r\n").vary, [&b"Foo"[..], b"bar", b"Baz"]);
    }

    #[test]
    fn of_several_dates_the_first_counts() {
        let one = came("Expires: Thu, 18 Aug 2050 02:01:18 GMT\r\nExpires: 0\r\n").expires;
        assert!(one.at().is_some());
        assert_eq!(
            came("Expires: 0\r\nExpires: Thu, 18 Aug 2050 02:01:18 GMT\r\n").expires,
            DateField::Invalid
        );
    }
}
