//! For how long responses are fresh.

use super::*;

/// Whether a response is served from the store three seconds after it came.
#[track_caller]
fn check(status: u16, response: &str, is_cached: bool) {
    let mut shelf = Shelf::new();
    let put = shelf.put("", status, response);
    shelf.wait(3);
    let became = shelf.ask("");
    assert_eq!(became == CACHED, is_cached, "{status} {response}: {put:?}, {became:?}");
}

#[test]
fn max_age_counts_before_expires_and_s_maxage_before_both() {
    for (response, is_cached) in [
        ("", false),
        ("Cache-Control: max-age=3600", true),
        ("Cache-Control: max-age=0", false),
        ("Cache-Control: max-age=2147483648", true),
        ("Cache-Control: max-age=99999999999", true),
        ("Cache-Control: max-age=-3600", false),
        ("Date: {0} | Cache-Control: max-age=3600 | Age: 7200", false),
        ("Date: {-7200} | Cache-Control: max-age=3600", false),
        ("Date: {7200} | Cache-Control: max-age=3600", true),
        ("Cache-Control: max-age=3600 | Expires: {-7200} | Date: {0}", true),
        ("Cache-Control: max-age=3600 | Expires: 0 | Date: {0}", true),
        ("Cache-Control: max-age=0 | Expires: {3600} | Date: {0}", false),
        ("Cache-Control: s-maxage=3600", true),
        ("Cache-Control: max-age=3600, s-maxage=1", false),
        ("Cache-Control: s-maxage=1, max-age=3600", false),
        ("Cache-Control: max-age=3600 | Cache-Control: s-maxage=1", false),
        ("Cache-Control: max-age=1, s-maxage=3600", true),
        ("Cache-Control: max-age=0, s-maxage=3600 | Expires: {-10}", true),
        ("Cache-Control: max-age='3600'", false),
        ("Cache-Control: max-age=3600.0", false),
    ] {
        check(200, response, is_cached);
    }
}

#[test]
fn expires_counts_from_the_date_on() {
    for (response, is_cached) in [
        ("Expires: {2592000} | Date: {0}", true),
        ("Expires: {-2592000} | Date: {0}", false),
        ("Expires: {0} | Date: {0}", false),
        ("Expires: {300} | Date: {400}", false),
        ("Expires: 0 | Date: {0}", false),
        ("Date: foo | Expires: {10}", true),
        ("Expires: {10}", true),
        ("Date: {-10} | Expires: {10} | Age: 25", false),
        ("Date: {10} | Expires: {20} | Age: 15", false),
        ("Expires: Thursday, 18-Aug-50 02:01:18 GMT | Date: {0}", true),
        ("Expires: Thu Aug  8 02:01:18 2050 | Date: {0}", true),
        ("Expires: THU, 18 AUG 2050 02:01:18 gmt | Date: {0}", true),
        ("Expires: Thu, 18 Aug 2050 02:01:18 AEST | Date: {0}", false),
    ] {
        check(200, response, is_cached);
    }
}

#[test]
fn an_age_that_nobody_knows_is_too_great() {
    for age in [
        "abc",
        "-7200",
        "7200.0",
        "7200,0",
        "0, 0",
        "3600, 3600",
        "7200;foo=bar",
        "0 | Age: 7200",
        "0 | Age: 0",
    ] {
        check(200, &format!("Date: {{0}} | Cache-Control: max-age=10000 | Age: {age}"), age == "7200,0");
        check(200, &format!("Date: {{0}} | Cache-Control: max-age=3600 | Age: {age}"), false);
    }
    check(200, "Date: {0} | Cache-Control: max-age=3600 | Age: 0,7200", true);
}

#[test]
fn surrogate_control_counts_before_cache_control() {
    for (response, is_cached) in [
        ("Surrogate-Control: max-age=3600", true),
        ("Surrogate-Control: max-age=3600;nines", true),
        ("Surrogate-Control: max-age=3600;not-for-you | Date: {0} | Age: 7200", false),
        ("Surrogate-Control: max-age=3600 | Date: {0} | Age: 7200", false),
        ("Surrogate-Control: max-age=0", false),
        ("Surrogate-Control: max-age=3600 | Expires: {-10000} | Date: {0}", true),
        ("Surrogate-Control: max-age=3600 | Expires: 0 | Date: {0}", true),
        ("Surrogate-Control: max-age=0 | Expires: {10000} | Date: {0}", false),
        ("Cache-Control: max-age=1 | Surrogate-Control: max-age=3600", true),
        ("Cache-Control: max-age=3600 | Surrogate-Control: max-age=1", false),
        ("Surrogate-Control: no-store", false),
        ("Cache-Control: max-age=10000 | Surrogate-Control: no-store | Expires: {10000} | Date: {0}", false),
        ("Cache-Control: no-store | Surrogate-Control: max-age=10000;nines", true),
        ("Cache-Control: max-age=10000 | Surrogate-Control: foo", true),
        ("Cache-Control: no-store | CDN-Cache-Control: max-age=60", true),
        ("Cache-Control: max-age=60 | CDN-Cache-Control: no-store", false),
        ("Cache-Control: max-age=60 | CDN-Cache-Control: no store", true),
    ] {
        check(200, response, is_cached);
    }
}

