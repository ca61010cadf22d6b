//! What is served of what is stored.

use super::*;

const VALIDATES: fn(&str) -> Became = |etag| Became::Validated(format!("If-None-Match: {etag}\r\n"));

#[test]
fn requests_may_demand_and_allow() {
    for (response, waited, request, expected) in [
        ("Cache-Control: max-age=3600", 3, "Cache-Control: max-age=0", Became::Fetched),
        ("Cache-Control: max-age=3600", 0, "Cache-Control: max-age=0", Became::Fetched),
        ("Cache-Control: max-age=3600", 3, "Cache-Control: max-age=1", Became::Fetched),
        ("Cache-Control: max-age=3600", 3, "Cache-Control: max-age=3", CACHED),
        ("Cache-Control: max-age=3600 | Age: 1800", 0, "Cache-Control: max-age=600", Became::Fetched),
        ("Cache-Control: max-age=1", 3, "Cache-Control: max-stale=1000", CACHED),
        ("Cache-Control: max-age=1", 3, "Cache-Control: max-stale", CACHED),
        ("Cache-Control: max-age=1", 3, "Cache-Control: max-stale=1", Became::Fetched),
        ("Cache-Control: max-age=1, must-revalidate", 3, "Cache-Control: max-stale", Became::Fetched),
        ("Cache-Control: max-age=1500 | Age: 2000", 0, "Cache-Control: max-stale=1000", CACHED),
        ("Cache-Control: max-age=1500", 0, "Cache-Control: min-fresh=2000", Became::Fetched),
        ("Cache-Control: max-age=1500 | Age: 1000", 0, "Cache-Control: min-fresh=1000", Became::Fetched),
        ("Cache-Control: max-age=1500", 0, "Cache-Control: min-fresh=1000", CACHED),
        ("Cache-Control: max-age=3600", 0, "Cache-Control: no-cache", Became::Fetched),
        ("Cache-Control: max-age=3600 | ETag: \"abc\"", 0, "Cache-Control: no-cache", VALIDATES("\"abc\"")),
        ("Cache-Control: max-age=3600", 0, "Cache-Control: no-store", Became::Fetched),
        ("Cache-Control: max-age=3600", 0, "Pragma: no-cache", CACHED),
        ("Cache-Control: max-age=3600 | Pragma: no-cache", 0, "", CACHED),
        ("Cache-Control: max-age=3600", 0, "Cookie: a=b", CACHED),
        ("Cache-Control: max-age=3600", 0, "Cache-Control: only-if-cached", CACHED),
        ("Cache-Control: max-age=1", 3, "Cache-Control: only-if-cached", Became::Unavailable),
    ] {
        let mut shelf = Shelf::with(response);
        shelf.wait(waited);
        assert_eq!(shelf.ask(request), expected, "{response}, after {waited} s: {request}");
    }
    assert_eq!(Shelf::new().ask("Cache-Control: only-if-cached"), Became::Unavailable);
}

#[test]
fn a_route_may_be_deaf_to_demands() {
    let mut shelf = Shelf::with("Cache-Control: max-age=3600");
    shelf.policy.is_client_heard = false;
    shelf.wait(3);
    for demand in ["no-cache", "no-store", "max-age=0", "min-fresh=9999"] {
        assert_eq!(shelf.ask(&format!("Cache-Control: {demand}")), CACHED, "{demand}");
    }
    shelf.wait(3600);
    assert_eq!(shelf.ask("Cache-Control: max-stale"), Became::Fetched);
    assert_eq!(shelf.ask("Cache-Control: only-if-cached"), Became::Unavailable);
}

#[test]
fn a_confirmation_asks_by_tag_and_date() {
    let mut shelf = Shelf::with("Expires: {1} | ETag: W/\"abcdef\" | Date: {0}");
    shelf.wait(3);
    assert_eq!(shelf.ask(""), VALIDATES("W/\"abcdef\""));
    let mut shelf = Shelf::with("Cache-Control: max-age=3600 | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT");
    let expected = Became::Validated("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".into());
    assert_eq!(shelf.ask("Cache-Control: no-cache"), expected);
    shelf.wait(3600);
    assert_eq!(shelf.ask(""), expected);
}

/// Until when a stale response stands in for a failure: seconds from now on, three seconds after it came.
fn stands_in(policy: Policy, response: &str) -> Option<u64> {
    let mut shelf = Shelf { policy, ..Shelf::new() };
    shelf.put("", 200, response).unwrap();
    shelf.wait(3);
    match serve(&shelf.stored[0], &Asked::default(), &shelf.policy, None, at(shelf.now)) {
        Serve::Validate { if_error_until, .. } => {
            if_error_until.map(|until| until.duration_since(at(shelf.now)).unwrap().as_secs())
        }
        other => panic!("{response}: {other:?}"),
    }
}

