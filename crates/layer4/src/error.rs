//! What can go wrong: starting, changing, and with one connection.

use thiserror::Error;

/// Why layer 4 could not start or change.
#[derive(Debug, Error)]
pub enum Error {
    /// An address cannot be listened on, or a thread not be made.
    #[error(transparent)]
    Cores(#[from] cores::Error),
    /// A list of networks cannot be used.
    #[error("{whose}: {source}")]
    Networks {
        /// "tcp db".
        whose: String,
        /// What is the matter with it.
        source: admission::Error,
    },
    /// A certificate, a key or an authority cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// A listener names a pool that was not handed over.
    #[error("{whose}: unknown pool {pool}")]
    UnknownPool {
        /// "tcp db".
        whose: String,
        /// The pool.
        pool: String,
    },
}

/// Why a connection or datagram cannot be explained.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// No listener has this name.
    #[error("no `[{kind}.{name}]` in the file; {}", known_listeners(known))]
    NoListener {
        /// "tcp" or "udp".
        kind: &'static str,
        /// The name.
        name: String,
        /// Those that there are: `tcp:db`.
        known: Vec<String>,
    },
    /// The file's parts do not fit together.
    #[error(transparent)]
    Parts(#[from] Error),
}

fn known_listeners(known: &[String]) -> String {
    match known {
        [] => "it has none of TCP or UDP".into(),
        known => format!("known: {}", known.join(", ")),
    }
}

/// Why a connection was not served, as a label of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// By `allow` or `deny`.
    Denied,
    /// The client has as many connections as it may have.
    ClientLimit,
    /// What has to come first did not come in time.
    HelloTimeout,
    /// A trusted proxy sent no header, or a broken one.
    ProxyHeader,
    /// The client left before it had said what it wants.
    Left,
    /// No pool is for the server name.
    ServerName,
    /// The handshake of TLS failed.
    Tls,
    /// The pool's line was full, or the wait in it too long.
    Full,
    /// The pool has no endpoint.
    NoEndpoint,
    /// None of the endpoints that were tried could be reached.
    Connect,
}

impl Refusal {
    pub(crate) const ALL: [Self; 10] = [
        Self::Denied,
        Self::ClientLimit,
        Self::HelloTimeout,
        Self::ProxyHeader,
        Self::Left,
        Self::ServerName,
        Self::Tls,
        Self::Full,
        Self::NoEndpoint,
        Self::Connect,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::ClientLimit => "client_limit",
            Self::HelloTimeout => "hello_timeout",
            Self::ProxyHeader => "proxy_header",
            Self::Left => "left",
            Self::ServerName => "server_name",
            Self::Tls => "tls",
            Self::Full => "full",
            Self::NoEndpoint => "no_endpoint",
            Self::Connect => "connect",
        }
    }
}