#[test]
fn freshness_is_guessed_for_statuses_that_allow_it_and_for_what_is_public() {
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        check(status, "Last-Modified: {-86400} | Date: {0}", true);
    }
    for status in [201, 202, 302, 307, 400, 403, 500, 502, 503, 504, 599] {
        check(status, "Last-Modified: {-86400} | Date: {0}", false);
    }
    check(599, "Last-Modified: {-86400} | Date: {0} | Cache-Control: public", true);
    check(200, "Last-Modified: {-29} | Date: {0}", false);
    check(200, "Last-Modified: {-40} | Date: {0}", true);
    check(200, "Last-Modified: {-86400} | Date: {0} | Cache-Control: max-age=0", false);
}

#[test]
fn a_guess_has_a_greatest_time_and_may_be_forbidden() {
    let lifetime = |policy: Policy| {
        let mut shelf = Shelf { policy, ..Shelf::new() };
        shelf.put("", 200, "Last-Modified: {-100000000} | Date: {0}").map(|()| shelf.stored[0].lifetime)
    };
    assert_eq!(lifetime(Policy::default()), Ok(86_400));
    assert_eq!(lifetime(Policy { heuristic_max: 60, ..Policy::default() }), Ok(60));
    assert_eq!(lifetime(Policy { heuristic_permille: 0, ..Policy::default() }), Err(NotStored::NoFreshness));
}

#[test]
fn any_status_is_fresh_for_as_long_as_it_says() {
    for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        check(status, "Expires: {100000} | Last-Modified: {0} | Date: {0}", true);
        check(status, "Expires: {-5000} | Last-Modified: {-100000} | Date: {0}", false);
    }
}

#[test]
fn a_route_has_the_last_word_on_time() {
    let lifetime = |policy: &Policy, status, response| {
        let mut shelf = Shelf { policy: policy.clone(), ..Shelf::new() };
        shelf.put("", status, response).map(|()| shelf.stored[0].lifetime)
    };
    let ttl = Policy { ttl: Some(30), ..Policy::default() };
    assert_eq!(lifetime(&ttl, 200, ""), Ok(30));
    assert_eq!(lifetime(&ttl, 200, "Cache-Control: max-age=0"), Ok(30));
    assert_eq!(lifetime(&ttl, 200, "Cache-Control: max-age=600"), Ok(30));
    assert_eq!(lifetime(&ttl, 200, "Cache-Control: no-store"), Err(NotStored::NoStore));
    assert_eq!(lifetime(&ttl, 200, "Cache-Control: private"), Err(NotStored::Private));
    assert_eq!(lifetime(&ttl, 404, ""), Err(NotStored::NoFreshness));
    assert_eq!(lifetime(&ttl, 302, ""), Err(NotStored::NoFreshness));
    let default = Policy { ttl_default: Some(30), negative_ttl: Some(5), ..Policy::default() };
    assert_eq!(lifetime(&default, 200, ""), Ok(30));
    assert_eq!(lifetime(&default, 200, "Cache-Control: max-age=7"), Ok(7));
    assert_eq!(lifetime(&default, 404, ""), Ok(5));
    assert_eq!(lifetime(&default, 404, "Cache-Control: max-age=7"), Ok(7));
    assert_eq!(lifetime(&default, 500, ""), Err(NotStored::NoFreshness));
    let bounds = Policy { ttl_min: 10, ttl_max: 20, ..Policy::default() };
    assert_eq!(lifetime(&bounds, 200, "Cache-Control: max-age=1"), Ok(10));
    assert_eq!(lifetime(&bounds, 200, "Cache-Control: max-age=100"), Ok(20));
    assert_eq!(lifetime(&bounds, 200, ""), Err(NotStored::NoFreshness));
}

#[test]
fn age_counts_what_came_with_it_the_exchange_and_the_stay() {
    let mut shelf = Shelf::new();
    let response = lines("Cache-Control: max-age=600 | Date: {0} | Age: 30", NOW);
    let response = Lines::of(response.as_bytes());
    let times = Times { requested: at(NOW), received: at(NOW + 4) };
    let came = Came::of(200, response.clone(), at(NOW + 4));
    let asked = Asked::default();
    let stored = may_store(&asked, &Lines::of(b""), &came, response, &shelf.policy, times).unwrap();
    assert_eq!(stored.age(at(NOW + 4)), 34);
    assert_eq!(stored.age(at(NOW + 14)), 44);
    assert_eq!(stored.age(at(NOW - 100)), 34, "a clock that went back makes nothing younger");
    assert_eq!(stored.ttl(at(NOW + 14)), 556);
    shelf.stored.push(stored);
    assert_eq!(shelf.sent("age"), None);
}
