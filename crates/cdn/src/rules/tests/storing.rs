//! What is stored, and which of its lines.

use super::*;

fn put(request: &str, status: u16, response: &str) -> Result<(), NotStored> {
    Shelf::new().put(request, status, response)
}

#[test]
fn what_forbids_to_store_is_obeyed_whatever_else_is_said() {
    for (response, expected) in [
        ("Cache-Control: private, max-age=3600", NotStored::Private),
        ("Cache-Control: public, private, max-age=3600", NotStored::Private),
        ("Cache-Control: no-store", NotStored::NoStore),
        ("Cache-Control: No-StOrE", NotStored::NoStore),
        ("Cache-Control: max-age=10000, no-store | Expires: {10000} | Date: {0}", NotStored::NoStore),
        ("Cache-Control: max-age=5 | Cache-Control: no-store", NotStored::NoStore),
        ("Cache-Control: max-age=3600 | Vary: *", NotStored::VariesByAll),
        ("Cache-Control: max-age=3600 | Vary: Foo, *", NotStored::VariesByAll),
        ("Cache-Control: max-age=10000, no-cache | Expires: {10000} | Date: {0}", NotStored::Stale),
        ("ETag: \"a\"", NotStored::NoFreshness),
        ("Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q | Cache-Control: max-age=5", NotStored::VariesByMany),
    ] {
        assert_eq!(put("", 200, response), Err(expected), "{response}");
    }
}

#[test]
fn no_cache_is_stored_to_be_confirmed() {
    for response in [
        "Cache-Control: no-cache | ETag: \"abcd\"",
        "Cache-Control: max-age=10000, no-cache | Expires: {10000} | Date: {0} | ETag: \"abcd\"",
    ] {
        let shelf = Shelf::with(response);
        assert_eq!(shelf.ask(""), Became::Validated("If-None-Match: \"abcd\"\r\n".into()), "{response}");
    }
}

#[test]
fn must_understand_is_obeyed_by_status() {
    assert_eq!(put("", 599, "Cache-Control: max-age=3600"), Ok(()));
    assert_eq!(put("", 599, "Cache-Control: max-age=3600, must-understand"), Err(NotStored::NotUnderstood));
    assert_eq!(put("", 200, "Cache-Control: max-age=3600, must-understand, no-store"), Ok(()));
    assert_eq!(
        put("", 599, "Cache-Control: max-age=3600, must-understand, no-store"),
        Err(NotStored::NotUnderstood)
    );
}

#[test]
fn what_an_authorized_request_got_is_shared_only_if_it_says_so() {
    for (control, expected) in [
        ("max-age=3600", Err(NotStored::Authorized)),
        ("max-age=3600, public", Ok(())),
        ("max-age=3600, must-revalidate", Ok(())),
        ("s-maxage=3600", Ok(())),
        ("max-age=3600, proxy-revalidate", Err(NotStored::Authorized)),
    ] {
        let response = format!("Cache-Control: {control} | Date: {{0}}");
        assert_eq!(put("Authorization: FOO", 200, &response), expected, "{control}");
    }
    assert_eq!(put("Authorization: FOO", 200, "Expires: {2592000} | Date: {0}"), Err(NotStored::Authorized));
    assert_eq!(put("Cookie: a=b", 200, "Cache-Control: max-age=3600"), Ok(()));
}

