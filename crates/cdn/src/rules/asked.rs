//! A request, as far as a cache cares.

use super::cache_status::Forwarded;
use super::directive::RequestControl;
use super::policy::Policy;
use crate::key::Target;
use files::Fields;
use std::borrow::Cow;
use std::fmt;

/// Request methods, as far as a cache tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD.
    Head,
    /// POST: its response may answer a later GET (RFC 9110 §9.3.3).
    Post,
    /// OPTIONS and TRACE: safe, and never answered from the store.
    Safe,
    /// Any other. What is not known to be safe is unsafe (RFC 9111 §4.4).
    Unsafe,
}

impl Method {
    /// The method of this name; method names are case-sensitive.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"OPTIONS" | b"TRACE" => Self::Safe,
            _ => Self::Unsafe,
        }
    }

    /// Whether a stored response may answer it.
    pub fn is_answered(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    /// Whether it may have changed what it was sent to.
    pub fn is_unsafe(self) -> bool {
        matches!(self, Self::Post | Self::Unsafe)
    }
}

/// The facts of a request, taken from its lines in one pass.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// The method.
    pub method: Method,
    /// `Cache-Control`. `Pragma` is not heard (RFC 9111 §5.4 does away with it).
    pub control: RequestControl,
    /// There is an `Authorization`.
    pub is_authorized: bool,
    /// The conditions, and the range.
    pub fields: Fields<'a>,
    /// Where a POST goes, so that its response may answer a later GET.
    pub target: Option<Target<'a>>,
}

/// Why a request goes by the cache, to the origin and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// Its method is answered by the origin alone.
    Method,
    /// It wants nothing of it stored (RFC 9111 §5.2.1.5).
    NoStore,
    /// Its conditions are about the origin's state (`If-Match`, `If-Unmodified-Since`; RFC 9110 §13.1.1).
    Condition,
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the method is answered by the origin alone",
            Self::NoStore => "the request says `no-store`",
            Self::Condition => "the request has a condition on the origin's state",
        })
    }
}

impl From<Bypass> for Forwarded {
    fn from(bypass: Bypass) -> Self {
        match bypass {
            Bypass::Method => Self::Method,
            Bypass::NoStore => Self::Request,
            Bypass::Condition => Self::Bypass,
        }
    }
}

impl<'a> Asked<'a> {
    /// From the header lines of a request, names and values.
    pub fn of(method: Method, lines: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut asked = Self { method, ..Self::default() };
        for (name, value) in lines {
            match name.len() {
                13 if name.eq_ignore_ascii_case(b"cache-control") => asked.control.note(value),
                13 if name.eq_ignore_ascii_case(b"authorization") => asked.is_authorized = true,
                _ => asked.fields.note(name, value),
            }
        }
        asked
    }

    /// Whether it goes by the cache. Asked before anything is looked up.
    pub fn bypass(&self, policy: &Policy) -> Option<Bypass> {
        if !self.method.is_answered() {
            Some(Bypass::Method)
        } else if policy.is_client_heard && self.control.no_store && !self.control.only_if_cached {
            Some(Bypass::NoStore)
        } else if self.fields.if_match.is_some() || self.fields.if_unmodified_since.is_some() {
            Some(Bypass::Condition)
        } else {
            None
        }
    }

    /// The range that counts: of GET alone (RFC 9110 §14.2).
    pub(crate) fn range(&self) -> Option<&Cow<'a, [u8]>> {
        self.fields.range.as_ref().filter(|_| self.method == Method::Get)
    }
}

/// Whether a request's line is left out of what fetches a response to be stored: its answer must be the one that any client would
/// get. The conditions and ranges of the fetch are our own; an `Accept-Encoding` is written anew by
/// [`accept_encoding`](super::accept_encoding).
pub fn is_withheld(name: &[u8]) -> bool {
    const WITHHELD: [&str; 7] = [
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "range",
        "accept-encoding",
    ];
    WITHHELD.iter().any(|withheld| name.eq_ignore_ascii_case(withheld.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Lines;

    fn asked(method: &str, lines: &'static str) -> Asked<'static> {
        Asked::of(Method::of(method.as_bytes()), Lines::of(lines.as_bytes()))
    }

    #[test]
    fn facts_are_taken_in_one_pass() {
        let asked = asked(
            "GET",
            "cache-control: no-cache\r\nAUTHORIZATION: x\r\nCache-Control: max-age=5\r\nRange: bytes=0-1\r\nPragma: no-cache\r\n",
        );
        assert!(asked.control.no_cache && asked.is_authorized);
        assert_eq!(asked.control.max_age, Some(5));
        assert_eq!(asked.range().map(|range| &range[..]), Some(&b"bytes=0-1"[..]));
    }

    #[test]
    fn pragma_is_not_heard() {
        assert_eq!(asked("GET", "Pragma: no-cache\r\n").control, RequestControl::default());
    }

    #[test]
    fn what_the_origin_alone_answers_goes_by_the_cache() {
        let policy = Policy::default();
        for (method, lines, expected) in [
            ("GET", "", None),
            ("HEAD", "If-None-Match: \"a\"\r\n", None),
            ("POST", "", Some(Bypass::Method)),
            ("OPTIONS", "", Some(Bypass::Method)),
            ("M-SEARCH", "", Some(Bypass::Method)),
            ("get", "", Some(Bypass::Method)),
            ("GET", "Cache-Control: no-store\r\n", Some(Bypass::NoStore)),
            ("GET", "If-Match: \"a\"\r\n", Some(Bypass::Condition)),
            ("GET", "If-Unmodified-Since: x\r\n", Some(Bypass::Condition)),
        ] {
            assert_eq!(asked(method, lines).bypass(&policy), expected, "{method} {lines}");
        }
        let deaf = Policy { is_client_heard: false, ..policy };
        assert_eq!(asked("GET", "Cache-Control: no-store\r\n").bypass(&deaf), None);
    }

    #[test]
    fn a_head_range_does_not_count() {
        assert_eq!(asked("HEAD", "Range: bytes=0-1\r\n").range(), None);
    }
}
