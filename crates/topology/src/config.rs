//! The whole file as types, and `[node]`, the part that belongs to no tier.

use balance::PoolConfig;
use cdn::CdnConfig;
use dns::DnsConfig;
use edge::{EdgeConfig, SiteConfig};
use layer4::{TcpConfig, UdpConfig};
use notation::{Named, Secret};
use push::PushConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use services::ServiceConfig;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// nines.toml: which tiers run on this node, and how. A tier exists only if the file names it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// This node.
    pub node: NodeConfig,
    /// Programs that nines runs, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub service: Named<ServiceConfig>,
    /// Load-balanced pools of endpoints, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pool: Named<PoolConfig>,
    /// The reverse proxy's listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeConfig>,
    /// Sites, by host: `"shop.test"`, `"*.shop.test"`, or `default` for every other host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub site: Named<SiteConfig>,
    /// Stores that files are pushed to, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub push: Named<PushConfig>,
    /// The cache of HTTP responses, for routes with `cache`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdn: Option<CdnConfig>,
    /// Connections of TCP that are passed on to pools, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tcp: Named<TcpConfig>,
    /// Datagrams of UDP that are passed on to pools, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub udp: Named<UdpConfig>,
    /// Authoritative DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsConfig>,
}

/// This node: what belongs to no tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// The folder for what must outlive a restart, relative to the file's own.
    pub data: PathBuf,
    /// The address of the admin API, with health, readiness and metrics.
    #[schemars(with = "String", extend("format" = "socket-address"))]
    pub admin: SocketAddr,
    /// The token that the admin API demands; required when `admin` is not a loopback address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<Secret>,
    /// What the nodes that serve the same sites share, of 32 random bytes or more: with it they understand each
    /// other's sticky cookies and those of DNS. Without it a node makes a key of its own, and keeps it in `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Where this node is, for example `"eu"`: endpoints at the same place are used first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Where the admin API listens unless the file says otherwise.
pub const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

impl Default for NodeConfig {
    fn default() -> Self {
        Self { data: "data".into(), admin: ADMIN_DEFAULT, admin_token: None, secret: None, at: None }
    }
}