#[test]
fn stale_stands_in_for_failures_unless_that_is_forbidden() {
    let policy = || Policy { stale_if_error: 100, ..Policy::default() };
    for (control, expected) in [
        ("max-age=2", Some(99)),
        ("max-age=2, stale-if-error=60", Some(59)),
        ("max-age=2, stale-if-error=0", None),
        ("max-age=2, must-revalidate", None),
        ("max-age=2, proxy-revalidate", None),
        ("max-age=2, no-cache", None),
        ("max-age=2, s-maxage=2", None),
        ("s-maxage=2, stale-if-error=60", Some(59)),
        ("max-age=2, stale-if-error=60, must-revalidate", None),
        ("max-age=0, stale-if-error=60", Some(57)),
        ("max-age=0", None),
    ] {
        let response = format!("Cache-Control: {control} | ETag: \"a\"");
        assert_eq!(stands_in(policy(), &response), expected, "{control}");
    }
    assert_eq!(
        stands_in(
            Policy { stale_if_error: 0, ..Policy::default() },
            "Cache-Control: max-age=2 | ETag: \"a\""
        ),
        None
    );
}

#[test]
fn what_a_client_would_not_take_stands_in_for_failures_all_the_same() {
    let shelf = Shelf::with("Cache-Control: max-age=60, must-revalidate");
    let request = b"Cache-Control: no-cache\r\n";
    let asked = Asked::of(Method::Get, Lines::of(request));
    let served = serve(&shelf.stored[0], &asked, &shelf.policy, None, at(NOW + 10));
    assert_eq!(served, Serve::Validate { why: Why::Request, if_error_until: Some(at(NOW + 60)) });
}

#[test]
fn stale_is_served_while_it_is_asked_for_anew() {
    let served = |control: &str, policy: Policy, waited: u64| {
        let mut shelf = Shelf { policy, ..Shelf::new() };
        shelf.put("", 200, &format!("Cache-Control: {control} | ETag: \"a\"")).unwrap();
        matches!(
            serve(&shelf.stored[0], &Asked::default(), &shelf.policy, None, at(NOW + waited)),
            Serve::StaleAndRefresh
        )
    };
    let none = Policy::default;
    let route = || Policy { stale_while_revalidate: 5, ..Policy::default() };
    assert!(served("max-age=2, stale-while-revalidate=10", none(), 2));
    assert!(served("max-age=2, stale-while-revalidate=10", none(), 11));
    assert!(!served("max-age=2, stale-while-revalidate=10", none(), 12));
    assert!(!served("max-age=2", none(), 3));
    assert!(served("max-age=2", route(), 6));
    assert!(!served("max-age=2", route(), 7));
    assert!(!served("max-age=2, must-revalidate", route(), 3));
    assert!(!served("max-age=2, s-maxage=2", route(), 3));
    assert!(served("s-maxage=2, stale-while-revalidate=10", route(), 3));
    assert!(!served("no-cache, stale-while-revalidate=10", route(), 0));
}

#[test]
fn a_soft_purge_makes_stale_from_then_on() {
    let shelf = Shelf::with("Cache-Control: max-age=600, stale-while-revalidate=10");
    let serve_at =
        |since, now| serve(&shelf.stored[0], &Asked::default(), &shelf.policy, Some(at(since)), at(now));
    assert_eq!(serve_at(NOW + 20, NOW + 20), Serve::StaleAndRefresh);
    assert_eq!(serve_at(NOW + 20, NOW + 29), Serve::StaleAndRefresh);
    assert!(matches!(
        serve_at(NOW + 20, NOW + 30),
        Serve::Validate { why: Why::Stale, if_error_until: Some(_) }
    ));
}

#[test]
fn must_revalidate_is_served_while_it_is_fresh() {
    let mut shelf = Shelf::with("Cache-Control: max-age=2, must-revalidate | ETag: \"abcd\"");
    assert_eq!(shelf.ask(""), CACHED);
    shelf.wait(3);
    assert_eq!(shelf.ask(""), VALIDATES("\"abcd\""));
}

#[test]
fn failures_are_those_of_the_origin_not_those_of_the_client() {
    for status in [500, 502, 503, 504] {
        assert!(is_failure(status));
    }
    for status in [200, 304, 404, 410, 429, 501, 505] {
        assert!(!is_failure(status));
    }
}

#[test]
fn the_reason_for_asking_is_that_of_the_response_before_that_of_the_request() {
    let why = |response: &str, waited: u64| {
        let shelf = Shelf::with(response);
        let asked = Asked::of(Method::Get, Lines::of(b"Cache-Control: no-cache\r\n"));
        match serve(&shelf.stored[0], &asked, &shelf.policy, None, at(NOW + waited)) {
            Serve::Validate { why, .. } => (why, Forwarded::from(why), why.to_string()),
            other => panic!("{response}: {other:?}"),
        }
    };
    let request = (Why::Request, Forwarded::Request, "the request demands a newer response".into());
    assert_eq!(why("Cache-Control: max-age=5", 0), request);
    assert_eq!(
        why("Cache-Control: max-age=5", 5),
        (Why::Stale, Forwarded::Stale, "the response is stale".into())
    );
    let no_cache = (Why::NoCache, Forwarded::Stale, "the response says `no-cache`".into());
    assert_eq!(why("Cache-Control: max-age=5, no-cache | ETag: \"a\"", 5), no_cache);
}
