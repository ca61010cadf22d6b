//! What a 304, or a HEAD, changes.

use super::*;

#[track_caller]
fn check(name: &str, was: &str, came: &str, expected: &str) {
    let control = if name == "Cache-Control" { "" } else { "Cache-Control: max-age=2 |" };
    let etag = if name == "ETag" { "" } else { "ETag: \"abc\" |" };
    let mut shelf = Shelf::with(&format!("Date: {{0}} | {control} {etag} {name}: {was}"));
    shelf.wait(3);
    assert!(matches!(shelf.ask(""), Became::Validated(_)), "{name}");
    shelf.freshen("", &format!("Date: {{0}} | {control} {etag} {name}: {came}")).unwrap();
    assert_eq!(shelf.sent(name).as_deref(), Some(expected), "{name}");
    assert_eq!(shelf.ask(""), CACHED, "{name}");
}

#[test]
fn fields_that_came_replace_those_that_are_stored() {
    check("Cache-Control", "max-age=1", "max-age=3600", "max-age=3600");
    check(
        "Expires",
        "Fri, 01 Jan 2038 01:01:01 GMT",
        "Mon, 11 Jan 2038 11:11:11 GMT",
        "Mon, 11 Jan 2038 11:11:11 GMT",
    );
    check("Set-Cookie", "a=b", "a=c", "a=c");
    for name in [
        "Test-Header",
        "X-Test-Header",
        "Content-Foo",
        "X-Content-Foo",
        "Content-Location",
        "Content-Security-Policy",
        "Content-Type",
        "Clear-Site-Data",
        "Public-Key-Pins",
        "Set-Cookie2",
        "X-Frame-Options",
        "X-XSS-Protection",
    ] {
        check(name, "one", "other", "other");
    }
}

#[test]
fn fields_of_the_body_stay_with_it() {
    for name in ["Content-Encoding", "Content-MD5", "Content-Range"] {
        check(name, "one", "other", "one");
    }
    check("ETag", "\"abcdef\"", "\"ghijkl\"", "\"abcdef\"");
    let mut shelf = Shelf::with("Cache-Control: max-age=2 | ETag: \"a\" | Content-Length: 5");
    shelf.freshen("", "ETag: \"a\" | Content-Length: 10 | Cache-Control: max-age=2").unwrap();
    assert_eq!(shelf.stored[0].length, Some(5));
}

#[test]
fn fields_that_did_not_come_stay_and_the_date_moves_on() {
    let mut shelf = Shelf::with(
        "Cache-Control: max-age=2 | Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT | Date: {0} | Test-Header: A",
    );
    shelf.wait(3);
    shelf.freshen("", "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT").unwrap();
    assert_eq!(shelf.sent("test-header").as_deref(), Some("A"));
    assert_eq!(shelf.sent("date"), Some(httpdate::fmt_http_date(at(NOW + 3))));
    assert_eq!(shelf.stored[0].age(at(NOW + 3)), 0);
    assert_eq!(shelf.ask(""), CACHED);
}

#[test]
fn an_age_that_comes_with_a_304_counts() {
    let mut shelf = Shelf::with("Cache-Control: max-age=20 | ETag: \"a\"");
    shelf.wait(30);
    shelf.freshen("", "Age: 15").unwrap();
    assert_eq!(shelf.stored[0].age(at(shelf.now + 1)), 16);
}

#[test]
fn what_is_for_this_cache_alone_outlives_a_304() {
    let mut shelf =
        Shelf::with("Cache-Control: no-store | Surrogate-Control: max-age=60 | xkey: a | ETag: \"a\"");
    shelf.wait(70);
    shelf.freshen("", "ETag: \"a\"").unwrap();
    assert_eq!((shelf.stored[0].lifetime, &*shelf.stored[0].tags[0]), (60, "a"));
    assert_eq!(shelf.ask(""), CACHED);
}

#[test]
fn a_304_may_end_the_storing() {
    let mut shelf = Shelf::with("Cache-Control: max-age=2 | ETag: \"a\" | A: 1");
    assert_eq!(shelf.freshen("", "Cache-Control: private"), Err(NotStored::Private));
    let response = b"Cache-Control: private\r\nB: 2\r\nConnection: c\r\nC: 3\r\n";
    let came = Came::of(304, Lines::of(response), at(NOW));
    let lines = merged_lines(&shelf.stored[0], &came, Lines::of(response), &shelf.policy);
    assert_eq!(
        String::from_utf8(lines).unwrap(),
        "ETag: \"a\"\r\nA: 1\r\nCache-Control: private\r\nB: 2\r\n"
    );
}

#[test]
fn a_304_is_about_the_variant_that_it_names() {
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
    let named =
        |lines: &'static str| confirmed(&shelf.stored, &Came::of(304, Lines::of(lines.as_bytes()), at(NOW)));
    assert_eq!(named("ETag: \"2\"\r\n"), Some(&shelf.stored[1]));
    assert_eq!(named("ETag: W/\"1\"\r\n"), Some(&shelf.stored[0]));
    assert_eq!(named("ETag: \"3\"\r\n"), None);
    assert_eq!(named(""), None);
    shelf.freshen("Foo: 3", "ETag: \"2\"").unwrap();
    assert_eq!(shelf.ask("Foo: 3"), CACHED, "it answers the request that it was confirmed for");
}

fn head(shelf: &Shelf, status: u16, response: &str) -> HeadSays {
    let response = lines(response, shelf.now);
    let response = Lines::of(response.as_bytes());
    let asked = Asked { method: Method::Head, ..Asked::default() };
    let came = Came::of(status, response.clone(), at(shelf.now));
    head_says(&shelf.stored[0], &asked, &Lines::of(b""), &came, response, &shelf.policy, shelf.times())
}

#[test]
fn a_head_freshens_what_is_the_same() {
    let mut shelf = Shelf::with("Cache-Control: max-age=2 | Template-A: 1 | Content-Length: 5 | ETag: \"a\"");
    shelf.wait(3);
    let HeadSays::Same(stored) =
        head(&shelf, 200, "Cache-Control: max-age=1000 | Template-A: 2 | Content-Length: 5 | ETag: \"a\"")
    else {
        panic!("it is the same")
    };
    shelf.stored[0] = *stored;
    assert_eq!(shelf.sent("template-a").as_deref(), Some("2"));
    assert_eq!(shelf.ask(""), CACHED);
}

#[test]
fn a_head_tells_that_what_is_stored_has_changed() {
    let shelf =
        Shelf::with("Cache-Control: max-age=60 | Content-Length: 5 | ETag: \"a\" | Last-Modified: {-900}");
    for response in ["Content-Length: 6", "ETag: \"b\"", "Last-Modified: {-800}", "Cache-Control: no-store"] {
        assert_eq!(head(&shelf, 200, response), HeadSays::Changed, "{response}");
    }
    // It may be of another version, of the same length.
    assert_eq!(head(&shelf, 200, "Content-Length: 5"), HeadSays::Nothing);
    assert_eq!(head(&shelf, 410, "Cache-Control: max-age=1000"), HeadSays::Nothing);
}

#[test]
fn a_head_is_answered_by_what_get_gave() {
    assert_eq!(Shelf::with("Cache-Control: max-age=60").ask_by("HEAD", ""), CACHED);
}
