//! `nines push`: a folder on its way to those who ask for it.

use crate::world::{Ran, World, exchange, get};
use std::fs;

const FILE: &str = "
[edge]
http = [\"EDGE\"]
cores = 1
[push.assets]
token = { file = \"token\" }
keep = 3
[site.default.route]
\"/assets/\" = { push = \"assets\" }
";

/// The folder is pushed by the node.
const OWN: &str = "
[edge]
http = [\"EDGE\"]
cores = 1
[push.assets]
from = { dir = \"dist\", rewrite = \"/assets/\" }
[site.default.route]
\"/assets/\" = { push = \"assets\" }
";

fn world() -> World {
    let world = World::new(FILE);
    fs::write(world.path("token"), "sesame\n").unwrap();
    write(&world, &[("index.html", "<link rel=stylesheet href=/assets/app.css>"), ("app.css", "a{b:c}")]);
    world
}

fn write(world: &World, files: &[(&str, &str)]) {
    fs::create_dir_all(world.path("dist")).unwrap();
    for (name, text) in files {
        fs::write(world.path("dist").join(name), text).unwrap();
    }
}

fn push(world: &World, args: &[&str]) -> Ran {
    let mut command = world.command(&[&["push"], args].concat());
    Ran::of(command.env("NINES_PUSH_TOKEN", "sesame").output().unwrap())
}

fn done(world: &World, args: &[&str]) -> String {
    let ran = push(world, args);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    ran.stdout
}

#[test]
fn a_pushed_folder_is_served_and_only_what_changes_is_sent_again() {
    let world = world();
    let _node = world.up();
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().status, 404);
    let first = done(&world, &["dist", "assets"]);
    assert!(first.contains("2 files added") && first.contains("release r1 is served"), "{first}");
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:c}");
    assert!(get(world.edge, "/assets/").unwrap().body.contains("stylesheet"));
    let same = done(&world, &["dist", "assets"]);
    assert!(same.contains("nothing to push: release r1 is the same"), "{same}");
    write(&world, &[("app.css", "a{b:d}")]);
    let second = done(&world, &["dist", "assets"]);
    assert!(second.contains("1 changed") && second.contains("uploaded 1 file"), "{second}");
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:d}");
}

#[test]
fn a_rewritten_page_names_what_is_kept_for_ever() {
    let world = world();
    let _node = world.up();
    let said = done(&world, &["dist", "assets", "--rewrite", "--at", "/assets/", "--dry-run"]);
    assert!(said.contains("  app.css -> app."), "{said}");
    assert_eq!(get(world.edge, "/assets/").unwrap().status, 404, "nothing was pushed");
    done(&world, &["dist", "assets", "--rewrite", "--at", "/assets/"]);
    let page = get(world.edge, "/assets/").unwrap().body;
    let name = page.split(['=', '>']).nth(2).unwrap();
    assert!(name.starts_with("/assets/app.") && name.len() > "/assets/app.css".len(), "{page}");
    let request = format!("GET {name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut head = String::new();
    {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(world.edge).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_string(&mut head).unwrap();
    }
    assert!(head.contains("Cache-Control: public, max-age=31536000, immutable\r\n"), "{head}");
    assert!(head.ends_with("a{b:c}"), "{head}");
    assert_eq!(fs::read_to_string(world.path("dist/index.html")).unwrap().matches("app.css").count(), 1);
}

#[test]
fn releases_are_listed_switched_and_removed() {
    let world = world();
    let _node = world.up();
    done(&world, &["dist", "assets", "--release", "v1"]);
    write(&world, &[("app.css", "a{b:d}")]);
    done(&world, &["dist", "assets", "--expire", "30d"]);
    let list = done(&world, &["assets", "--list"]);
    assert!(
        list.lines().nth(1).unwrap().trim_start().starts_with("r2") && list.contains("in 29d23h"),
        "{list}"
    );
    let back = done(&world, &["assets", "--rollback"]);
    assert!(back.contains("release v1 is served"), "{back}");
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:c}");
    let served = push(&world, &["assets", "--delete", "v1"]);
    assert_eq!(served.code, Some(1));
    assert!(served.stderr.contains("release v1 is served: roll back first"), "{}", served.stderr);
    done(&world, &["assets", "--rollback", "--release", "r2"]);
    done(&world, &["assets", "--delete", "v1"]);
    assert!(!done(&world, &["assets", "--list"]).contains("v1"));
}

#[test]
fn a_release_outlives_its_node() {
    let world = world();
    let mut node = world.up();
    done(&world, &["dist", "assets"]);
    node.signal(sys::process::Signal::Kill);
    node.wait();
    let _node = world.up();
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:c}");
}

