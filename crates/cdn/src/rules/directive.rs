//! `Cache-Control` (RFC 9111 §5.2), in requests and in responses.

use super::lines::{members, quoted_len, trim};

/// Seconds that stand for every greater number (RFC 9111 §1.2.2).
pub const SECONDS_MAX: u32 = 1 << 31;

/// One directive: its name, and its argument if it has one, without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) argument: Option<&'a [u8]>,
}

impl<'a> Directive<'a> {
    /// The directives of one line.
    pub(crate) fn all(value: &'a [u8]) -> impl Iterator<Item = Self> {
        members(value).map(Self::of)
    }

    fn of(member: &'a [u8]) -> Self {
        let Some(equals) = member.iter().position(|byte| *byte == b'=') else {
            return Self { name: member, argument: None };
        };
        let (name, argument) = (trim(&member[..equals]), &member[equals + 1..]);
        if name.len() < equals {
            // Space before `=` is malformed: the argument is not believed, but what is forbidden is forbidden all the same.
            return Self { name, argument: Some(b"") };
        }
        let argument = match quoted_len(argument) {
            Some(len) if argument[0] == b'"' && len == argument.len() => &argument[1..len - 1],
            _ => argument,
        };
        Self { name, argument: Some(argument) }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The argument as seconds; `None` if it is none.
    pub(crate) fn seconds(&self) -> Option<u32> {
        delta_seconds(self.argument?)
    }
}

/// delta-seconds (RFC 9111 §1.2.2): digits alone, at most [`SECONDS_MAX`].
pub(crate) fn delta_seconds(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits
        .iter()
        .fold(0u32, |seconds, digit| seconds.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    Some(seconds.min(SECONDS_MAX))
}

/// What a request asks of caches (RFC 9111 §5.2.1). An argument that is malformed is as if its directive were not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestControl {
    /// Nothing that is not confirmed now.
    pub no_cache: bool,
    /// Nothing of this exchange is to be kept.
    pub no_store: bool,
    /// What is stored, or 504.
    pub only_if_cached: bool,
    /// Nothing older, in seconds.
    pub max_age: Option<u32>,
    /// Nothing that is not fresh for so long still, in seconds.
    pub min_fresh: Option<u32>,
    /// Stale for so long will do, in seconds; [`SECONDS_MAX`] if any will.
    pub max_stale: Option<u32>,
}

impl RequestControl {
    /// Takes note of one line.
    pub fn note(&mut self, value: &[u8]) {
        for directive in Directive::all(value) {
            match directive.name.len() {
                7 if directive.is("max-age") => self.max_age = self.max_age.or(directive.seconds()),
                8 if directive.is("no-cache") => self.no_cache = true,
                8 if directive.is("no-store") => self.no_store = true,
                9 if directive.is("min-fresh") => self.min_fresh = self.min_fresh.or(directive.seconds()),
                9 if directive.is("max-stale") => {
                    let asked =
                        if directive.argument.is_none() { Some(SECONDS_MAX) } else { directive.seconds() };
                    self.max_stale = self.max_stale.or(asked);
                }
                14 if directive.is("only-if-cached") => self.only_if_cached = true,
                _ => {}
            }
        }
    }
}

/// What a response says to caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
///
/// Of a directive that stands twice the first counts, and what is no number of seconds is 0, which is stale (§4.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseControl<'a> {
    /// `public`.
    pub public: bool,
    /// `private`, without fields.
    pub private: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, without fields.
    pub no_cache: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `max-age`, in seconds.
    pub max_age: Option<u32>,
    /// `s-maxage`, in seconds.
    pub s_maxage: Option<u32>,
    /// `stale-while-revalidate`, in seconds.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error`, in seconds.
    pub stale_if_error: Option<u32>,
    /// Lists of fields of `no-cache="…"` and `private="…"`: they are not stored.
    pub unstored: Vec<&'a [u8]>,
}

impl<'a> ResponseControl<'a> {
    /// Takes note of one line.
    pub fn note(&mut self, value: &'a [u8]) {
        for directive in Directive::all(value) {
            self.note_directive(directive);
        }
    }

    pub(crate) fn note_directive(&mut self, directive: Directive<'a>) {
        let first = |known: Option<u32>| known.or(Some(directive.seconds().unwrap_or(0)));
        match directive.name.len() {
            6 if directive.is("public") => self.public = true,
            7 if directive.is("private") => match listed(directive.argument) {
                Some(fields) => self.unstored.push(fields),
                None => self.private = true,
            },
            7 if directive.is("max-age") => self.max_age = first(self.max_age),
            8 if directive.is("no-store") => self.no_store = true,
            8 if directive.is("no-cache") => match listed(directive.argument) {
                Some(fields) => self.unstored.push(fields),
                None => self.no_cache = true,
            },
            8 if directive.is("s-maxage") => self.s_maxage = first(self.s_maxage),
            14 if directive.is("stale-if-error") => {
                self.stale_if_error = self.stale_if_error.or(directive.seconds());
            }
            15 if directive.is("must-revalidate") => self.must_revalidate = true,
            15 if directive.is("must-understand") => self.must_understand = true,
            16 if directive.is("proxy-revalidate") => self.proxy_revalidate = true,
            22 if directive.is("stale-while-revalidate") => {
                self.stale_while_revalidate = self.stale_while_revalidate.or(directive.seconds());
            }
            _ => {}
        }
    }

