//! `Vary`: which stored response answers which request (RFC 9111 §4.1).

use super::lines::{Lines, members, weighted};
use super::stored::{Stored, VaryField};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Fields that one response may vary by. One that names more is not stored.
pub const VARY_MAX: usize = 16;

/// Languages of a request that are put in order; beyond them the field is taken as it stands.
const LANGUAGES_MAX: usize = 16;

/// The header lines of a request, names and values, as often as they are asked for.
pub trait RequestLines<'a>: Iterator<Item = (&'a [u8], &'a [u8])> + Clone {}

impl<'a, T: Iterator<Item = (&'a [u8], &'a [u8])> + Clone> RequestLines<'a> for T {}

/// The codings of `Accept-Encoding` that matter, as one of eight values: what a fetch asks the origin with, and what variants differ
/// by. `values` are those of all its lines. Which of them a client likes best does not matter, since it takes them all.
///
/// The fetch must carry this value in place of the client's: other codings would come back to clients that have not named them.
pub fn accept_encoding<'a>(mut values: impl Iterator<Item = &'a [u8]> + Clone) -> &'static str {
    let all = values.clone();
    match (values.next(), values.next()) {
        (None, _) => "",
        // What nearly all browsers and libraries say.
        (Some(b"gzip, deflate, br, zstd"), None) => "zstd, br, gzip",
        (Some(b"gzip, deflate, br"), None) => "br, gzip",
        (Some(b"gzip, deflate" | b"gzip"), None) => "gzip",
        _ => codings(all),
    }
}

fn codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> &'static str {
    const ALL: [&str; 8] = ["", "zstd", "br", "zstd, br", "gzip", "zstd, gzip", "br, gzip", "zstd, br, gzip"];
    let (mut taken, mut refused, mut any) = (0usize, 0usize, false);
    for (name, weight) in values.flat_map(members).map(weighted) {
        let bit = match name.len() {
            4 if name.eq_ignore_ascii_case(b"gzip") => 4,
            6 if name.eq_ignore_ascii_case(b"x-gzip") => 4,
            2 if name.eq_ignore_ascii_case(b"br") => 2,
            4 if name.eq_ignore_ascii_case(b"zstd") => 1,
            1 if name == b"*" => {
                any = weight > 0;
                continue;
            }
            _ => continue,
        };
        *(if weight > 0 { &mut taken } else { &mut refused }) |= bit;
    }
    ALL[if any { 7 & !refused } else { taken & !refused }]
}

/// Whether the proxy that this cache is a part of writes a request field itself, another for each client or request: the origin is
/// asked with what no client has sent, so that responses which vary by it are alike for nobody. `X-Forwarded-Proto` and `-Host` are
/// not among them, since the key has scheme and host.
pub fn is_written_here(name: &[u8]) -> bool {
    const FIELDS: [&str; 8] = [
        "client-cert",
        "client-cert-chain",
        "forwarded",
        "traceparent",
        "via",
        "x-forwarded-for",
        "x-real-ip",
        "x-request-id",
    ];
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// Whether a stored response may answer a request with these lines.
///
/// Values are the same where they mean the same: whitespace around the members of a list does not count, nor how it is spread over
/// lines; of `Accept-Encoding` the codings that matter, of `Accept-Language` neither case nor order. Fields that are no lists are compared
/// as they stand. A field that is absent matches no other than one that is absent as well.
pub fn matches<'a>(stored: &Stored, request: &impl RequestLines<'a>) -> bool {
    stored.vary.iter().all(|(name, value)| {
        let mut rest = Rest { expected: value, is_same: true };
        normalized(name, request, &mut |bytes| rest.meet(bytes));
        (rest.is_same && rest.expected.is_empty())
            || (&**name == "accept-language" && speaks_best(stored, request))
    })
}

