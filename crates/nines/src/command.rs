//! The commands, one file each; `run` leads to them.

mod check;
mod completions;
mod config;
mod dns;
mod drain;
mod explain;
mod flush;
mod purge;
mod push;
mod reload;
mod sign;
mod status;
mod up;

use crate::cli::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use std::process::ExitCode;

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> ExitCode {
    let ended = match command {
        Command::Up(args) => up::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Explain(args) => explain::run(args),
        Command::Status(args) => status::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Drain(args) => drain::run(&args, drain::Wish::Drain),
        Command::Undrain(args) => drain::run(&args, drain::Wish::Undrain),
        Command::Dns { what } => dns::run(&what),
        Command::Purge(args) => purge::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Completions { shell } => completions::run(shell),
        Command::Demo { port } => return crate::demo::run(port),
        Command::Guard => return services::guard_main(),
    };
    ended.unwrap_or_else(|failure| failure.report()).into()
}

/// How a command ends.
type Ended = Result<Exit, Failure>;
