//! Which file a path is.

use super::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::os::unix::net::UnixListener;

#[test]
fn a_file_is_shown_with_its_type_and_length() {
    let world = World::new();
    let root = world.write("css/site.css", "b{}").open();
    let seen = get(&root, "/css/site.css").seen();
    assert_eq!((seen.status, seen.text(), seen.content_length), (200, "b{}", Some(3)));
    assert_eq!(seen.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(seen.header("last-modified"), Some(WRITTEN_TEXT));
    assert_eq!(seen.header("accept-ranges"), Some("bytes"));
    assert!(seen.header("etag").unwrap().starts_with('"'));
    assert_eq!(get(&root, "/css/other.css").seen().status, 404);
    assert_eq!(get(&root, "/css/site.css?v=1").status(), 200, "a query is nothing to a file");
}

#[test]
fn an_empty_file_is_shown() {
    let world = World::new();
    let root = world.write("empty.txt", "").open();
    let seen = get(&root, "/empty.txt").with("range", "bytes=0-").seen();
    assert_eq!((seen.status, seen.body.len(), seen.content_length), (200, 0, Some(0)));
}

#[test]
fn head_is_as_get_without_the_body() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    let get_seen = get(&root, "/a.txt").seen();
    let head = get(&root, "/a.txt").method("HEAD").seen();
    assert_eq!(head, Seen { body: Vec::new(), ..get_seen });
    assert_eq!(head.content_length, Some(5));
}

#[test]
fn other_methods_hear_what_is_allowed() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    for (method, status) in [("OPTIONS", 204), ("POST", 405), ("PUT", 405), ("DELETE", 405), ("get", 405)] {
        let seen = get(&root, "/a.txt").method(method).seen();
        assert_eq!((seen.status, seen.header("allow")), (status, Some("GET, HEAD, OPTIONS")), "{method}");
        assert!(seen.body.is_empty());
    }
}

#[test]
fn names_may_have_spaces_percent_signs_and_any_letters() {
    let world = World::new();
    let root = world.write("a b/ü%20c+d.txt", "here").write("日本.html", "hier").open();
    assert_eq!(get(&root, "/a%20b/%C3%BC%2520c+d.txt").seen().text(), "here");
    assert_eq!(get(&root, "/a%20b/%c3%bc%2520c%2Bd.txt").seen().text(), "here");
    assert_eq!(get(&root, "/%E6%97%A5%E6%9C%AC.html").seen().text(), "hier");
    assert_eq!(get(&root, "/日本.html").seen().text(), "hier", "bytes that need an escape are let through");
    assert_eq!(get(&root, "/a%20b/%C3%BC%20c+d.txt").status(), 404, "decoded once and not twice");
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let world = World::new();
    std::fs::write(world.outside.path().join("secret.txt"), "secret").unwrap();
    let root = world.write("a/b.txt", "here").open();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/a/../../secret.txt",
        "/a/..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "//secret.txt",
        "/a/../b.txt",
        "/a//b.txt",
        "/a/b.txt%00.html",
        "/a/b.txt/",
        "/a%2fb.txt",
    ] {
        assert_eq!(get(&root, path).status(), 404, "{path}");
    }
    let absolute = world.outside.path().join("secret.txt");
    assert_eq!(get(&root, absolute.to_str().unwrap()).status(), 404);
}