/// Of several stored responses the one that answers, if one does: the one that was made last (§4.1).
pub fn chosen<'s, 'a>(
    stored: impl IntoIterator<Item = &'s Stored>,
    request: &impl RequestLines<'a>,
) -> Option<&'s Stored> {
    let made =
        |one: &Stored| one.received.checked_sub(std::time::Duration::from_secs(one.initial_age.into()));
    stored.into_iter().filter(|one| matches(one, request)).max_by_key(|one| made(one))
}

/// The fields named by `names`, each once, in lower case and sorted, with the values of this request, normalised.
pub(crate) fn values<'a>(
    names: impl Iterator<Item = impl AsRef<[u8]>>,
    request: &impl RequestLines<'a>,
) -> Box<[VaryField]> {
    let mut lower: Vec<Box<str>> =
        names.map(|name| String::from_utf8_lossy(name.as_ref()).to_ascii_lowercase().into()).collect();
    lower.sort_unstable();
    lower.dedup();
    let with_value = |name: Box<str>| {
        let mut value = Vec::new();
        normalized(&name, request, &mut |bytes| value.extend_from_slice(bytes));
        (name, value.into())
    };
    lower.into_iter().map(with_value).collect()
}

/// A number that stands for the values which a request has for the fields that a stored response varies by: requests with the same are
/// answered alike. 0 where it varies by none.
pub fn variant<'a>(stored: &Stored, request: &impl RequestLines<'a>) -> u64 {
    if stored.vary.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    for (name, _) in &stored.vary {
        name.hash(&mut hasher);
        normalized(name, request, &mut |bytes| hasher.write(bytes));
        hasher.write_u8(0xff);
    }
    hasher.finish().max(1)
}

/// What is still to come of a value that is compared as it is made.
struct Rest<'a> {
    expected: &'a [u8],
    is_same: bool,
}

impl Rest<'_> {
    fn meet(&mut self, bytes: &[u8]) {
        match self.expected.strip_prefix(bytes) {
            Some(rest) => self.expected = rest,
            None => self.is_same = false,
        }
    }
}

fn normalized<'a>(name: &str, request: &impl RequestLines<'a>, out: &mut impl FnMut(&[u8])) {
    let values = valued(name, request);
    match name {
        "accept-encoding" => out(accept_encoding(values).as_bytes()),
        _ if values.clone().next().is_none() => {}
        _ => {
            // §4.1: what is there without a value is not absent.
            out(b"=");
            match name {
                "accept-language" => languages(values, out),
                _ if is_no_list(name) => values.for_each(|value| {
                    out(value);
                    out(b"\n");
                }),
                _ => list(values, out),
            }
        }
    }
}

/// Fields in which a comma is nothing special.
fn is_no_list(name: &str) -> bool {
    matches!(name, "authorization" | "cookie" | "origin" | "referer" | "user-agent")
}

fn valued<'a>(name: &str, request: &impl RequestLines<'a>) -> impl Iterator<Item = &'a [u8]> + Clone {
    request
        .clone()
        .filter(move |(line, _)| line.len() == name.len() && line.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

/// All members with a comma between them.
fn list<'a>(values: impl Iterator<Item = &'a [u8]>, out: &mut impl FnMut(&[u8])) {
    for (at, member) in values.flat_map(members).enumerate() {
        if at > 0 {
            out(b",");
        }
        out(member);
    }
}

/// The languages in lower case, the most wanted first and those of one weight sorted; a step down in weight is written `;`, with the weight.
fn languages<'a>(values: impl Iterator<Item = &'a [u8]> + Clone, out: &mut impl FnMut(&[u8])) {
    let mut sorted = [(&b""[..], 0u16); LANGUAGES_MAX];
    let mut count = 0;
    for member in values.clone().flat_map(members).map(weighted) {
        if count == LANGUAGES_MAX {
            return list(values, out);
        }
        sorted[count] = member;
        count += 1;
    }
    let sorted = &mut sorted[..count];
    let lower = |name: &'a [u8]| name.iter().map(u8::to_ascii_lowercase);
    sorted
        .sort_by(|(one, weight), (other, than)| than.cmp(weight).then_with(|| lower(one).cmp(lower(other))));
    for (name, weight) in sorted {
        lower(name).for_each(|byte| out(&[byte]));
        out(b";");
        out(&weight.to_be_bytes());
    }
}

