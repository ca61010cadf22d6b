//! Precompressed siblings.

use super::*;
use encoding::Coding;

fn world() -> World {
    let world = World::new();
    world
        .write("app.js", "plain")
        .write("app.js.zst", "in zstd")
        .write("app.js.br", "in br")
        .write("app.js.gz", "in gzip");
    world
}

#[test]
fn the_sibling_that_the_client_likes_best_is_sent() {
    let world = world();
    let root = world.open();
    for (accepted, text, coding) in [
        ("gzip, deflate, br, zstd", "in zstd", Some("zstd")),
        ("gzip, br", "in br", Some("br")),
        ("gzip", "in gzip", Some("gzip")),
        ("br;q=0.5, gzip;q=0.9", "in gzip", Some("gzip")),
        ("deflate", "plain", None),
        ("identity, gzip;q=0.5", "plain", None),
        ("gzip;q=0", "plain", None),
    ] {
        let seen = get(&root, "/app.js").with("accept-encoding", accepted).seen();
        assert_eq!(
            (seen.status, seen.text(), seen.header("content-encoding")),
            (200, text, coding),
            "{accepted}"
        );
        assert_eq!(seen.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(seen.header("vary"), Some("Accept-Encoding"));
        assert_eq!(seen.content_length, Some(text.len() as u64));
    }
    let seen = get(&root, "/app.js").seen();
    assert_eq!((seen.text(), seen.header("vary")), ("plain", Some("Accept-Encoding")));
}

#[test]
fn the_next_best_is_sent_where_the_best_is_not_there() {
    let world = World::new();
    let root = world.write("a.js", "plain").write("a.js.gz", "in gzip").open();
    let seen = get(&root, "/a.js").with("accept-encoding", "zstd, br, gzip").seen();
    assert_eq!(seen.text(), "in gzip");
    let seen = get(&root, "/a.js").with("accept-encoding", "zstd, br").seen();
    assert_eq!((seen.text(), seen.header("content-encoding")), ("plain", None));
}

#[test]
fn each_representation_has_a_tag_of_its_own() {
    let world = world();
    let root = world.open();
    let tag = |accepted| {
        let seen = get(&root, "/app.js").with("accept-encoding", accepted).seen();
        seen.header("etag").unwrap().to_owned()
    };
    let tags = [tag("identity"), tag("zstd"), tag("br"), tag("gzip")];
    for (index, one) in tags.iter().enumerate() {
        assert!(!tags[..index].contains(one), "{tags:?}");
        let same = get(&root, "/app.js").with("accept-encoding", "br").with("if-none-match", one).seen();
        assert_eq!(same.status, if index == 2 { 304 } else { 200 });
        assert_eq!(same.header("vary"), Some("Accept-Encoding"), "a 304 says it as well");
    }
}

#[test]
fn a_sibling_older_than_its_file_is_left() {
    let world = world();
    let root = world.touch("app.js", written() + Duration::from_secs(1)).open();
    assert_eq!(get(&root, "/app.js").with("accept-encoding", "zstd, br, gzip").seen().text(), "plain");
    // Copies keep times by the second at times.
    world.touch("app.js", written() + Duration::from_millis(900));
    let later = now() + Duration::from_secs(2);
    assert_eq!(get(&root, "/app.js").with("accept-encoding", "br").at(later).seen().text(), "in br");
}

#[test]
fn a_sibling_that_is_new_is_seen_within_two_seconds() {
    let world = World::new();
    let root = world.write("a.js", "plain").open();
    let text = |secs| {
        let asked = get(&root, "/a.js").with("accept-encoding", "br").at(now() + Duration::from_secs(secs));
        asked.seen().text().to_owned()
    };
    assert_eq!(text(0), "plain");
    world.write("a.js.br", "in br");
    assert_eq!(text(0), "plain", "it was looked for a moment ago");
    assert_eq!(text(1), "plain", "asking again does not put it off");
    assert_eq!(text(2), "in br");
}

#[test]
fn a_sibling_alone_is_a_file_of_its_own() {
    let world = World::new();
    let root = world.write("a.js.br", "in br").write("b.tar.gz", "gz").open();
    assert_eq!(get(&root, "/a.js").with("accept-encoding", "br").status(), 404);
    let seen = get(&root, "/b.tar.gz").with("accept-encoding", "gzip").seen();
    assert_eq!(
        (seen.header("content-type"), seen.header("content-encoding")),
        (Some("application/gzip"), None)
    );
}

#[test]
fn siblings_out_of_the_folder_or_of_another_kind_are_left() {
    let world = World::new();
    std::fs::write(world.outside.path().join("secret"), "secret").unwrap();
    let root = world.write("a.js", "plain").link("a.js.br", "../secret").folder("a.js.gz").open();
    let seen = get(&root, "/a.js").with("accept-encoding", "br, gzip").seen();
    assert_eq!((seen.status, seen.text()), (200, "plain"));
}

#[test]
fn ranges_are_of_the_coded_bytes() {
    let world = world();
    let root = world.open();
    let asked = get(&root, "/app.js").with("accept-encoding", "gzip").with("range", "bytes=3-");
    let seen = asked.seen();
    assert_eq!((seen.status, seen.text()), (206, "gzip"));
    assert_eq!(seen.header("content-range"), Some("bytes 3-6/7"));
    assert_eq!(seen.header("content-encoding"), Some("gzip"));
}

#[test]
fn several_ranges_of_a_coding_are_answered_by_the_whole() {
    let world = World::new();
    let root = world.write("a.js", "plain").write("a.js.gz", vec![7; 5000]).open();
    let seen =
        get(&root, "/a.js").with("accept-encoding", "gzip").with("range", "bytes=0-0,4000-4000").seen();
    assert_eq!((seen.status, seen.body.len()), (200, 5000));
}

#[test]
fn what_is_compressed_inside_has_no_siblings() {
    let world = World::new();
    let root = world.write("a.png", "plain").write("a.png.gz", "in gzip").open();
    let seen = get(&root, "/a.png").with("accept-encoding", "gzip").seen();
    assert_eq!((seen.text(), seen.header("vary")), ("plain", None));
}

#[test]
fn siblings_can_be_switched_off() {
    let world = world();
    let root = world.open_with(", precompressed = false");
    let seen = get(&root, "/app.js").with("accept-encoding", "gzip").seen();
    assert_eq!((seen.text(), seen.header("vary")), ("plain", None));
}

#[test]
fn who_compresses_on_the_way_is_told_what_it_is() {
    let world = World::new();
    let root = world.write("a.js", "plain").write("b.js", "plain").write("b.js.br", "in br").open();
    let plain = get(&root, "/a.js").with("accept-encoding", "br").answer();
    let representation = plain.representation.unwrap();
    assert_eq!(&*representation.content_type, "text/javascript; charset=utf-8");
    assert_eq!((representation.coding, representation.is_vary_said), (None, true));
    let etag = &plain.lines[representation.etag.unwrap()];
    assert!(etag.starts_with(b"\"") && etag.ends_with(b"\"") && etag.len() > 2);
    let coded = get(&root, "/b.js").with("accept-encoding", "br").answer();
    assert_eq!(coded.representation.unwrap().coding, Some(Coding::Br));
    let etag = String::from_utf8(etag.to_vec()).unwrap();
    let same = get(&root, "/a.js").with("if-none-match", &etag).answer();
    assert_eq!(same.status, 304);
    assert_eq!(&*same.representation.unwrap().content_type, "text/javascript; charset=utf-8");
    assert!(get(&root, "/none.js").answer().representation.is_none());
}