#[test]
fn a_symlink_out_of_the_folder_is_as_nothing_and_one_within_is_followed() {
    let world = World::new();
    std::fs::write(world.outside.path().join("secret.txt"), "secret").unwrap();
    std::fs::create_dir(world.outside.path().join("private")).unwrap();
    std::fs::write(world.outside.path().join("private/secret.txt"), "secret").unwrap();
    world
        .write("a/b.txt", "here")
        .link("out.txt", "../secret.txt")
        .link("absolute.txt", world.outside.path().join("secret.txt"))
        .link("absolute-within.txt", world.path("a/b.txt"))
        .link("out", "../private")
        .link("a/far.txt", "../../secret.txt")
        .link("over.txt", "../site/a/b.txt")
        .link("proc", "/proc/self/root")
        .link("within.txt", "a/b.txt")
        .link("a/within.txt", "../a/b.txt")
        .link("folder", "a")
        .link("twice.txt", "within.txt");
    let root = world.open();
    for path in [
        "/out.txt",
        "/absolute.txt",
        "/absolute-within.txt",
        "/out/secret.txt",
        "/a/far.txt",
        "/over.txt",
        "/proc/etc/hostname",
    ] {
        assert_eq!(get(&root, path).status(), 404, "{path}");
    }
    for path in ["/within.txt", "/a/within.txt", "/folder/b.txt", "/twice.txt"] {
        assert_eq!(get(&root, path).seen().text(), "here", "{path}");
    }
}

#[test]
fn symlinks_in_a_circle_or_to_nowhere_are_as_nothing() {
    let world = World::new();
    let root = world.link("a", "b").link("b", "a").link("nowhere", "missing").open();
    for path in ["/a", "/a/", "/a/x", "/nowhere"] {
        assert_eq!(get(&root, path).status(), 404, "{path}");
    }
}

#[test]
fn what_begins_with_a_dot_is_hidden_but_the_well_known_folder() {
    let world = World::new();
    world
        .write(".env", "x")
        .write(".git/config", "x")
        .write("a/.htpasswd", "x")
        .write("a/.well-known/x", "x");
    let root = world
        .write(".well-known/security.txt", "mail us")
        .open_with(", fallback = \"/.well-known/security.txt\"");
    for path in ["/.env", "/.git/config", "/.git/", "/a/.htpasswd", "/%2eenv", "/a/.well-known/x"] {
        assert_eq!(get(&root, path).with("accept", "text/html").status(), 404, "{path}: no fallback either");
    }
    assert_eq!(get(&root, "/.well-known/security.txt").seen().text(), "mail us");
}

#[test]
fn only_regular_files_are_served_and_nothing_waits_for_a_fifo() {
    let world = World::new();
    mknodat(CWD, world.path("fifo.txt"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let _listener = UnixListener::bind(world.path("socket.txt")).unwrap();
    let root = world.link("null.txt", "/dev/null").open();
    for path in ["/fifo.txt", "/socket.txt", "/null.txt"] {
        assert_eq!(get(&root, path).status(), 404, "{path}");
    }
}

#[test]
fn a_name_longer_than_any_is_as_nothing() {
    let world = World::new();
    let root = world.open();
    for path in [format!("/{}", "a".repeat(300)), format!("{}/x", "/abcdefg".repeat(2000))] {
        assert_eq!(get(&root, &path).status(), 404);
    }
    // The file's name is possible, its siblings' names are not.
    let name = "a".repeat(254);
    world.write(&name, "here");
    assert_eq!(get(&root, &format!("/{name}")).with("accept-encoding", "gzip").seen().text(), "here");
}

#[test]
fn what_is_known_is_answered_without_waiting() {
    let world = World::new();
    let root = world.write("a.txt", "hello").folder("b").open_with(", listing = true");
    let asked = get(&root, "/a.txt");
    let waited = asked.seen();
    let at_once = root
        .answer_now(&asked.request, now(), &Recent::default())
        .expect("its name and its inode are in memory by now");
    assert_eq!(Seen::of(at_once), waited);
    let owned = asked.request.clone().into_owned();
    assert_eq!(Seen::of(root.answer(&owned, now())), waited);
    assert!(
        root.answer_now(&get(&root, "/b/").request, now(), &Recent::default()).is_none(),
        "a listing reads the folder"
    );
    assert_eq!(
        root.answer_now(&get(&root, "/../a.txt").request, now(), &Recent::default()).unwrap().status,
        404
    );
}