#[test]
fn a_cookie_is_stored_where_the_origin_says_for_how_long() {
    let with = |set_cookie, response: &str| {
        let mut shelf = Shelf {
            policy: Policy { set_cookie, ttl_default: Some(9), ..Policy::default() },
            ..Shelf::new()
        };
        shelf.put("", 200, response).map(|()| shelf.sent("set-cookie").is_some())
    };
    let (explicit, silent) = ("Cache-Control: max-age=3600 | Set-Cookie: a=b", "Set-Cookie: a=b");
    assert_eq!(with(SetCookie::Explicit, explicit), Ok(true));
    assert_eq!(with(SetCookie::Explicit, silent), Err(NotStored::SetCookie));
    assert_eq!(
        with(SetCookie::Explicit, "Set-Cookie: a=b | Last-Modified: {-86400}"),
        Err(NotStored::SetCookie)
    );
    assert_eq!(
        with(SetCookie::Explicit, "Set-Cookie: a=b | Cache-Control: max-age=0 | ETag: \"a\""),
        Err(NotStored::SetCookie)
    );
    assert_eq!(
        with(SetCookie::Explicit, "Set-Cookie: a=b | Cache-Control: no-cache, max-age=5 | ETag: \"a\""),
        Err(NotStored::SetCookie)
    );
    assert_eq!(
        with(SetCookie::Explicit, "Set-Cookie: a=b | Cache-Control: no-cache=\"set-cookie\""),
        Ok(false)
    );
    assert_eq!(with(SetCookie::Refuse, explicit), Err(NotStored::SetCookie));
    assert_eq!(with(SetCookie::Strip, explicit), Ok(false));
    assert_eq!(with(SetCookie::Strip, silent), Ok(false));
}

#[test]
fn only_what_get_gives_is_stored() {
    let by = |method: &str, status, response: &str| Shelf::new().put_by(method, "", status, response);
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "M-SEARCH"] {
        assert_eq!(by(method, 200, "Cache-Control: max-age=5"), Err(NotStored::Method), "{method}");
    }
    for status in [100, 103, 304, 412, 416, 428, 429, 431, 511] {
        assert_eq!(by("GET", status, "Cache-Control: max-age=5"), Err(NotStored::Status), "{status}");
    }
    assert_eq!(
        put("Cache-Control: no-store", 200, "Cache-Control: max-age=5"),
        Err(NotStored::RequestNoStore)
    );
}

#[test]
fn a_post_is_stored_where_it_says_that_it_is_what_get_gives() {
    let policy = Policy::default();
    let post = |response: &str| {
        let response = lines(response, NOW);
        let response = Lines::of(response.as_bytes());
        let target = crate::key::Target { scheme: b"http", host: b"a.test", path: b"/x", query: b"?y" };
        let asked = Asked { method: Method::Post, target: Some(target), ..Asked::default() };
        let came = Came::of(200, response.clone(), at(NOW));
        may_store(&asked, &Lines::of(b""), &came, response, &policy, Shelf::new().times()).map(|_| ())
    };
    assert_eq!(post("Expires: {2592000} | Date: {0} | Content-Location: /x?y"), Ok(()));
    assert_eq!(post("Expires: {2592000} | Date: {0} | Content-Location: http://A.test/x?y"), Ok(()));
    assert_eq!(post("Expires: {2592000} | Date: {0} | Content-Location: /x"), Err(NotStored::Method));
    assert_eq!(post("Expires: {2592000} | Date: {0}"), Err(NotStored::Method));
    assert_eq!(post("Last-Modified: {-86400} | Content-Location: /x?y"), Err(NotStored::Method));
}

#[test]
fn lines_of_the_connection_are_not_stored_and_all_others_are() {
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ] {
        let shelf = Shelf::with(&format!("Date: {{0}} | {name}: value | Cache-Control: max-age=3600"));
        assert_eq!(shelf.sent(name), None, "{name}");
    }
    for name in [
        "Cache-Status",
        "Test-Header",
        "X-Test-Header",
        "Content-Foo",
        "Content-Encoding",
        "Content-Location",
        "Content-MD5",
        "Content-Range",
        "Content-Security-Policy",
        "Content-Type",
        "Clear-Site-Data",
        "ETag",
        "Public-Key-Pins",
        "Set-Cookie",
        "Set-Cookie2",
        "X-Frame-Options",
        "X-XSS-Protection",
    ] {
        let shelf = Shelf::with(&format!("Date: {{0}} | {name}: value | Cache-Control: max-age=3600"));
        assert_eq!(shelf.sent(name).as_deref(), Some("value"), "{name}");
    }
    let shelf = Shelf::with("Content-Length: 10 | Cache-Control: max-age=3600");
    assert_eq!((shelf.stored[0].length, shelf.sent("content-length")), (Some(10), None));
}

