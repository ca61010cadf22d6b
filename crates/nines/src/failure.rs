//! Why a command failed: what is printed, and which exit code follows.

use crate::exit::Exit;
use crate::node::NodeError;
use crate::print;
use topology::Rejected;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file cannot be used.
    File(Rejected),
    /// A running node was not reached, or said no.
    Node(NodeError),
    /// `up` could not start.
    CannotStart(String),
    /// Something failed on the way.
    Failed(String),
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        Self::File(rejected)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::File(rejected) => Self::File(rejected),
            error => Self::Node(error),
        }
    }
}

impl From<push::Error> for Failure {
    fn from(error: push::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Failure {
    /// Says on standard error what went wrong; the answer is the exit code.
    pub(crate) fn report(&self) -> Exit {
        match self {
            Self::File(rejected) => print::err(&with_count(rejected)),
            Self::Node(error) => print::error(error),
            Self::CannotStart(message) | Self::Failed(message) => print::error(message),
        }
        self.exit()
    }

    fn exit(&self) -> Exit {
        match self {
            Self::File(_) => Exit::FileWrong,
            Self::Node(NodeError::Unreachable { .. } | NodeError::Foreign { .. }) => Exit::NoNode,
            Self::Node(_) | Self::Failed(_) => Exit::Failed,
            Self::CannotStart(_) => Exit::CannotStart,
        }
    }
}

/// All problems with excerpts, and how many errors they are, which a long list needs.
fn with_count(rejected: &Rejected) -> String {
    let mut text = rejected.render(print::stderr_colors());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if rejected.errors() > 1 {
        text += &format!("{} errors\n", rejected.errors());
    }
    text
}
