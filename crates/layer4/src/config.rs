//! `[tcp.NAME]` and `[udp.NAME]`: where clients arrive, and which pool they reach.

use admission::NetworkEntry;
use notation::{Duration, Listen, Name, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tls::TlsConfig;

/// Connections of TCP, passed on to the endpoints of a pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpConfig {
    /// Where clients connect to: one address, or an array of them.
    pub listen: Listen,
    /// The pool that connections go to, unless `sni` sends them elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// Pools by the server name that a client of TLS asks for: `"a.test"`, or `"*.b.test"` for all names below it. TLS
    /// goes through to the endpoint as it is, unless `tls` ends it here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sni: BTreeMap<Name, Name>,
    /// End TLS here, by these certificates: endpoints get what is within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Connections from these networks begin with a PROXY protocol header, version 1 or 2, that says who the client
    /// is; from others never.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxy_protocol: Vec<NetworkEntry>,
    /// Only clients of these networks may connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<NetworkEntry>>,
    /// Clients of these networks may not, whatever `allow` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<NetworkEntry>,
    /// How many connections, and how fast.
    pub limit: TcpLimits,
    /// How long a client may take.
    pub timeout: TcpTimeouts,
}

/// How many connections, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpLimits {
    /// Connections served at once; what exceeds them waits in the kernel's backlog.
    #[schemars(range(min = 1))]
    pub connections: u32,
    /// Connections of one client address (of IPv6: of one /64); more are reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub connections_per_client: Option<u32>,
    /// Bytes per second that a connection may carry in either direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Size>,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self { connections: 16_384, connections_per_client: None, bandwidth: None }
    }
}

/// How long a client may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpTimeouts {
    /// To send what has to come first: the PROXY header, the first message of TLS, and the rest of its handshake.
    pub hello: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self { hello: Duration::secs(10), idle: Duration::secs(3600) }
    }
}

/// Datagrams of UDP, passed on to the endpoints of a pool. Those of one client address and port are a session, which
/// keeps its endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UdpConfig {
    /// Where clients send to: one address, or an array of them.
    pub listen: Listen,
    /// The pool that datagrams go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// Sessions at once. Beyond that a new one takes the place of the one that has been silent longest of those that
    /// were never answered; if all were, its datagram is dropped.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub sessions: u32,
    /// A session ends when nothing has come for so long, either way.
    pub idle: Duration,
    /// A session ends after so many answers: 1 for DNS, where the port of each question is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub responses: Option<u32>,
    /// Only clients of these networks may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<NetworkEntry>>,
    /// Clients of these networks may not, whatever `allow` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<NetworkEntry>,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            pool: None,
            sessions: 65_536,
            idle: Duration::secs(30),
            responses: None,
            allow: None,
            deny: Vec::new(),
        }
    }
}
