//! Ranges of what is stored, whole and in part.

use super::*;

/// A shelf with a part.
fn part(response: &str) -> Shelf {
    let mut shelf = Shelf::new();
    shelf
        .put("Range: bytes=0-", 206, &format!("Cache-Control: max-age=3600 | Date: {{0}} | {response}"))
        .unwrap();
    shelf
}

fn one(range: std::ops::Range<u64>) -> Became {
    Became::Cached(Selected::One(range))
}

#[test]
fn a_whole_answers_every_range() {
    let shelf = Shelf::with("Cache-Control: max-age=3600 | Content-Length: 1000");
    for (range, expected) in [
        ("bytes=0-1", one(0..2)),
        ("bytes=1-", one(1..1000)),
        ("bytes=-1", one(999..1000)),
        ("bytes=1000-", Became::Cached(Selected::Unsatisfiable(1000))),
        ("bytes=0-1,500-501", Became::Cached(Selected::Many(vec![0..2, 500..502]))),
        ("bytes=0-1,5-6", one(0..7)),
        ("lines=0-1", CACHED),
        ("bytes=x", CACHED),
    ] {
        assert_eq!(shelf.ask(&format!("Range: {range}")), expected, "{range}");
    }
    assert_eq!(shelf.ask_by("HEAD", "Range: bytes=0-1"), CACHED);
    assert_eq!(
        Shelf::with("Cache-Control: max-age=3600").ask("Range: bytes=0-1"),
        CACHED,
        "its length is not known"
    );
}

#[test]
fn a_part_answers_what_lies_within_it() {
    let shelf = part("Content-Range: bytes 4-8/10 | Content-Length: 5");
    for (range, expected) in [
        ("bytes=4-8", one(4..9)),
        ("bytes=6-7", one(6..8)),
        ("bytes=-5", Became::Fetched),
        ("bytes=8-", Became::Fetched),
        ("bytes=3-5", Became::Fetched),
        ("bytes=10-", Became::Cached(Selected::Unsatisfiable(10))),
        ("lines=1", Became::Fetched),
    ] {
        assert_eq!(shelf.ask(&format!("Range: {range}")), expected, "{range}");
    }
    assert_eq!(shelf.ask(""), Became::Fetched);
    let to_the_end = part("Content-Range: bytes 5-9/10");
    assert_eq!(to_the_end.ask("Range: bytes=-5"), one(5..10));
    assert_eq!(to_the_end.ask("Range: bytes=-1"), one(9..10));
    assert_eq!(part("Content-Range: bytes 0-9/10").ask(""), CACHED, "a part that is all of it");
}

#[test]
fn a_part_that_contradicts_itself_is_not_stored() {
    for lines in [
        "",
        "Content-Range: bytes 4-9/10 | Content-Length: 5",
        "Content-Range: bytes 0-4/*",
        "Content-Range: bytes */10",
        "Content-Range: bytes 4-3/10",
        "Content-Range: bytes 5-10/10",
        "Content-Range: lines 0-4/10",
        "Content-Range: bytes 0-18446744073709551615/18446744073709551615",
        "Content-Type: multipart/byteranges; boundary=x",
    ] {
        let put = Shelf::new().put("Range: bytes=0-", 206, &format!("Cache-Control: max-age=60 | {lines}"));
        assert_eq!(put, Err(NotStored::Partial), "{lines}");
    }
}

#[test]
fn a_range_counts_if_it_is_of_this_version() {
    let shelf = Shelf::with(
        "Cache-Control: max-age=60 | Content-Length: 9 | ETag: \"a\" | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
    );
    for (condition, expected) in [
        ("\"a\"", one(0..1)),
        ("\"b\"", CACHED),
        ("W/\"a\"", CACHED),
        ("Sun, 06 Nov 1994 08:49:37 GMT", one(0..1)),
        ("Sun, 06 Nov 1994 08:49:38 GMT", CACHED),
        ("x", CACHED),
    ] {
        assert_eq!(shelf.ask(&format!("Range: bytes=0-0 | If-Range: {condition}")), expected, "{condition}");
    }
    let weak = Shelf::with("Cache-Control: max-age=60 | Content-Length: 9 | Last-Modified: {-5} | Date: {0}");
    assert_eq!(
        weak.ask("Range: bytes=0-0 | If-Range: {-5}"),
        CACHED,
        "a date that is too new is no strong validator"
    );
}

#[test]
fn a_part_that_is_all_of_it_is_kept_as_the_whole() {
    let stored = &part("Content-Range: bytes 0-9/10 | Content-Length: 10").stored[0];
    assert_eq!((stored.status, stored.range, stored.length), (200, None, Some(10)));
}

#[test]
fn parts_are_combined_where_they_are_of_one_version() {
    let stored = &part("Content-Range: bytes 10-19/40 | ETag: \"a\"").stored[0];
    let with = |status, lines: &str| {
        let lines = super::lines(lines, NOW);
        combined(stored, &Came::of(status, Lines::of(lines.as_bytes()), at(NOW)))
    };
    assert_eq!(with(206, "Content-Range: bytes 20-39/40 | ETag: \"a\""), Some(10..40));
    assert_eq!(with(206, "Content-Range: bytes 0-9/40 | ETag: \"a\" | Content-Length: 10"), Some(0..20));
    assert_eq!(with(206, "Content-Range: bytes 15-16/40 | ETag: \"a\""), Some(10..20));
    for (status, lines) in [
        (200, "Content-Range: bytes 20-39/40 | ETag: \"a\""),
        (206, "Content-Range: bytes 21-39/40 | ETag: \"a\""),
        (206, "Content-Range: bytes 20-39/41 | ETag: \"a\""),
        (206, "Content-Range: bytes 20-39/40 | ETag: \"b\""),
        (206, "Content-Range: bytes 20-39/40 | ETag: W/\"a\""),
        (206, "Content-Range: bytes 20-39/40"),
        (206, "Content-Range: bytes 20-39/40 | ETag: \"a\" | Content-Length: 19"),
        (206, "ETag: \"a\""),
    ] {
        assert_eq!(with(status, lines), None, "{status} {lines}");
    }
}

#[test]
fn a_content_range_is_written_as_it_is_read() {
    let range = ContentRange { start: 4, end: 9, whole: 10 };
    let mut out = Vec::new();
    range.write(&mut out);
    assert_eq!(out, b"Content-Range: bytes 4-8/10\r\n");
    assert_eq!(ContentRange::parse(b"bytes 4-8/10"), Some(range));
}
