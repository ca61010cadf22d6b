//! Secrets of the node and its edge: each is looked for when the file is checked, and none is shown.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

use std::path::PathBuf;
use tempfile::TempDir;
use topology::Level;

/// A folder with a file, and files of secrets beside it.
fn world(file: &str, secrets: &[(&str, &str)]) -> (PathBuf, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in secrets {
        std::fs::write(dir.path().join(name), value).unwrap();
    }
    let path = dir.path().join("nines.toml");
    std::fs::write(&path, file).unwrap();
    (path, dir)
}

/// Line, column and message of each error.
fn problems(file: &str, secrets: &[(&str, &str)]) -> Vec<(usize, usize, String)> {
    let (path, dir) = world(file, secrets);
    let problems = topology::load(&path).unwrap_err().problems.into_iter();
    let message = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
    problems
        .filter(|problem| problem.level == Level::Error)
        .map(|problem| (problem.line.unwrap(), problem.column.unwrap(), message(problem.message)))
        .collect()
}

#[test]
fn a_shared_secret_that_could_be_guessed_is_refused_and_not_shown() {
    let found = problems("[node]\nsecret = { file = 'shared' }\n", &[("shared", "hush-hush\n")]);
    let said = "the secret has 9 bytes, fewer than the 32 that cannot be guessed".to_owned();
    assert_eq!(found, [(2, 10, said)]);
}

#[test]
fn a_shared_secret_that_is_not_there_is_named() {
    let found = problems("[node]\nsecret = { env = 'NINES_TEST_ABSENT' }\n", &[]);
    assert_eq!(found, [(2, 10, "environment variable NINES_TEST_ABSENT is not set".to_owned())]);
}

#[test]
fn the_edge_s_secrets_are_looked_for_too() {
    let file = "[edge]\nhttps = ['127.0.0.1:443']\n[edge.tls]\ntickets = { secret = { file = 'empty' } }\n\
                [edge.acme]\nagree = true\nexternal_account = { key_id = 'k', key = { file = 'empty' } }\n\
                [site.'shop.test']\ntls = 'acme'\n";
    let found = problems(file, &[("empty", "\n")]);
    let said = "secret file empty is empty".to_owned();
    assert_eq!(found, [(4, 22, said.clone()), (7, 42, said)]);
}

#[test]
fn keys_for_signatures_are_looked_for_at_sites_and_routes_and_are_long_enough() {
    let file = "[edge]\nhttp = ['127.0.0.1:80']\n[site.'shop.test']\nsigned = { keys = { k1 = { file = 'short' } } }\n\
                [site.'shop.test'.route.'/v/']\nrespond = {}\nsigned = { keys = { k2 = { env = 'NINES_TEST_ABSENT' } } }\n";
    let found = problems(file, &[("short", "hush-hush")]);
    let short = "site shop.test: signed key k1: its secret has 9 bytes, at least 32".to_owned();
    let absent = "site shop.test route /v/: signed key k2: environment variable NINES_TEST_ABSENT is not set"
        .to_owned();
    assert_eq!(found, [(3, 7, short), (5, 25, absent)]);
}

#[test]
fn one_secret_serves_the_node_and_its_tickets_and_stays_a_reference() {
    let file = "[node]\nsecret = { file = 'shared' }\n[edge]\nhttp = ['127.0.0.1:80']\n\
                [edge.tls]\ntickets = { secret = { file = 'shared' } }\n";
    let (path, _dir) = world(file, &[("shared", "hush hush hush hush hush hush hush")]);
    let checked = topology::load(&path).unwrap();
    let shown = topology::effective(&checked.topology);
    assert!(shown.contains("shared") && !shown.contains("hush"), "{shown}");
}
