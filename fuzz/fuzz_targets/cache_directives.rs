//! One head as a request's and as a response's: what is stored of it has no line of a connection, answers the request it was an answer
//! to, is never served longer than it says, and is read as the same when it is confirmed by itself.
#![no_main]

use cdn::key::Target;
use cdn::rules::{
    Asked, Came, Lines, Method, Policy, Selected, Serve, SetCookie, Span, Stored, Times, chosen, combined,
    freshened, may_store, plan, resolved, select, serve, write_conditions, write_not_modified,
};
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fuzz_target!(|input: (u16, u32, &[u8])| {
    let (status, waited, head) = input;
    let policy = Policy { ttl_default: Some(60), set_cookie: SetCookie::Strip, ..Policy::default() };
    let now = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let lines = Lines::of(head);
    let asked = Asked::of(Method::Get, lines.clone());
    let came = Came::of(status % 600, lines.clone(), now);
    let times = Times { requested: now, received: now };
    check_references(&came);
    let Ok(stored) = may_store(&asked, &lines, &came, lines.clone(), &policy, times) else { return };
    check_stored(&stored);
    assert_eq!(chosen([&stored], &lines), Some(&stored), "it answers the request it was an answer to");
    check_served(&stored, &asked, &policy, now + Duration::from_secs(waited.into()));
    check_selected(&stored, &asked);
    if let Some(range) = combined(&stored, &came) {
        assert_eq!(Some((range.start, range.end)), stored.range, "a part beside itself is itself");
    }
    let mut conditions = Vec::new();
    let about = write_conditions([&stored, &stored], &mut conditions);
    assert_eq!(about.is_conditional(), !conditions.is_empty());
    assert!(Lines::of(&conditions).count() <= 2);
    if let Ok(again) = freshened(&stored, &asked, &lines, &came, lines.clone(), &policy, times) {
        assert_eq!((again.status, again.length, again.range), (stored.status, stored.length, stored.range));
        check_stored(&again);
    }
});

fn check_stored(stored: &Stored) {
    assert!(stored.lifetime <= 365 * 86_400 && stored.initial_age <= 1 << 31);
    assert!(stored.vary.is_sorted() && stored.tags.is_sorted());
    assert!(Lines::of(&stored.lines).any(|(name, _)| name.eq_ignore_ascii_case(b"date")));
    for (name, _) in Lines::of(&stored.lines).chain(Lines::of(&stored.unsent)) {
        for left in ["age", "connection", "content-length", "transfer-encoding", "upgrade", "set-cookie"] {
            assert!(!name.eq_ignore_ascii_case(left.as_bytes()), "{left}");
        }
    }
    let mut not_modified = Vec::new();
    write_not_modified(stored, &mut not_modified);
    assert!(not_modified.len() <= stored.lines.len() + 2 * Lines::of(&stored.lines).count());
}

fn check_served(stored: &Stored, asked: &Asked<'_>, policy: &Policy, now: SystemTime) {
    let ttl = stored.ttl(now);
    match serve(stored, asked, policy, None, now) {
        Serve::Fresh => assert!(ttl > 0 && !stored.no_cache),
        Serve::StaleAndRefresh => assert!(ttl <= 0 && -ttl < i64::from(stored.stale_while_revalidate)),
        Serve::StaleAsAsked => {
            assert!(ttl <= 0 && !stored.must_revalidate && asked.control.max_stale.is_some())
        }
        Serve::Validate { if_error_until, .. } => assert!(if_error_until.is_none_or(|until| until > now)),
        Serve::Unavailable => assert!(asked.control.only_if_cached),
    }
}

fn check_selected(stored: &Stored, asked: &Asked<'_>) {
    let (first, end) = stored.range.or(stored.length.map(|length| (0, length))).unwrap_or((0, u64::MAX));
    match select(stored, asked) {
        Selected::One(range) => assert!(first <= range.start && range.start < range.end && range.end <= end),
        Selected::Many(ranges) => {
            assert!(ranges.len() > 1 && ranges.iter().all(|range| first <= range.start && range.end <= end));
        }
        Selected::NotHere => {
            let ask = plan(Span::of(asked), &[stored], u64::MAX);
            if let Some(hole) = ask.and_then(|ask| ask.hole) {
                let (missing, filled) = (hole.missing, hole.filled);
                assert!(missing.start == end || missing.end == first);
                assert!(filled.start <= missing.start && missing.start < missing.end && missing.end <= filled.end);
            }
        }
        _ => {}
    }
}

fn check_references(came: &Came<'_>) {
    let base = Target { scheme: b"https", host: b"a.test", path: b"/b/c", query: b"?d" };
    for reference in [came.location, came.content_location].into_iter().flatten() {
        if let Some(url) = resolved(&base, reference) {
            assert!(url.path.starts_with(b"/") && !url.path.contains(&b'?') && !url.query.contains(&b'#'));
            assert!(url.path.split(|byte| *byte == b'/').all(|segment| segment != b".." && segment != b"."));
        }
    }
}
