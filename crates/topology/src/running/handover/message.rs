//! What two processes of nines say to each other: one JSON object a message, sockets attached to it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Of this conversation; a process that speaks another one is refused.
pub(super) const VERSION: u32 = 1;

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Ask {
    /// First of all.
    Hello { version: u32, pid: u32 },
    /// It is ready for the listening sockets; and, if it says so, for the one over which purges go.
    Listeners {
        #[serde(default)]
        purges: bool,
    },
    /// Its edge serves on them.
    Serving,
}

/// What the old process answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Answer {
    /// To hello: what its pools can do.
    Hello { version: u32, pid: u32, pools: BTreeMap<String, PoolPower> },
    /// With the sockets attached, in this order; the one over which purges go is the last.
    Listeners {
        listeners: Vec<Listener>,
        #[serde(default)]
        purges: bool,
    },
    /// To serving: the lock and the socket are free.
    Yours,
    /// To anything: it goes no further.
    Refused { why: String },
}

/// What a pool can do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct PoolPower {
    pub(super) ready: bool,
    pub(super) available: usize,
}

/// A socket that is attached.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listener {
    pub(super) tier: Tier,
    pub(super) address: SocketAddr,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tier {
    Admin,
    Edge,
    /// Of `[tcp.NAME]`.
    Tcp,
    /// Of `[udp.NAME]`.
    Udp,
    /// Of `[dns]`.
    DnsTcp,
    /// Of `[dns]`.
    DnsUdp,
}
