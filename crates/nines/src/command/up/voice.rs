//! Where `up` speaks to people, without getting between lines that are for programs.

use crate::cli::LogFormat;
use crate::print::{self, Paint};
use topology::Running;

/// Where the table and "ready" are written.
#[derive(Clone, Copy)]
pub(super) enum Voice {
    /// On standard output.
    Stdout,
    /// On standard error.
    Stderr,
    /// Nowhere.
    Silent,
}

impl Voice {
    /// Access log lines on standard output, and JSON log lines on standard error, are for programs: nothing
    /// else may stand between them.
    pub(super) fn of(running: &Running, format: LogFormat) -> Self {
        use topology::AccessLogTarget::Stdout;
        let is_taken = running.topology().edge.as_ref().is_some_and(|edge| edge.access_log == Stdout);
        match (is_taken, format) {
            (false, _) => Self::Stdout,
            (true, LogFormat::Human) => Self::Stderr,
            (true, LogFormat::Json) => Self::Silent,
        }
    }

    /// Writes a text in one go.
    pub(super) fn say(self, text: impl FnOnce(Paint) -> String) {
        match self {
            Self::Stdout => print::out(&text(Paint::new(print::stdout_colors()))),
            Self::Stderr => print::err(&text(Paint::new(print::stderr_colors()))),
            Self::Silent => {}
        }
    }
}
