//! One binary from a DNS name to a database row: the command line.
//!
//! `cli` says what can be typed, `command` has one file for each command, `exit` says how they end.
//! A command works either on the file alone (`check`, `config`), or asks a running node over its admin API
//! (`node`: `status`, `explain`, `reload`, `drain`), or is the running node (`up`).
//!
//! `up` gives the main thread to the control runtime: signals, health checks, services, the admin API.
//! Nothing there blocks; requests are served by the edge's own threads.

mod cli;
mod command;
mod demo;
mod exit;
mod failure;
mod node;
mod print;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::run(cli::Cli::parse().command)
}
