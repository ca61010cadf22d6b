//! Conditions of clients against what is stored.

use super::*;

#[test]
fn a_client_that_has_this_version_gets_304() {
    let tagged =
        |etag: &str| format!("Expires: {{100000}} | Last-Modified: {{-5000}} | Date: {{0}} | ETag: {etag}");
    for (etag, condition, expected) in [
        ("\"abcdef\"", "If-None-Match: \"abcdef\"", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: *", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: W/\"abcdef\"", NOT_MODIFIED),
        ("W/\"abcdef\"", "If-None-Match: W/\"abcdef\"", NOT_MODIFIED),
        ("W/\"abcdef\"", "If-None-Match: \"abcdef\"", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: \"abcdef\", \"1234\", \"5678\"", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: \"1234\", \"abcdef\", \"5678\"", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: \"1234\" | If-None-Match: \"5678\", \"abcdef\"", NOT_MODIFIED),
        ("\"a,b\"", "If-None-Match: \"1\", \"a,b\"", NOT_MODIFIED),
        ("\"abcdef\u{fc}\"", "If-None-Match: \"abcdef\u{fc}\"", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: abcdef", NOT_MODIFIED),
        ("abcdef", "If-None-Match: abcdef", NOT_MODIFIED),
        ("abcdef", "If-None-Match: \"abcdef\"", NOT_MODIFIED),
        ("w/\"abcdef\"", "If-None-Match: w/\"abcdef\"", NOT_MODIFIED),
        ("W\"abcdef\"", "If-None-Match: W\"abcdef\"", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: \"1234\"", CACHED),
        ("\"abcdef\"", "If-None-Match: \"abcdef\" | If-Modified-Since: {-9000}", NOT_MODIFIED),
        ("\"abcdef\"", "If-None-Match: \"1234\" | If-Modified-Since: {0}", CACHED),
        ("\"abcdef\"", "If-Modified-Since: {-5000}", NOT_MODIFIED),
        ("\"abcdef\"", "If-Modified-Since: {-5001}", CACHED),
        ("\"abcdef\"", "If-Modified-Since: yesterday", CACHED),
    ] {
        assert_eq!(Shelf::with(&tagged(etag)).ask(condition), expected, "{etag}: {condition}");
    }
}

#[test]
fn what_has_no_date_of_change_is_as_new_as_its_date() {
    let shelf = Shelf::with("Cache-Control: max-age=10000 | Date: {-100}");
    assert_eq!(shelf.ask("If-Modified-Since: {-100}"), NOT_MODIFIED);
    assert_eq!(shelf.ask("If-Modified-Since: {-3000}"), CACHED);
    let mut dated =
        Shelf::with("Cache-Control: max-age=10000 | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT");
    dated.wait(5);
    assert_eq!(dated.ask("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"), NOT_MODIFIED);
}

#[test]
fn conditions_are_of_successes_alone() {
    let mut shelf = Shelf::new();
    shelf.put("", 404, "Cache-Control: max-age=60 | ETag: \"a\"").unwrap();
    assert_eq!(shelf.ask("If-None-Match: \"a\""), CACHED);
}

#[test]
fn conditions_on_the_origins_state_are_the_origins() {
    let shelf = Shelf::with("Cache-Control: max-age=60 | ETag: \"a\"");
    assert_eq!(shelf.ask("If-Match: \"a\""), Became::Fetched);
    assert_eq!(shelf.ask("If-Unmodified-Since: {0}"), Became::Fetched);
}

#[test]
fn a_304_says_what_caches_need_and_nothing_of_the_body() {
    let written = |response: &str| {
        let mut out = Vec::new();
        write_not_modified(&Shelf::with(response).stored[0], &mut out);
        String::from_utf8(out).unwrap()
    };
    let response = "ETag: \"a\" | Content-Type: text/plain | Cache-Control: max-age=5 | Last-Modified: {-9} | Vary: Foo | Content-Location: /x";
    let date = httpdate::fmt_http_date(at(NOW));
    let expected = format!(
        "ETag: \"a\"\r\nCache-Control: max-age=5\r\nVary: Foo\r\nContent-Location: /x\r\nDate: {date}\r\n"
    );
    assert_eq!(written(response), expected);
    assert!(written("Cache-Control: max-age=5 | Last-Modified: {-9}").contains("Last-Modified"));
}
