//! What the cache would do with a request, as a page of text.

use super::page::Page;
use crate::print::{Paint, counted, memory, span};
use std::time::Duration;
use topology::{CacheExplanation, CacheOutcome, KeptExplanation, Query};

/// The whole page.
pub(super) fn page(query: &Query, explanation: &CacheExplanation, paint: Paint) -> String {
    let mut page = Page::new(&format!("{} {}", query.method, query.url), paint);
    page.line("outcome", &outcome(explanation.outcome, paint));
    page.lines("why", &explanation.why);
    page.line("site", explanation.site.as_deref().unwrap_or("none"));
    if let Some(route) = &explanation.route {
        page.line("route", route);
    }
    let Some(key) = &explanation.key else { return page.text };
    page.line("key", key);
    if explanation.kept.is_empty() {
        page.line("kept", "nothing");
    }
    for (nth, kept) in explanation.kept.iter().enumerate() {
        page.lines(if nth == 0 { "kept" } else { "" }, &told(kept));
    }
    if let Some(fetch) = &explanation.fetch {
        let received = bytes(fetch.received_bytes);
        let how_far =
            if fetch.has_head { format!("{received} of the body") } else { "waits for its head".into() };
        page.line("fetch", &format!("{how_far}, {}", counted(fetch.readers, "reader")));
    }
    if let Some(unshared) = &explanation.unshared {
        let left = span(Duration::from_secs(unshared.for_seconds));
        page.line("unshared", &format!("for {left} more: {}", unshared.why));
    }
    page.lines("purges", &explanation.purges);
    page.text
}

fn outcome(outcome: CacheOutcome, paint: Paint) -> String {
    match outcome {
        CacheOutcome::Hit => paint.good("hit"),
        CacheOutcome::Stale => paint.uneasy("stale"),
        CacheOutcome::Miss => paint.uneasy("miss"),
        CacheOutcome::Pass => paint.uneasy("pass"),
        CacheOutcome::Unavailable => paint.bad("unavailable"),
        CacheOutcome::Purge => "purge".into(),
    }
}

/// The lines of one response: a first one that tells it from the others, and what was decided about it.
fn told(kept: &KeptExplanation) -> Vec<String> {
    let mark = if kept.is_chosen { "→" } else { " " };
    let part = kept.range.map(|(start, end)| format!(" (bytes {start} to {end})")).unwrap_or_default();
    let size = bytes(kept.body_bytes);
    let mut lines = vec![format!("{mark} {}, {size}{part}, {}", kept.status, kept.places.join(" and "))];
    let mut more = |line: String| lines.push(format!("    {line}"));
    for field in &kept.differs_by {
        more(format!("for {} {:?}", field.name, field.value));
    }
    if !kept.matches {
        more("answers other requests".into());
    }
    more(format!("age {}, {}", seconds(kept.age_seconds.into()), left(kept)));
    more(format!("fresh until the age of {} by {}", seconds(kept.lifetime_seconds.into()), kept.lifetime_by));
    more(stale(kept));
    if !kept.tags.is_empty() {
        more(format!("tags {}", kept.tags.join(", ")));
    }
    for purge in &kept.purged_by {
        more(format!("purged: {purge}"));
    }
    lines
}

fn left(kept: &KeptExplanation) -> String {
    match kept.fresh_for_seconds {
        _ if kept.is_gone => "purged".into(),
        _ if kept.no_cache => "confirmed before each use (`no-cache`)".into(),
        left @ 1.. => format!("fresh for {} more", seconds(left.unsigned_abs())),
        over => format!("stale for {}", seconds(over.unsigned_abs())),
    }
}

fn stale(kept: &KeptExplanation) -> String {
    let windows = [
        (kept.stale_while_revalidate_seconds, "while it is asked for anew"),
        (kept.stale_if_error_seconds, "where the origin fails"),
    ];
    let windows: Vec<String> = windows
        .into_iter()
        .filter(|(length, _)| *length > 0)
        .map(|(length, when)| format!("{} {when}", seconds(length.into())))
        .collect();
    match (windows.is_empty(), kept.must_revalidate) {
        (false, _) => format!("served stale for {}", windows.join(", ")),
        (true, true) => "never served stale (`must-revalidate` or one like it)".into(),
        (true, false) => "not served stale".into(),
    }
}

