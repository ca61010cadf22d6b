//! Conditional requests (RFC 9110 §13).

use crate::request::Fields;
use crate::validators::Validators;
use std::time::SystemTime;

/// What the conditions of a request make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on; whether its `Range` counts.
    Proceed { with_range: bool },
    /// 304: the client has this version.
    NotModified,
    /// 412: it is not the version that the client means.
    Failed,
}

/// Decides in the order of RFC 9110 §13.2.2, for GET and HEAD of something that is there.
pub(crate) fn decide(fields: &Fields<'_>, validators: &Validators) -> Verdict {
    if let Some(tags) = &fields.if_match {
        // §13.1.1: by strong comparison.
        if !is_any(tags) && !matches(tags, &validators.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some(date) = date(fields.if_unmodified_since.as_deref())
        && validators.modified > date
    {
        return Verdict::Failed;
    }
    if let Some(tags) = &fields.if_none_match {
        // §13.1.2: by weak comparison. §13.1.3: a date beside it does not count.
        if is_any(tags) || matches(tags, &validators.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = date(fields.if_modified_since.as_deref())
        && is_known_by(date, validators)
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed { with_range: fields.if_range.as_deref().is_none_or(|value| is_same(value, validators)) }
}

/// Whether who has what was there at this date has this version (RFC 9110 §13.1.3).
fn is_known_by(date: SystemTime, validators: &Validators) -> bool {
    validators.modified == date || (validators.modified < date && !validators.is_date_out_of_order)
}

/// Whether `If-Range` names this version (§13.1.5): by strong comparison of tags, or by a date that is the same and
/// is a strong validator.
fn is_same(value: &[u8], validators: &Validators) -> bool {
    let value = value.trim_ascii();
    if value.get(..3).unwrap_or(value).contains(&b'"') {
        return value == validators.etag.as_bytes() && !validators.etag.starts_with("W/");
    }
    validators.is_date_strong && date(Some(value)) == Some(validators.modified)
}

fn is_any(tags: &[u8]) -> bool {
    tags.trim_ascii() == b"*"
}

/// A date in any form of RFC 9110 §5.6.7. What is none is as if it were not there (§13.1.3, §13.1.4).
fn date(value: Option<&[u8]>) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value?).ok()?.trim()).ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether one of the listed tags is this one (RFC 9110 §8.8.3.2). Behind what is no tag, nothing is read.
fn matches(mut list: &[u8], etag: &str, comparison: Comparison) -> bool {
    let (is_weak, opaque) = match etag.strip_prefix("W/") {
        Some(opaque) => (true, opaque.as_bytes()),
        None => (false, etag.as_bytes()),
    };
    while let Some((is_listed_weak, listed, rest)) = next_tag(list) {
        let may_match = comparison == Comparison::Weak || !(is_weak || is_listed_weak);
        if may_match && listed == opaque {
            return true;
        }
        list = rest;
    }
    false
}

/// The first tag of a list: whether it is weak, its opaque part with the quotes, and what follows.
fn next_tag(list: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let start = list.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
    let list = &list[start..];
    let (is_weak, tag) = match list.strip_prefix(b"W/") {
        Some(tag) => (true, tag),
        None => (false, list),
    };
    let inner = tag.strip_prefix(b"\"")?;
    let end = inner.iter().position(|byte| *byte == b'"')? + 2;
    let rest = tag[end..].trim_ascii_start();
    (rest.is_empty() || rest[0] == b',').then_some((is_weak, &tag[..end], rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::borrow::Cow;
    use std::time::{Duration, UNIX_EPOCH};

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators(etag: &str) -> Validators {
        Validators {
            etag: etag.into(),
            modified: UNIX_EPOCH + Duration::from_secs(784_111_777),
            is_date_strong: true,
            is_date_out_of_order: false,
        }
    }

    fn fields<'a>(lines: &[(&'a str, &'a str)]) -> Fields<'a> {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.note(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn verdict(lines: &[(&str, &str)]) -> Verdict {
        decide(&fields(lines), &validators("\"a\""))
    }

    const GO: Verdict = Verdict::Proceed { with_range: true };
    const WHOLE: Verdict = Verdict::Proceed { with_range: false };

    #[test]
    fn each_condition_alone_is_held() {
        for (name, value, expected) in [
            ("if-match", "\"a\"", GO),
            ("if-match", "*", GO),
            ("if-match", "\"b\", \"a\"", GO),
            ("if-match", "\"b\"", Verdict::Failed),
            ("if-match", "W/\"a\"", Verdict::Failed),
            ("if-match", "", Verdict::Failed),
            ("if-match", "a", Verdict::Failed),
            ("if-unmodified-since", BEFORE, Verdict::Failed),
            ("if-unmodified-since", SAME, GO),
            ("if-unmodified-since", AFTER, GO),
            ("if-unmodified-since", "yesterday", GO),
            ("if-none-match", "\"a\"", Verdict::NotModified),
            ("if-none-match", "W/\"a\"", Verdict::NotModified),
            ("if-none-match", "*", Verdict::NotModified),
            ("if-none-match", " \"b\" ,, W/\"c\",\t\"a\"", Verdict::NotModified),
            ("if-none-match", "\"b\", \"a,b\"", GO),
            ("if-none-match", "\"A\"", GO),
            ("if-none-match", "a", GO),
            ("if-none-match", "\"a", GO),
            ("if-none-match", "\"b\" \"a\"", GO),
            ("if-modified-since", BEFORE, GO),
            ("if-modified-since", SAME, Verdict::NotModified),
            ("if-modified-since", AFTER, Verdict::NotModified),
            ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", Verdict::NotModified),
            ("if-modified-since", "Sun Nov  6 08:49:37 1994", Verdict::NotModified),
            ("if-modified-since", "784111777", GO),
            ("if-range", "\"a\"", GO),
            ("if-range", "W/\"a\"", WHOLE),
            ("if-range", "\"b\"", WHOLE),
            ("if-range", SAME, GO),
            ("if-range", BEFORE, WHOLE),
            ("if-range", AFTER, WHOLE),
            ("if-range", "", WHOLE),
        ] {
            assert_eq!(verdict(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn tags_come_before_dates_and_preconditions_before_caches() {
        for (lines, expected) in [
            ([("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], GO),
            ([("if-match", "\"b\""), ("if-none-match", "\"a\"")], Verdict::Failed),
            ([("if-match", "\"a\""), ("if-none-match", "\"a\"")], Verdict::NotModified),
            ([("if-unmodified-since", BEFORE), ("if-none-match", "\"a\"")], Verdict::Failed),
            ([("if-none-match", "\"b\""), ("if-modified-since", AFTER)], GO),
            ([("if-none-match", "\"a\""), ("if-modified-since", BEFORE)], Verdict::NotModified),
            ([("if-none-match", "nonsense"), ("if-modified-since", AFTER)], GO),
            ([("if-none-match", "\"a\""), ("if-range", "\"b\"")], Verdict::NotModified),
            ([("if-modified-since", BEFORE), ("if-range", "\"b\"")], WHOLE),
            ([("if-modified-since", SAME), ("if-modified-since", SAME)], GO),
        ] {
            assert_eq!(verdict(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_weak_tag_is_good_for_caches_and_not_for_ranges() {
        let decide = |name, value| decide(&fields(&[(name, value)]), &validators("W/\"a\""));
        assert_eq!(decide("if-none-match", "\"a\""), Verdict::NotModified);
        assert_eq!(decide("if-none-match", "W/\"a\""), Verdict::NotModified);
        assert_eq!(decide("if-match", "W/\"a\""), Verdict::Failed);
        assert_eq!(decide("if-range", "W/\"a\""), WHOLE);
        assert_eq!(decide("if-range", "\"a\""), WHOLE);
    }

    #[test]
    fn a_weak_date_is_no_ground_for_a_range() {
        let young = Validators { is_date_strong: false, ..validators("\"a\"") };
        assert_eq!(decide(&fields(&[("if-range", SAME)]), &young), WHOLE);
        assert_eq!(decide(&fields(&[("if-modified-since", SAME)]), &young), Verdict::NotModified);
    }

    proptest! {
        #[test]
        fn a_listed_tag_is_found_among_any_others(
            others in prop::collection::vec("(W/)?\"[!#-~]{0,6}\"", 0..5),
            place in 0usize..6,
            gap in "[ \t,]{0,3},[ \t,]{0,3}",
        ) {
            let mut list = others.clone();
            list.insert(place.min(others.len()), "\"the-tag\"".into());
            prop_assert!(matches(list.join(&gap).as_bytes(), "\"the-tag\"", Comparison::Strong));
            prop_assert!(!matches(others.join(&gap).as_bytes(), "\"the-tag\"", Comparison::Weak));
        }

        #[test]
        fn no_value_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut fields = Fields::default();
            for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"] {
                let field = match name {
                    "if-match" => &mut fields.if_match,
                    "if-none-match" => &mut fields.if_none_match,
                    "if-modified-since" => &mut fields.if_modified_since,
                    "if-unmodified-since" => &mut fields.if_unmodified_since,
                    _ => &mut fields.if_range,
                };
                *field = Some(Cow::Borrowed(&value));
                decide(&fields, &validators("\"a\""));
                fields = Fields::default();
            }
        }
    }
}
