//! Where lifetimes come from, in words.

use super::*;

fn told(policy: Policy, status: u16, response: &str) -> String {
    let mut shelf = Shelf { policy, ..Shelf::new() };
    shelf.put("", status, response).unwrap_or_else(|reason| panic!("{response}: {reason}"));
    lifetime_by(&shelf.stored[0], &shelf.policy)
}

#[test]
fn a_lifetime_is_told_by_what_said_it() {
    let route = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        policy
    };
    let plain = Policy::default;
    for (policy, status, response, expected) in [
        (plain(), 200, "Cache-Control: max-age=60", "`Cache-Control: max-age=60`"),
        (plain(), 200, "Cache-Control: max-age=60, s-maxage=7", "`Cache-Control: s-maxage=7`"),
        (
            plain(),
            200,
            "CDN-Cache-Control: max-age=9 | Cache-Control: max-age=60",
            "`CDN-Cache-Control: max-age=9`",
        ),
        (plain(), 200, "Surrogate-Control: max-age=9", "`Surrogate-Control: max-age=9`"),
        (plain(), 200, "Expires: {60} | Date: {0}", "`Expires` (RFC 9111 §5.3)"),
        (
            plain(),
            200,
            "Last-Modified: {-1728000} | Date: {0}",
            "a guess, 10% of the 20d since `Last-Modified`, at most 1d (RFC 9111 §4.2.2)",
        ),
        (
            plain(),
            200,
            "Last-Modified: {-86400} | Date: {0}",
            "a guess, 10% of the 1d since `Last-Modified` (RFC 9111 §4.2.2)",
        ),
        (plain(), 200, "Cache-Control: no-cache | ETag: \"a\"", "nobody: each use is confirmed"),
        (route(|policy| policy.ttl = Some(5)), 200, "Cache-Control: max-age=60", "the route's `ttl`"),
        (route(|policy| policy.ttl_default = Some(5)), 200, "", "the route's `ttl_default`"),
        (route(|policy| policy.negative_ttl = Some(5)), 404, "", "the route's `negative_ttl`"),
        (
            route(|policy| policy.ttl_min = 90),
            200,
            "Cache-Control: max-age=60",
            "`Cache-Control: max-age=60`, raised by the route's `ttl_min`",
        ),
        (
            route(|policy| policy.ttl_max = 30),
            200,
            "Cache-Control: max-age=60",
            "`Cache-Control: max-age=60`, cut by `ttl_max`",
        ),
    ] {
        assert_eq!(told(policy, status, response), expected, "{response}");
    }
}

#[test]
fn a_route_that_has_changed_since_is_told_as_such() {
    let shelf = Shelf::with("Cache-Control: max-age=60");
    let policy = Policy { ttl: Some(7), ..Policy::default() };
    let expected = "what held when it came; by now it would be 7s: the route's `ttl`";
    assert_eq!(lifetime_by(&shelf.stored[0], &policy), expected);
}