#[test]
fn fields_that_are_named_not_to_be_stored_are_not() {
    let shelf = Shelf::with("Connection: a, b | a: 1 | b: 2 | c: 3 | Cache-Control: max-age=3600");
    assert_eq!([shelf.sent("a"), shelf.sent("b"), shelf.sent("c")], [None, None, Some("3".into())]);
    let shelf = Shelf::with(
        "Cache-Control: no-cache=\"a, b\", private=\"c\" | a: 1 | b: 2 | c: 3 | d: 4 | Expires: {60}",
    );
    assert_eq!(
        [shelf.sent("a"), shelf.sent("b"), shelf.sent("c"), shelf.sent("d")],
        [None, None, None, Some("4".into())]
    );
    assert_eq!(shelf.ask(""), CACHED);
}

#[test]
fn what_is_for_caches_goes_on_to_caches_alone() {
    let response = "Surrogate-Control: max-age=60 | CDN-Cache-Control: max-age=60 | Surrogate-Key: a b | Cache-Tag: c | xkey: d";
    let shelf = Shelf::with(response);
    for name in ["surrogate-control", "cdn-cache-control", "surrogate-key", "cache-tag", "xkey"] {
        assert_eq!(shelf.sent(name), None, "{name}");
    }
    assert_eq!(shelf.stored[0].tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let mut shield =
        Shelf { policy: Policy { is_control_passed: true, ..Policy::default() }, ..Shelf::new() };
    shield.put("", 200, response).unwrap();
    assert_eq!(shield.sent("surrogate-key").as_deref(), Some("a b"));
    assert!(shield.stored[0].unsent.is_empty());
}

#[test]
fn a_date_is_kept_or_that_of_the_arrival() {
    assert_eq!(Shelf::with("Cache-Control: max-age=60").sent("date"), Some(httpdate::fmt_http_date(at(NOW))));
    assert_eq!(
        Shelf::with("Cache-Control: max-age=60 | Date: {-5}").sent("date"),
        Some(httpdate::fmt_http_date(at(NOW - 5)))
    );
}

#[test]
fn responses_vary_by_what_the_route_says_beside_what_they_say() {
    let policy = Policy { vary: ["x-device".into()].into(), ..Policy::default() };
    let mut shelf = Shelf { policy, ..Shelf::new() };
    shelf.put("X-Device: phone | Foo: 1", 200, "Cache-Control: max-age=60 | Vary: foo").unwrap();
    assert_eq!(shelf.ask("X-Device: phone | Foo: 1"), CACHED);
    assert_eq!(shelf.ask("X-Device: tablet | Foo: 1"), Became::Fetched);
    assert_eq!(shelf.ask("X-Device: phone | Foo: 2"), Became::Fetched);
}

#[test]
fn variants_stand_beside_each_other() {
    let mut shelf = Shelf::new();
    for foo in ["1", "2"] {
        shelf
            .put(
                &format!("Foo: {foo}"),
                200,
                &format!("Cache-Control: max-age=60 | Vary: Foo | ETag: \"{foo}\""),
            )
            .unwrap();
    }
    assert_eq!(shelf.ask("Foo: 1"), CACHED);
    assert_eq!(shelf.ask("Foo: 2"), CACHED);
    assert_eq!(shelf.ask("Foo: 3"), Became::Validated("If-None-Match: \"1\", \"2\"\r\n".into()));
}

#[test]
fn a_reason_says_what_it_is() {
    assert_eq!(NotStored::Private.to_string(), "the response says `private`");
    assert_eq!(NotStored::Private.token(), "private");
    assert_eq!(
        NotStored::Tags.to_string(),
        format!("the response has more than {TAGS_MAX} tags, or one above {TAG_BYTES_MAX} bytes")
    );
    assert_eq!(
        NotStored::VariesByMany.to_string(),
        format!("the response varies by more than {VARY_MAX} fields")
    );
}
