//! Whole nodes: real services, pools and an edge in one process, asked over HTTP.
//!
//! This program plays every part itself: started as `guard` it is `nines guard`, as `serve PORT` a small web
//! application. Otherwise it runs its tests, as the usual harness would.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, though one with a `main` of its own")]

mod dns;
mod layer4;
mod lifecycle;
mod reloads;
mod takeovers;
mod world;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["guard"] => services::guard_main(),
        ["serve", port, ref rest @ ..] => world::serve(port, rest),
        _ => run_tests(&arguments),
    }
}

fn run_tests(arguments: &[String]) -> ExitCode {
    let tests: Vec<Test> =
        [dns::TESTS, layer4::TESTS, lifecycle::TESTS, reloads::TESTS, takeovers::TESTS].concat();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = Vec::new();
    for (name, test) in tests.into_iter().filter(|(name, _)| is_wanted(name)) {
        let began = Instant::now();
        let result = catch_unwind(test);
        println!(
            "test {name} ... {} ({:.1?})",
            if result.is_ok() { "ok" } else { "FAILED" },
            began.elapsed()
        );
        if result.is_err() {
            failed.push(name);
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