fn seconds(seconds: u64) -> String {
    if seconds == 0 {
        return "0s".into();
    }
    span(Duration::from_secs(seconds))
}

fn bytes(bytes: u64) -> String {
    memory(usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::{FetchExplanation, FieldExplanation, UnsharedExplanation};

    fn kept() -> KeptExplanation {
        KeptExplanation {
            is_chosen: true,
            matches: true,
            differs_by: vec![FieldExplanation { name: "accept-encoding".into(), value: "gzip".into() }],
            places: vec!["memory".into(), "disk".into()],
            status: 200,
            body_bytes: 2048,
            range: None,
            age_seconds: 10,
            lifetime_seconds: 60,
            lifetime_by: "`Cache-Control: max-age=60`".into(),
            fresh_for_seconds: 50,
            stale_while_revalidate_seconds: 30,
            stale_if_error_seconds: 86_400,
            must_revalidate: false,
            no_cache: false,
            tags: vec!["red".into(), "blue".into()],
            purged_by: Vec::new(),
            is_gone: false,
        }
    }

    fn explanation() -> CacheExplanation {
        CacheExplanation {
            outcome: CacheOutcome::Hit,
            why: vec!["it is fresh (RFC 9111 §4.2)".into()],
            site: Some("shop.test".into()),
            route: Some("/img/".into()),
            key: Some("http://shop.test/img/1.svg".into()),
            kept: vec![kept()],
            fetch: None,
            unshared: None,
            purges: Vec::new(),
        }
    }

    fn query() -> Query {
        Query { url: "http://shop.test/img/1.svg".into(), method: "GET".into(), ..Query::default() }
    }

    #[test]
    fn a_hit_is_told_with_what_is_kept() {
        let expected = "\
GET http://shop.test/img/1.svg

  outcome   hit
  why       it is fresh (RFC 9111 §4.2)
  site      shop.test
  route     /img/
  key       http://shop.test/img/1.svg
  kept      → 200, 2.0KiB, memory and disk
                for accept-encoding \"gzip\"
                age 10s, fresh for 50s more
                fresh until the age of 1m by `Cache-Control: max-age=60`
                served stale for 30s while it is asked for anew, 1d where the origin fails
                tags red, blue
";
        assert_eq!(page(&query(), &explanation(), Paint::new(false)), expected);
    }

    #[test]
    fn what_is_not_served_says_why_not() {
        let gone = KeptExplanation {
            is_chosen: false,
            matches: false,
            differs_by: Vec::new(),
            range: Some((0, 100)),
            stale_while_revalidate_seconds: 0,
            stale_if_error_seconds: 0,
            must_revalidate: true,
            tags: Vec::new(),
            purged_by: vec!["purge 7 of tag red".into()],
            is_gone: true,
            ..kept()
        };
        let told = told(&gone);
        let expected = [
            "  200, 2.0KiB (bytes 0 to 100), memory and disk",
            "    answers other requests",
            "    age 10s, purged",
            "    fresh until the age of 1m by `Cache-Control: max-age=60`",
            "    never served stale (`must-revalidate` or one like it)",
            "    purged: purge 7 of tag red",
        ];
        assert_eq!(told, expected);
        for (fresh_for_seconds, expected) in [(-70, "stale for 1m10s"), (0, "stale for 0s")] {
            assert_eq!(left(&KeptExplanation { fresh_for_seconds, ..kept() }), expected);
        }
    }

    #[test]
    fn fetches_and_what_is_not_shared_have_their_lines() {
        let explanation = CacheExplanation {
            outcome: CacheOutcome::Pass,
            kept: Vec::new(),
            fetch: Some(FetchExplanation { has_head: true, received_bytes: 1024, readers: 2 }),
            unshared: Some(UnsharedExplanation {
                why: "the response says `private`".into(),
                for_seconds: 42,
            }),
            purges: vec!["purge 3 of this URL".into()],
            ..explanation()
        };
        let text = page(&query(), &explanation, Paint::new(false));
        for line in [
            "  kept      nothing",
            "  fetch     1.0KiB of the body, 2 readers",
            "  unshared  for 42s more: the response says `private`",
            "  purges    purge 3 of this URL",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        let elsewhere = CacheExplanation { key: None, site: None, route: None, ..explanation };
        assert!(!page(&query(), &elsewhere, Paint::new(false)).contains("kept"));
    }
}
