//! How a command ends, as its exit code.

use std::process::ExitCode;

/// How a command ends; `nines --help` lists the same codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done. For `up`: stopped after draining, or handed over to a new process.
    Done,
    /// Failed while running, or the node refused the request.
    Failed,
    /// The file is wrong.
    FileWrong,
    /// `up` cannot start: a port is taken, a program is missing, already running.
    CannotStart,
    /// No running node was reached.
    NoNode,
    /// A second SIGINT stopped it at once.
    Interrupted,
    /// A second SIGTERM stopped it at once.
    Terminated,
}

impl Exit {
    /// The code. 2 is clap's, for wrong usage; 128 + n is what a shell shows for signal n.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::FileWrong => 3,
            Self::CannotStart => 4,
            Self::NoNode => 5,
            Self::Interrupted => 128 + 2,
            Self::Terminated => 128 + 15,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
