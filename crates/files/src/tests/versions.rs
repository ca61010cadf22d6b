//! Conditional requests against files.

use super::*;

#[test]
fn a_client_that_has_the_version_hears_304_with_what_caches_need() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open_with(", cache_control = \"max-age=60\"");
    let first = get(&root, "/a.txt").seen();
    assert_eq!(first.header("cache-control"), Some("max-age=60"));
    let etag = first.header("etag").unwrap();
    for asked in [
        get(&root, "/a.txt").with("if-none-match", etag),
        get(&root, "/a.txt").with("if-none-match", "*").method("HEAD"),
        get(&root, "/a.txt").with("if-modified-since", WRITTEN_TEXT),
        get(&root, "/a.txt").with("if-none-match", etag).with("range", "bytes=0-0"),
    ] {
        let seen = asked.seen();
        assert_eq!((seen.status, seen.body.len(), seen.content_length), (304, 0, None));
        let names: Vec<&str> = seen.lines.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ETag", "Vary", "Cache-Control"]);
        assert_eq!(seen.header("etag"), Some(etag));
    }
}

#[test]
fn a_changed_file_is_sent_again() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    let etag = get(&root, "/a.txt").seen().header("etag").unwrap().to_owned();
    let asked = get(&root, "/a.txt").with("if-none-match", &etag).with("if-modified-since", WRITTEN_TEXT);
    assert_eq!(asked.status(), 304);
    world.write("a.txt", "HELLO").touch("a.txt", written() + Duration::from_nanos(1));
    assert_eq!(
        asked.seen().text(),
        "HELLO",
        "the tag knows nanoseconds, and the date beside it does not count"
    );
}

#[test]
fn a_file_put_in_place_of_another_has_another_tag_though_its_time_and_size_are_the_same() {
    let world = World::new();
    let root = world.write("a.txt", "hello").write("b.txt", "HELLO").open();
    let before = get(&root, "/a.txt").seen();
    std::fs::rename(world.path("b.txt"), world.path("a.txt")).unwrap();
    let after = get(&root, "/a.txt").seen();
    assert_eq!(before.header("last-modified"), after.header("last-modified"));
    assert_ne!(before.header("etag"), after.header("etag"));
}

#[test]
fn a_version_that_is_not_the_one_meant_is_412() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    let asked = get(&root, "/a.txt").with("if-match", "\"other\"");
    assert_eq!((asked.status(), asked.seen().body.len()), (412, 0));
    let asked = get(&root, "/a.txt").with("if-unmodified-since", "Sat, 05 Sep 2026 15:59:59 GMT");
    assert_eq!(asked.status(), 412);
    let etag = get(&root, "/a.txt").seen().header("etag").unwrap().to_owned();
    assert_eq!(get(&root, "/a.txt").with("if-match", &etag).status(), 200);
    // RFC 9110 §13.2.1: conditions are for what would have been a success.
    assert_eq!(get(&root, "/none.txt").with("if-match", "\"other\"").status(), 404);
    assert_eq!(get(&root, "/none.txt").with("if-none-match", "*").status(), 404);
}

#[test]
fn a_range_of_another_version_is_answered_by_the_whole() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    let etag = get(&root, "/a.txt").seen().header("etag").unwrap().to_owned();
    for (if_range, status) in [
        (etag.as_str(), 206),
        (WRITTEN_TEXT, 206),
        ("\"other\"", 200),
        ("Sat, 05 Sep 2026 16:00:01 GMT", 200),
    ] {
        let asked = get(&root, "/a.txt").with("range", "bytes=1-2").with("if-range", if_range);
        assert_eq!(asked.status(), status, "{if_range}");
    }
    let asked = get(&root, "/a.txt").with("range", "bytes=9-").with("if-range", "\"other\"");
    assert_eq!(asked.status(), 200, "a range that does not count is not unsatisfiable");
}

#[test]
fn a_file_that_was_just_written_has_a_weak_tag() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    let young = get(&root, "/a.txt").at(written()).seen().header("etag").unwrap().to_owned();
    assert!(young.starts_with("W/"));
    assert_eq!(get(&root, "/a.txt").with("if-none-match", &young).status(), 304, "for caches it is the same");
    let asked = get(&root, "/a.txt").with("range", "bytes=0-0").with("if-range", &young);
    assert_eq!(asked.status(), 200, "for ranges it is not");
}

#[test]
fn a_file_from_the_future_was_changed_now() {
    let world = World::new();
    let root = world.write("a.txt", "hello").touch("a.txt", now() + Duration::from_secs(9)).open();
    let seen = get(&root, "/a.txt").seen();
    assert_eq!(seen.header("last-modified"), Some(httpdate::fmt_http_date(now()).as_str()));
}