#[test]
fn who_has_not_the_token_pushes_nothing() {
    let world = world();
    let _node = world.up();
    let ran = world.run(&["push", "dist", "assets"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("a token is required (set NINES_PUSH_TOKEN"), "{}", ran.stderr);
    let ask = |path: &str| {
        exchange(
            world.admin,
            &format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", world.admin),
        )
    };
    assert_eq!(ask("/api/v1/push/assets/releases").unwrap().status, 401);
    assert_eq!(ask("/api/v1/push/%61ssets/releases").unwrap().status, 400);
    assert_eq!(ask("/api/v1/status").unwrap().status, 200, "the token is the store's alone");
}

#[test]
fn what_cannot_be_pushed_is_said_clearly() {
    let world = world();
    let unreached = push(&world, &["dist", "assets"]);
    assert_eq!(unreached.code, Some(5), "{}", unreached.stderr);
    let _node = world.up();
    for (args, code, says) in [
        (&["dist", "assetz"][..], 1, "no push \"assetz\"; known: assets"),
        (&["gone", "assets"], 1, "gone: No such file or directory"),
        (&["assets", "--rollback"], 1, "there is no release before the one that is served"),
        (&["dist", "assets", "--token-env", "NOT_SET"], 1, "environment variable NOT_SET is not set"),
        (&["dist"], 2, "<NAME>"),
        (&["dist", "assets", "--list"], 2, "cannot be used with"),
        (&["dist", "assets", "--expire", "0s"], 2, "it would have ended at once"),
    ] {
        let ran = push(&world, args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_store_that_a_reload_adds_is_pushed_to_and_one_that_stays_keeps_its_release() {
    let world = world();
    let _node = world.up();
    done(&world, &["dist", "assets"]);
    let more =
        FILE.replace("\"/assets/\"", "\"/more/\" = { push = \"more\" }\n\"/assets/\"") + "[push.more]\n";
    world.write(&more);
    assert_eq!(world.run(&["reload"]).code, Some(0));
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:c}");
    done(&world, &["dist", "more"]);
    assert_eq!(get(world.edge, "/more/app.css").unwrap().body, "a{b:c}");
    world.write(&FILE.replace("push = \"assets\"", "push = \"asset\""));
    let refused = world.run(&["reload"]);
    assert_eq!(refused.code, Some(3));
    assert!(
        refused.stderr.contains("unknown push `asset`") || refused.stderr.contains("asset"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_folder_that_the_file_names_is_served_from_the_start_and_anew_with_each_reload() {
    let world = World::new(OWN);
    write(&world, &[("index.html", "<link rel=stylesheet href=app.css>"), ("app.css", "a{b:c}")]);
    let node = world.up();
    let listed = node.stdout();
    assert!(listed.contains(&format!("curl http://{}/assets/app.css\n", world.edge)), "{listed}");
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:c}");
    let page = get(world.edge, "/assets/").unwrap().body;
    let name = page.split(['=', '>']).nth(2).unwrap().to_owned();
    assert_ne!(name, "app.css", "{page}");
    assert_eq!(get(world.edge, &format!("/assets/{name}")).unwrap().body, "a{b:c}");
    write(&world, &[("app.css", "a{b:d}")]);
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:c}", "a release is whole");
    for _ in 0..2 {
        assert_eq!(world.run(&["reload"]).code, Some(0));
        assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:d}");
        assert_eq!(
            get(world.edge, &format!("/assets/{name}")).unwrap().body,
            "a{b:c}",
            "an old page has its style"
        );
        let list = done(&world, &["assets", "--list"]);
        assert!(list.contains("r2") && !list.contains("r3"), "{list}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_named_and_changes_nothing() {
    let world = World::new(OWN);
    let folder = world.path("dist").display().to_string();
    let ran = world.run(&["up"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(&format!("push assets: {folder}: No such file or directory")),
        "{}",
        ran.stderr
    );
    write(&world, &[("app.css", "a{b:c}")]);
    let _node = world.up();
    fs::remove_dir_all(world.path("dist")).unwrap();
    world.write(&(OWN.to_owned() + "\"/new\" = { respond = {} }\n"));
    let ran = world.run(&["reload"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains(&format!("push assets: {folder}: No such file")), "{}", ran.stderr);
    assert_eq!(get(world.edge, "/new").unwrap().status, 404);
    assert_eq!(get(world.edge, "/assets/app.css").unwrap().body, "a{b:c}");
}

#[test]
fn two_who_push_the_same_at_once_both_make_their_release() {
    let world = world();
    let _up = world.up();
    let large: String = (0..3 << 20).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    write(&world, &[("large.txt", &large), ("small.txt", "small")]);
    let outcomes = std::thread::scope(|scope| {
        let pushes = [(); 2].map(|()| scope.spawn(|| push(&world, &["dist", "assets"])));
        pushes.map(|push| push.join().unwrap())
    });
    for ran in outcomes {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    }
}
