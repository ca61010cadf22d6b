//! What holds of any head.

use super::*;
use proptest::prelude::*;

/// A line that caches read, with a value that may be malformed.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Cache-Control",
        "CDN-Cache-Control",
        "Surrogate-Control",
        "Age",
        "Date",
        "Expires",
        "ETag",
        "Last-Modified",
        "Vary",
        "Connection",
        "Content-Range",
        "Content-Length",
        "Range",
        "If-Range",
        "If-None-Match",
        "If-Modified-Since",
        "Accept-Encoding",
        "Accept-Language",
        "Surrogate-Key",
        "Set-Cookie",
        "Foo",
    ]);
    let word = prop::sample::select(vec![
        "max-age=60",
        "s-maxage=5",
        "no-cache",
        "no-cache=\"foo\"",
        "private",
        "public",
        "must-revalidate",
        "stale-while-revalidate=9",
        "stale-if-error=9",
        "max-stale",
        "only-if-cached",
        "min-fresh=7",
        "*",
        "foo",
        "accept-encoding",
        "accept-language",
        "bytes 2-5/9",
        "bytes=0-3",
        "bytes=-4",
        "\"a\"",
        "W/\"a\"",
        "gzip;q=0.5",
        "de",
        "0",
        "4",
        "\"",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT",
    ]);
    (name, prop::collection::vec(word, 0..4))
        .prop_map(|(name, words)| format!("{name}: {}\r\n", words.join(", ")))
}

fn head() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..9).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_stored_is_served_within_its_bounds(request in head(), response in head(), status in prop::sample::select(vec![200u16, 204, 206, 301, 404, 500]), waited in 0u64..200) {
        let (request, response) = (Lines::of(request.as_bytes()), Lines::of(response.as_bytes()));
        let policy = Policy { ttl_default: Some(60), stale_while_revalidate: 20, ..Policy::default() };
        let asked = Asked::of(Method::Get, request.clone());
        let came = Came::of(status, response.clone(), at(NOW));
        let times = Times { requested: at(NOW), received: at(NOW) };
        let Ok(stored) = may_store(&asked, &request, &came, response.clone(), &policy, times) else { return Ok(()) };
        prop_assert!(!came.control.private && !came.varies_by_all);
        prop_assert_eq!(chosen([&stored], &request), Some(&stored));
        let now = at(NOW + waited);
        let ttl = stored.ttl(now);
        match serve(&stored, &asked, &policy, None, now) {
            Serve::Fresh => prop_assert!(ttl > 0 && !stored.no_cache),
            Serve::StaleAndRefresh => prop_assert!(ttl <= 0 && -ttl < i64::from(stored.stale_while_revalidate) && !stored.must_revalidate),
            Serve::StaleAsAsked => prop_assert!(ttl <= 0 && !stored.must_revalidate && asked.control.max_stale.is_some()),
            Serve::Validate { if_error_until, .. } => prop_assert!(if_error_until.is_none_or(|until| until > now && !stored.no_cache)),
            Serve::Unavailable => prop_assert!(asked.control.only_if_cached),
        }
        if let Selected::One(range) = select(&stored, &asked) {
            let (first, end) = stored.range.unwrap_or((0, stored.length.unwrap_or(0)));
            prop_assert!(first <= range.start && range.start < range.end && range.end <= end);
        }
        if let Ok(again) = freshened(&stored, &asked, &request, &came, response, &policy, times) {
            prop_assert_eq!((again.status, again.length, again.range, again.lifetime), (stored.status, stored.length, stored.range, stored.lifetime));
            prop_assert_eq!(again.tags, stored.tags);
            prop_assert_eq!(again.vary, stored.vary);
        }
    }
}
