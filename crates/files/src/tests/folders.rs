//! Paths of folders: slash, index, listing, fallback.

use super::*;

#[test]
fn a_folder_shows_the_first_index_it_has() {
    let world = World::new();
    world.write("a/index.html", "html").write("b/index.txt", "txt").write("c/index.html", "html");
    let root = world.write("c/index.txt", "txt").open_with(", index = [\"index.txt\", \"index.html\"]");
    for (path, text, content_type) in [
        ("/a/", "html", "text/html; charset=utf-8"),
        ("/b/", "txt", "text/plain; charset=utf-8"),
        ("/c/", "txt", "text/plain; charset=utf-8"),
    ] {
        let seen = get(&root, path).seen();
        assert_eq!((seen.text(), seen.header("content-type")), (text, Some(content_type)), "{path}");
    }
    assert_eq!(get(&root, "/").status(), 404);
    world.write("index.html", "home");
    assert_eq!(get(&root, "/").seen().text(), "home");
}

#[test]
fn a_folder_without_its_slash_is_sent_to_it_with_the_query() {
    let world = World::new();
    let root = world.write("a b/index.html", "html").folder("bare").open();
    let mut asked = get(&root, "/a%20b?x=1&y=%20");
    assert_eq!(asked.seen().header("location"), Some("/a%20b/?x=1&y=%20"));
    assert_eq!((asked.status(), asked.seen().content_length), (308, Some(0)));
    asked.request.url_path = Cow::Borrowed(b"/docs/a%20b");
    assert_eq!(asked.seen().header("location"), Some("/docs/a%20b/?x=1&y=%20"));
    assert_eq!(
        get(&root, "/bare").status(),
        404,
        "where the slash leads nowhere, neither does the way to it"
    );
}

#[test]
fn a_redirect_cannot_leave_its_host_or_its_line() {
    let world = World::new();
    let root = world.write("evil.test/index.html", "html").open();
    let mut asked = get(&root, "/evil.test");
    for (url_path, location) in [
        (&b"//evil.test"[..], "/evil.test/"),
        (b"/\\evil.test", "/evil.test/"),
        (b"///\\//evil.test", "/evil.test/"),
        (b"/a\r\nSet-Cookie: x", "/a%0D%0ASet-Cookie:%20x/"),
        (b"/\xfc", "/%FC/"),
        (b"", "/"),
        (b"//", "/"),
    ] {
        asked.request.url_path = Cow::Borrowed(url_path);
        assert_eq!(asked.seen().header("location"), Some(location), "{url_path:?}");
    }
}

#[test]
fn a_folder_without_an_index_is_listed_only_where_that_is_wished_for() {
    let world = World::new();
    world
        .write("b.txt", "12345")
        .write("a<b>.txt", "x")
        .write(".hidden", "x")
        .folder("sub")
        .write("sub/c", "x");
    world.link("within", "sub").link("out", "..").link("nowhere", "missing");
    assert_eq!(get(&world.open(), "/").status(), 404);
    let root = world.open_with(", listing = true, cache_control = \"max-age=60\"");
    let seen = get(&root, "/").seen();
    assert_eq!(seen.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!((seen.status, seen.content_length), (200, Some(seen.body.len() as u64)));
    let page = seen.text();
    let places: Vec<usize> = [">sub/<", ">within/<", ">a&lt;b&gt;.txt<", ">b.txt<"]
        .map(|name| page.find(name).expect(name))
        .into();
    assert!(places.is_sorted(), "{page}");
    assert!(page.contains("5 B") && page.contains(WRITTEN_TEXT), "{page}");
    for absent in ["hidden", "out", "nowhere", "../"] {
        assert!(!page.contains(absent), "{absent} in {page}");
    }
    assert!(get(&root, "/sub/").seen().text().contains("href=\"../\""));
    assert_eq!(get(&root, "/sub").seen().header("location"), Some("/sub/"));
    assert_eq!(get(&root, "/b.txt/").status(), 404);
    assert_eq!(get(&root, "/missing/").status(), 404);
    let head = get(&root, "/").method("HEAD").seen();
    assert_eq!(head, Seen { body: Vec::new(), ..seen });
}

#[test]
fn a_listing_is_json_for_programs() {
    let world = World::new();
    let root = world.write("b.txt", "12345").folder("sub").open_with(", listing = true");
    let seen = get(&root, "/").with("accept", "application/json").seen();
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("vary"), Some("Accept"));
    let entries: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(entries[0]["name"], "sub");
    assert_eq!(entries[0]["type"], "directory");
    assert_eq!(entries[1]["name"], "b.txt");
    assert_eq!(entries[1]["size"], 5);
    assert_eq!(entries[1]["mtime"], WRITTEN_TEXT);
    assert_eq!(entries.as_array().unwrap().len(), 2);
}

#[test]
fn a_listing_that_is_cut_says_so() {
    let world = World::new();
    for number in 0..=crate::listing::ENTRIES_MAX {
        File::create(world.path(&number.to_string())).unwrap();
    }
    let root = world.open_with(", listing = true");
    let seen = get(&root, "/").seen();
    assert_eq!(seen.header("x-listing-entries-max"), Some("10000"));
    assert_eq!(seen.text().matches("<a href").count(), 10_000);
    assert!(seen.text().contains("The folder has more"));
    std::fs::remove_file(world.path("0")).unwrap();
    let seen = get(&root, "/").seen();
    assert_eq!(seen.header("x-listing-entries-max"), None);
    assert!(!seen.text().contains("The folder has more"));
}

#[test]
fn the_fallback_is_shown_where_a_page_is_asked_for_that_is_not_there() {
    let world = World::new();
    world.write("index.html", "app").write("assets/app.js", "js").folder("bare");
    let root = world.open_with(", fallback = \"/index.html\"");
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (path, accept, is_page) in [
        ("/users/7", Some(browser), true),
        ("/users/7", None, true),
        ("/users/7", Some("*/*"), true),
        ("/users/", Some("text/*;q=0.5"), true),
        ("/users/7", Some("application/json"), false),
        ("/users/jane.doe", Some(browser), true),
        ("/bare", Some(browser), true),
        ("/bare/", None, true),
        ("/assets/old.js", Some("*/*"), false),
        ("/assets/old.js", None, false),
        ("/assets/old.png", Some("image/avif,image/*,*/*"), false),
        ("/../x", Some(browser), false),
    ] {
        let mut asked = get(&root, path);
        if let Some(accept) = accept {
            asked = asked.with("accept", accept);
        }
        let seen = asked.seen();
        let expected = if is_page { (200, "app") } else { (404, "") };
        assert_eq!((seen.status, seen.text()), expected, "{path} for {accept:?}");
    }
    assert_eq!(get(&root, "/assets/app.js").seen().text(), "js");
    let seen = get(&root, "/users/7").seen();
    assert_eq!(seen.header("content-type"), Some("text/html; charset=utf-8"));
    let etag = seen.header("etag").unwrap();
    assert_eq!(get(&root, "/users/8").with("if-none-match", etag).status(), 304);
    assert_eq!(get(&root, "/users/7").method("POST").status(), 405);
    std::fs::remove_file(world.path("index.html")).unwrap();
    assert_eq!(get(&root, "/users/7").status(), 404);
}