/// Whether the response is in the one language that the request wants most: who varies by language would answer with it.
fn speaks_best<'a>(stored: &Stored, request: &impl RequestLines<'a>) -> bool {
    let language = Lines::of(&stored.lines).find(|(name, _)| name.eq_ignore_ascii_case(b"content-language"));
    let Some((_, language)) = language else { return false };
    let mut best: Option<(&[u8], u16)> = None;
    let mut is_alone = false;
    for (name, weight) in valued("accept-language", request).flat_map(members).map(weighted) {
        match best {
            Some((_, than)) if weight < than => {}
            Some((_, than)) if weight == than => is_alone = false,
            _ => (best, is_alone) = (Some((name, weight)), true),
        }
    }
    best.is_some_and(|(name, weight)| is_alone && weight > 0 && name.eq_ignore_ascii_case(language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn request(lines: &[(&'static str, &'static str)]) -> Vec<(&'static [u8], &'static [u8])> {
        lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }

    fn stored(vary: &[&str], asked: &[(&'static str, &'static str)], lines: &str) -> Stored {
        let asked = request(asked);
        let vary = values(vary.iter(), &asked.iter().copied());
        Stored { vary, lines: lines.as_bytes().into(), ..crate::rules::tests::stored() }
    }

    #[track_caller]
    fn check(
        vary: &[&str],
        asked: &[(&'static str, &'static str)],
        then: &[(&'static str, &'static str)],
        expected: bool,
    ) {
        let stored = stored(vary, asked, "");
        let then = request(then);
        assert_eq!(matches(&stored, &then.iter().copied()), expected, "{vary:?}: {asked:?}, then {then:?}");
    }

    #[test]
    fn each_field_that_is_named_is_the_same_or_absent_in_both() {
        check(&["Foo"], &[("Foo", "1")], &[("foo", "1"), ("Other", "3")], true);
        check(&["Foo"], &[("Foo", "")], &[], false);
        check(&["Foo"], &[], &[("Foo", "")], false);
        check(&["Accept-Language"], &[("Accept-Language", "")], &[], false);
        check(&["Foo"], &[("Foo", "")], &[("Foo", "")], true);
        check(&["Foo"], &[("Foo", "1")], &[("Foo", "2")], false);
        check(&["Foo"], &[], &[("Foo", "1")], false);
        check(&["Foo"], &[("Foo", "1")], &[], false);
        check(&["Foo"], &[], &[], true);
        check(&["Foo", "Bar"], &[("Foo", "1"), ("Bar", "abc")], &[("Bar", "abc"), ("Foo", "1")], true);
        check(&["Foo", "Bar"], &[("Foo", "1"), ("Bar", "abc")], &[("Bar", "abc"), ("Foo", "2")], false);
        check(&["Foo", "Bar", "Baz"], &[("Foo", "1"), ("Baz", "789")], &[("Baz", "789"), ("Foo", "1")], true);
        check(
            &["Foo", "Bar", "Baz"],
            &[("Foo", "1"), ("Bar", "abc4")],
            &[("Foo", "1"), ("Bar", "abc")],
            false,
        );
        check(&["Foo"], &[("Foo", "1")], &[("Foo", "12")], false);
        check(&["Foo"], &[("Foo", "12")], &[("Foo", "1")], false);
    }

    #[test]
    fn whitespace_and_lines_of_a_list_do_not_count() {
        check(&["Foo"], &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")], true);
        check(&["Foo"], &[("Foo", "1,2")], &[("Foo", " 1, 2 ")], true);
        check(&["Foo"], &[("Foo", "\"1,2\"")], &[("Foo", "\"1, 2\"")], false);
        check(&["Foo"], &[("Foo", "1, 2")], &[("Foo", "2, 1")], false);
    }

    #[test]
    fn fields_that_are_no_lists_are_compared_as_they_stand() {
        for name in ["Cookie", "User-Agent", "Referer"] {
            check(&[name], &[(name, "a=1,b")], &[(name, "a=1, b")], false);
            check(&[name], &[(name, "a=1,,b")], &[(name, "a=1,b")], false);
            check(&[name], &[(name, "a=1")], &[(name, "a=1")], true);
        }
    }

    #[test]
    fn languages_have_neither_case_nor_order() {
        let asked = &[("Accept-Language", "en, de")];
        for same in ["de, en", "eN, De", " en ,   de", "en;q=1.0,de"] {
            check(&["Accept-Language"], asked, &[("Accept-Language", same)], true);
        }
        for other in ["en", "en, de;q=0.9", "en-de", "ende", "en, fr"] {
            check(&["Accept-Language"], asked, &[("Accept-Language", other)], false);
        }
    }

    #[test]
    fn a_response_in_the_language_that_is_wanted_most_answers() {
        let german =
            stored(&["Accept-Language"], &[("Accept-Language", "en, de")], "Content-Language: de\r\n");
        for (value, expected) in [
            ("fr;q=0.5, de;q=1.0", true),
            ("DE", true),
            ("fr, de", false),
            ("fr, de;q=0.9", false),
            ("de;q=0", false),
            ("de-at", false),
        ] {
            let asked = request(&[("Accept-Language", value)]);
            assert_eq!(matches(&german, &asked.iter().copied()), expected, "{value}");
        }
    }

    #[test]
    fn codings_are_one_of_eight_values() {
        for (value, expected) in [
            ("", ""),
            ("identity", ""),
            ("gzip", "gzip"),
            ("gzip, deflate", "gzip"),
            ("gzip, deflate, br", "br, gzip"),
            ("gzip, deflate, br, zstd", "zstd, br, gzip"),
            ("br;q=1.0, GZIP;q=0.8", "br, gzip"),
            ("gzip;q=0, br", "br"),
            ("*", "zstd, br, gzip"),
            ("*;q=0", ""),
            ("br;q=0, *", "zstd, gzip"),
            ("x-gzip", "gzip"),
            ("dcb, dcz", ""),
        ] {
            assert_eq!(accept_encoding([value.as_bytes()].into_iter()), expected, "{value}");
            assert_eq!(codings([value.as_bytes()].into_iter()), expected, "{value}, the long way");
        }
        check(
            &["accept-encoding"],
            &[("Accept-Encoding", "gzip, br")],
            &[("Accept-Encoding", "br;q=0.5,gzip,deflate")],
            true,
        );
        check(
            &["accept-encoding"],
            &[("Accept-Encoding", "gzip, br")],
            &[("Accept-Encoding", "gzip")],
            false,
        );
    }

    #[test]
    fn of_several_that_match_the_last_made_is_chosen() {
        let with = |received: u64, initial_age| Stored {
            received: UNIX_EPOCH + Duration::from_secs(received),
            initial_age,
            ..stored(&["Foo"], &[("Foo", "1")], "")
        };
        let all = [with(100, 0), with(200, 50), with(180, 80), stored(&["Foo"], &[("Foo", "2")], "")];
        let asked = request(&[("Foo", "1")]);
        assert_eq!(chosen(&all, &asked.iter().copied()), Some(&all[1]));
        assert_eq!(chosen(&all, &[].into_iter()), None);
    }

    proptest! {
        #[test]
        fn a_request_matches_what_answered_it(
            lines in prop::collection::vec((prop_oneof![Just("Foo"), Just("Accept-Language"), Just("accept-encoding")], prop::collection::vec(prop_oneof![any::<u8>(), Just(b','), Just(b'"'), Just(b';')], 0..40)), 0..4),
        ) {
            let request: Vec<(&[u8], &[u8])> = lines.iter().map(|(name, value)| (name.as_bytes(), &value[..])).collect();
            let vary = values(["foo", "accept-language", "Accept-Encoding"].iter(), &request.iter().copied());
            let stored = Stored { vary, ..crate::rules::tests::stored() };
            prop_assert!(matches(&stored, &request.iter().copied()));
        }
    }
}
