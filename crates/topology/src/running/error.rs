//! Why a node cannot start, reload or do what a person asked.

use crate::Rejected;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why a node does not start. Nothing is left running.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("data folder {}: {source}", path.display())]
    Data {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another nines runs on the same data folder.
    #[error(
        "another nines{} runs on the data folder {}; stop it, or take over from it with --takeover",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        data.display()
    )]
    Locked {
        /// The data folder.
        data: PathBuf,
        /// The other process, when its number could be read.
        pid: Option<u32>,
    },
    /// A port is taken.
    #[error(
        "{what} cannot listen on {address}: the port is taken{}",
        by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default()
    )]
    PortTaken {
        /// Who wanted it: "the edge", "the admin API".
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The process that holds it, "nginx (process 123)", when it could be found.
        by: Option<String>,
    },
    /// An address cannot be listened on for another reason.
    #[error("{what} cannot listen on {address}: {source}")]
    Listen {
        /// Who wanted it.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The admin API's token cannot be read.
    #[error("node.admin_token: {0}")]
    Token(#[source] notation::SecretError),
    /// The secret that nodes share cannot be used.
    #[error("node.secret: {0}")]
    Shared(#[from] crate::SharedSecretError),
    /// A pool's certificates cannot be used.
    #[error(transparent)]
    Pool(#[from] balance::SettingsError),
    /// A service cannot be started.
    #[error(transparent)]
    Services(#[from] services::Error),
    /// The edge cannot be started.
    #[error(transparent)]
    Edge(#[from] edge::Error),
    /// A store that files are pushed to cannot be used.
    #[error(transparent)]
    Push(#[from] push::Error),
    /// Nothing can be kept where the file wants it.
    #[error(transparent)]
    Cdn(#[from] cdn::Error),
    /// TCP and UDP cannot be served.
    #[error(transparent)]
    Layer4(#[from] layer4::Error),
    /// DNS cannot be served.
    #[error(transparent)]
    Dns(#[from] dns::Error),
    /// The running nines could not be taken over from; it carries on.
    #[error("takeover: {0}; the running nines carries on")]
    Takeover(#[from] TakeoverError),
}

/// Why a takeover came to nothing.
#[derive(Debug, Error)]
pub enum TakeoverError {
    /// The conversation broke off.
    #[error("the conversation with the running nines broke off: {0}")]
    Io(#[from] io::Error),
    /// The other side speaks another version of the conversation, or says no.
    #[error("the running nines refused: {0}")]
    Refused(String),
    /// The pools here did not become ready in time.
    #[error("pools are not ready after {waited_s} s: {waiting}")]
    NotReady {
        /// How long was waited.
        waited_s: u64,
        /// Which pools, and why.
        waiting: String,
    },
}

/// Why a reload changed nothing.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// The file is wrong.
    #[error("{0}")]
    Rejected(Rejected),
    /// Something cannot be changed while running.
    #[error("{what} cannot change while nines runs; start the new file with `nines up --takeover`")]
    NeedsRestart {
        /// The key: "node.data".
        what: String,
    },
    /// A pool's certificates cannot be used.
    #[error(transparent)]
    Pool(#[from] balance::SettingsError),
    /// A service cannot be started.
    #[error(transparent)]
    Services(#[from] services::Error),
    /// A port is taken, or the edge cannot use its configuration.
    #[error(transparent)]
    Edge(#[from] edge::Error),
    /// A store that files are pushed to cannot be used.
    #[error(transparent)]
    Push(#[from] push::Error),
    /// Nothing can be kept where the file wants it.
    #[error(transparent)]
    Cdn(#[from] cdn::Error),
    /// A port of TCP or UDP is taken, or their configuration cannot be used.
    #[error(transparent)]
    Layer4(#[from] layer4::Error),
    /// A port of DNS is taken, or its configuration cannot be used.
    #[error(transparent)]
    Dns(#[from] dns::Error),
    /// The node is stopping, or another process has taken over.
    #[error("nines is stopping")]
    Stopping,
}

/// Why an endpoint was not drained or undrained.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// There is none of that name.
    #[error("no endpoint {name:?}{}", help.as_ref().map(|help| format!("; {help}")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name, or all of them.
        help: Option<String>,
    },
    /// Several pools have one of that name.
    #[error("endpoint {name:?} is in several pools, name one of {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Its full names.
        candidates: Vec<String>,
    },
}
