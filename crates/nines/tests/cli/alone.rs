//! Commands that need no running node: help, check, config, completions, explain from the file.

use crate::world::{Backend, World, nines, proxy_of};
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn help_lists_the_exit_codes_and_ends_well() {
    let help = World::new("").run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for text in ["Exit codes:", "  3    the file is wrong", "undrain", "completions"] {
        assert!(help.stdout.contains(text), "{text:?} is missing in\n{}", help.stdout);
    }
    assert!(!help.stdout.contains("guard"), "hidden commands stay hidden");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let world = World::new("");
    for args in [
        &["upp"][..],
        &[],
        &["config"],
        &["up", "--log", "xml"],
        &["explain", "/", "-H", "no colon"],
        &["explain", "/", "--sni", "a.test"],
        &["explain", "tcp:db", "-X", "POST"],
    ] {
        assert_eq!(world.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn a_sound_file_passes_the_check() {
    let world = World::new("[pool.web]\nservers = [\"127.0.0.1:1\"]\n");
    let ran = world.run(&["check"]);
    assert_eq!((ran.code, ran.stdout.contains("1 pool")), (Some(0), true), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn all_problems_of_a_file_are_shown_with_their_place() {
    let file = "[edge]\nhttp = [\"EDGE\"]\n[pool.shop]\nservers = [\"127.0.0.1:1\"]\nblance = \"random\"\n[site.default.route]\n\"/\" = { pool = \"shpo\" }\n";
    let world = World::new(file);
    let ran = world.run(&["check"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(ran.stdout, "");
    // `[node]` and its one line stand before.
    for text in ["nines.toml:7:1", "blance", "nines.toml:9:16", "shpo", "did you mean `shop`"] {
        assert!(ran.stderr.contains(text), "{text:?} is missing in\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains('\x1b'), "no colours off a terminal");
}

#[test]
fn problems_as_json_carry_line_and_column() {
    let world = World::new("[pool.shop]\nblance = \"random\"\nservers = [\"127.0.0.1:1\"]\n");
    let ran = world.run(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.code, Some(3));
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"][0]["line"], 4);
    assert_eq!(report["problems"][0]["column"], 1);
}

#[test]
fn a_missing_file_is_a_wrong_file_and_named() {
    let world = World::new("");
    for command in ["check", "up"] {
        let ran = world.run(&[command, "missing.toml"]);
        assert_eq!(ran.code, Some(3));
        assert!(ran.stderr.contains("missing.toml"), "{}", ran.stderr);
    }
}

#[test]
fn the_effective_file_loads_again_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(Path::new(ROOT).join("nines.toml"), dir.path().join("nines.toml")).unwrap();
    let once = nines(dir.path(), &["config", "--effective"]).output().unwrap();
    assert_eq!(once.status.code(), Some(0));
    let text = String::from_utf8(once.stdout).unwrap();
    assert!(text.contains("inflight = 256") && text.contains("first_byte"), "defaults and values:\n{text}");
    std::fs::write(dir.path().join("effective.toml"), &text).unwrap();
    let again = nines(dir.path(), &["config", "--effective", "effective.toml"]).output().unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
}

#[test]
fn the_demo_file_at_the_root_is_sound_and_names_its_schema() {
    let ran = nines(Path::new(ROOT), &["check"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(Path::new(ROOT).join("nines.toml")).unwrap();
    assert!(text.starts_with("#:schema ./nines.schema.json\n"));
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let ran = World::new("").run(&["config", "--schema"]);
    let printed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let checked_in = std::fs::read_to_string(Path::new(ROOT).join("nines.schema.json")).unwrap();
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(&checked_in).unwrap());
}

#[test]
fn completions_know_every_visible_command() {
    let world = World::new("");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = world.run(&["completions", shell]);
        assert_eq!(ran.code, Some(0));
        for command in ["up", "check", "config", "explain", "status", "reload", "drain", "undrain", "sign"] {
            assert!(ran.stdout.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn explain_answers_from_the_file_when_no_node_runs() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    let ran = world.run(&["explain", "http://shop.test/cart", "-X", "POST", "-H", "X-A: b"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("no nines answers"), "{}", ran.stderr);
    for text in ["POST http://shop.test/cart", "default", "pool web", "127.0.0.1:"] {
        assert!(ran.stdout.contains(text), "{text:?} is missing in\n{}", ran.stdout);
    }
    let json = world.run(&["explain", "/cart", "--json"]);
    let explanation: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(explanation["site"], "default");
    assert_eq!(explanation["pool"]["pool"], "web");
}

#[test]
fn explain_of_a_listener_answers_from_the_file_too_and_lists_what_there_is() {
    let world = World::new(
        "[tcp.db]\nlisten = \"127.0.0.1:6432\"\nsni = { \"*.b.test\" = \"b\" }\n\
         [udp.dns]\nlisten = \"127.0.0.1:5353\"\npool = \"b\"\ndeny = [\"203.0.113.0/24\"]\n\
         [pool.b]\nservers = [\"127.0.0.1:1\"]\n",
    );
    let ran = world.run(&["explain", "tcp:db", "--sni", "x.b.test"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("no nines answers"), "{}", ran.stderr);
    for text in ["tcp:db for x.b.test", "127.0.0.1:6432", "`sni` has \"*.b.test\", pool b", "127.0.0.1:1: "] {
        assert!(ran.stdout.contains(text), "{text:?} is missing in\n{}", ran.stdout);
    }
    let json = world.run(&["explain", "udp:dns", "--client", "203.0.113.7:5000", "--json"]);
    let explanation: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(explanation["steps"][1], "the datagram is dropped");
    let unknown = world.run(&["explain", "udp:db"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(1), ""));
    assert!(
        unknown.stderr.contains("no `[udp.db]` in the file; known: tcp:db, udp:dns"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn explain_with_a_named_node_that_is_not_there_does_not_guess() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    let ran = world.run(&["explain", "/", "--admin", &world.admin.to_string()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(5), ""));
}

#[test]
fn commands_that_find_no_node_say_where_they_looked() {
    let world = World::new("");
    for args in [&["status"][..], &["reload"], &["drain", "x"], &["undrain", "x"]] {
        let ran = world.run(args);
        assert_eq!(ran.code, Some(5), "{args:?}");
        let expected =
            format!("no nines answers at {} (connection refused); is `nines up` running?", world.admin);
        assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
    }
}

#[test]
fn a_listener_that_is_no_nines_is_told_from_one_that_is() {
    let world = World::new("");
    let other = Backend::start("hello");
    let ran = world.run(&["status", "--admin", &other.address.to_string()]);
    assert_eq!(ran.code, Some(5));
    assert!(ran.stderr.contains("no nines admin API"), "{}", ran.stderr);
}
