//! The configuration: how it is written, and what is refused.

use super::*;
use crate::{Error, FilesConfig, check};
use notation::{Faults, Name};

fn faults(text: &str) -> Vec<String> {
    let mut faults = Faults::default();
    check(&files(text), &Name::new("/docs/"), &mut faults);
    faults.into_vec().into_iter().map(|fault| fault.message).collect()
}

#[test]
fn a_folder_alone_is_as_one_with_the_defaults() {
    let (short, long) = (files("\"./docs\""), files("{ dir = \"./docs\" }"));
    let short = FilesConfig::of(&short).into_owned();
    assert_eq!(short, *FilesConfig::of(&long));
    assert!(short.precompressed && !short.listing && short.fallback.is_none());
    assert_eq!(short.index, [Name::new("index.html")]);
}

#[test]
fn what_is_written_back_means_the_same() {
    for text in [
        "\"./docs\"",
        "{ dir = \"d\" }",
        "{ dir = \"d\", index = [], listing = true, fallback = \"/a.html\", precompressed = false, \
         cache_control = \"no-cache\", types = { wasm = \"application/wasm\" } }",
    ] {
        let read = files(text);
        assert_eq!(faults(text), [""; 0]);
        let written = toml::Value::try_from(&read).unwrap().to_string();
        let again = files(&written);
        assert_eq!(FilesConfig::of(&again), FilesConfig::of(&read), "{written}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_the_route() {
    for (text, expected) in [
        ("\"\"", "route /docs/: `files` names no folder"),
        (
            "{ dir = \"d\", index = [\"a/b\"] }",
            "route /docs/: `index` \"a/b\" is no file's name that is served",
        ),
        (
            "{ dir = \"d\", index = [\".x\"] }",
            "route /docs/: `index` \".x\" is no file's name that is served",
        ),
        (
            "{ dir = \"d\", index = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\"] }",
            "route /docs/: `index` has 9 names, above 8",
        ),
        (
            "{ dir = \"d\", fallback = \"../x\" }",
            "route /docs/: `fallback` \"../x\" is no file that is served",
        ),
        ("{ dir = \"d\", fallback = \"/\" }", "route /docs/: `fallback` \"/\" is no file that is served"),
        (
            "{ dir = \"d\", cache_control = \"a\\nb\" }",
            "route /docs/: `cache_control` \"a\\nb\" cannot be a header's value",
        ),
        (
            "{ dir = \"d\", types = { \".js\" = \"text/x\" } }",
            "route /docs/: `types`: \".js\" is no extension",
        ),
        ("{ dir = \"d\", types = { js = \"text\" } }", "route /docs/: `types`: \"text\" is no media type"),
    ] {
        assert_eq!(faults(text), [expected]);
    }
}

#[test]
fn an_unknown_key_is_refused() {
    let unknown =
        toml::from_str::<std::collections::BTreeMap<String, Files>>("files = { dir = \"d\", indexes = [] }");
    assert!(unknown.unwrap_err().message().contains("indexes"));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let world = World::new();
    world.write("a.txt", "x");
    for (dir, what) in [("missing", "No such file or directory"), ("site/a.txt", "Not a directory")] {
        let error = Root::open(&files(&format!("\"{dir}\"")), world.outside.path()).err().unwrap();
        assert!(matches!(error, Error::Folder { .. }));
        let text = error.to_string();
        let path = world.outside.path().join(dir);
        assert!(text.contains(path.to_str().unwrap()) && text.contains(what), "{text}");
    }
}

#[test]
fn types_and_cache_control_of_the_file_are_said() {
    let world = World::new();
    let root = world
        .write("a.x", "x")
        .open_with(", types = { x = \"text/x-mine\" }, cache_control = \"public, max-age=3600\"");
    let seen = get(&root, "/a.x").seen();
    assert_eq!(seen.header("content-type"), Some("text/x-mine"));
    assert_eq!(seen.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(get(&root, "/none").seen().header("cache-control"), None);
}
