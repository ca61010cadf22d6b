//! `nines completions SHELL`.

use super::Ended;
use crate::cli::Cli;
use crate::exit::Exit;
use crate::print;
use clap::CommandFactory;
use clap_complete::Shell;

pub(super) fn run(shell: Shell) -> Ended {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nines", &mut script);
    print::out(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