    /// The freshness lifetime that is said, for a shared cache (RFC 9111 §4.2.1).
    pub fn lifetime(&self) -> Option<u32> {
        self.s_maxage.or(self.max_age)
    }
}

/// The fields that a qualified form names. One that names none is as if it were not qualified.
fn listed(argument: Option<&[u8]>) -> Option<&[u8]> {
    argument.filter(|fields| members(fields).next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response(lines: &[&'static str]) -> ResponseControl<'static> {
        let mut control = ResponseControl::default();
        lines.iter().for_each(|line| control.note(line.as_bytes()));
        control
    }

    #[test]
    fn ages_are_seconds_and_what_is_none_is_stale() {
        for (text, expected) in [
            ("max-age=3600", 3600),
            ("MaX-aGe=3600", 3600),
            ("max-age=003600", 3600),
            ("max-age=\"3600\"", 3600),
            ("foobar, max-age=3600", 3600),
            ("max-age=2147483647", 2_147_483_647),
            ("max-age=2147483648", SECONDS_MAX),
            ("max-age=2147483649", SECONDS_MAX),
            ("max-age=99999999999", SECONDS_MAX),
            ("max-age=-3600", 0),
            ("max-age='3600'", 0),
            ("max-age=3600.0", 0),
            ("max-age= 3600", 0),
            ("max-age =3600", 0),
            ("max-age=a3600", 0),
            ("max-age=3600a", 0),
            ("max-age=", 0),
            ("max-age", 0),
            ("max-age=\"\"", 0),
            ("max-age=\"3600", 0),
        ] {
            assert_eq!(response(&[text]).max_age, Some(expected), "{text}");
        }
    }

    #[test]
    fn what_stands_in_quotes_is_no_directive() {
        for lines in [
            "extension=\"max-age=3600\", max-age=1",
            "max-age=1, extension=\"max-age=3600\"",
            "extension=\"max-age=3600\", max-age=\"1\"",
            "extension=\"a \\\" max-age=3600, max-age=3600\", max-age=1",
        ] {
            assert_eq!(response(&[lines]).max_age, Some(1), "{lines}");
        }
        assert!(response(&["extension=\"open, no-store"]).no_store, "an open quote hides nothing");
    }

    #[test]
    fn of_two_ages_the_first_counts() {
        assert_eq!(response(&["max-age=1, max-age=1800"]).max_age, Some(1));
        assert_eq!(response(&["max-age=1800", "max-age=1"]).max_age, Some(1800));
        assert_eq!(response(&["max-age=x, max-age=1800"]).max_age, Some(0));
    }

    #[test]
    fn qualified_forms_name_fields_and_allow_the_rest() {
        let control = response(&["no-cache=\"a, b\"", "private=c, max-age=5"]);
        assert!(!control.no_cache && !control.private);
        assert_eq!(control.unstored, [&b"a, b"[..], b"c"]);
        let control = response(&["no-cache=\"\", private=\" , \""]);
        assert!(control.no_cache && control.private);
    }

    #[test]
    fn what_forbids_is_known_in_any_case_and_with_any_space() {
        let control = response(&[" ,No-StOrE ,, PRIVATE,\tmust-Revalidate,proxy-revalidate , no-cache"]);
        assert!(
            control.no_store
                && control.private
                && control.must_revalidate
                && control.proxy_revalidate
                && control.no_cache
        );
        assert!(response(&["no-store=1"]).no_store);
    }

    #[test]
    fn requests_are_read_by_the_same_grammar() {
        let mut control = RequestControl::default();
        control.note(b"max-age=\"5\", MAX-STALE, min-fresh=x");
        control.note(b"only-if-cached, no-cache, max-age=7");
        let expected = RequestControl {
            no_cache: true,
            only_if_cached: true,
            max_age: Some(5),
            max_stale: Some(SECONDS_MAX),
            ..RequestControl::default()
        };
        assert_eq!(control, expected);
    }

    proptest! {
        #[test]
        fn lines_and_lists_are_the_same(directives in prop::collection::vec("(max-age|s-maxage|no-store|no-cache|private|public|x)(=(\"[a-z0-9, ]{0,8}\"|[0-9]{1,12}))?", 0..6)) {
            let joined = directives.join(", ");
            let mut one = ResponseControl::default();
            one.note(joined.as_bytes());
            let mut many = ResponseControl::default();
            directives.iter().for_each(|line| many.note(line.as_bytes()));
            prop_assert_eq!(one, many);
        }

        #[test]
        fn no_bytes_make_it_panic_and_no_age_passes_the_greatest(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut control = ResponseControl::default();
            control.note(&value);
            prop_assert!(control.lifetime().is_none_or(|lifetime| lifetime <= SECONDS_MAX));
            RequestControl::default().note(&value);
        }
    }
}
