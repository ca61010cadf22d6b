//! A running node as people and programs see it: the admin API serves these types as they are.

use balance::PoolStatus;
use edge::SiteCacheStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use services::ServiceStatus;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A node with everything that runs on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The version of nines that runs.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it has been running, in milliseconds.
    pub uptime_ms: u64,
    /// The file it runs.
    pub file: PathBuf,
    /// Where the node is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Whether it serves, prepares or drains.
    pub readiness: Readiness,
    /// The tiers that the file names: `services`, `balance`, `edge`, `cdn`, `layer4`, `dns`.
    pub tiers: Vec<String>,
    /// What listens where.
    pub listeners: Vec<ListenerStatus>,
    /// Client connections that are open, at the edge, of TCP and of DNS.
    pub connections: usize,
    /// What is listened to of TCP and UDP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer4: Vec<layer4::ListenerStatus>,
    /// The zones that are answered for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<dns::ZoneStatus>,
    /// The resolver of DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<dns::ResolverStatus>,
    /// The cache, without what was missed most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdn: Option<CdnStatus>,
    /// The sites, by host.
    pub sites: Vec<SiteStatus>,
    /// The pools with their endpoints.
    pub pools: Vec<PoolStatus>,
    /// The services with their instances.
    pub services: Vec<ServiceStatus>,
}

/// The cache: how full it is, and what was counted since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CdnStatus {
    /// Of all sites: the share of requests that were answered from the cache, between 0 and 1; nothing where none came.
    pub hit_ratio: Option<f64>,
    /// The share of the bodies' bytes that came from it.
    pub byte_hit_ratio: Option<f64>,
    /// Memory of responses that are kept.
    pub memory_bytes: u64,
    /// Responses that are kept in memory.
    pub memory_objects: u64,
    /// Bytes of responses on the disk.
    pub disk_bytes: u64,
    /// Responses that are kept on the disk.
    pub disk_objects: u64,
    /// Responses that left memory for others.
    pub evicted: u64,
    /// Fetches that were begun.
    pub fills: u64,
    /// Requests that waited for the fetch of another.
    pub coalesced: u64,
    /// Responses that were asked for anew while they were fresh.
    pub refreshes: u64,
    /// Purges and invalidations.
    pub purges: u64,
    /// The sites that have a route with a cache.
    pub sites: Vec<SiteCacheStatus>,
    /// The other nodes that keep the same.
    pub nodes: Vec<CdnNodeStatus>,
}

/// Another node that keeps the same, as it is seen from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CdnNodeStatus {
    /// Its admin API.
    pub address: SocketAddr,
    /// `heard`, `down` (it does not run) or `silent` (what is kept is confirmed with the origin).
    pub state: String,
    /// How long ago all was known here that it knew, in seconds; nothing where it never was.
    pub heard_seconds: Option<f64>,
    /// Purges that it has not acknowledged.
    pub pending: u64,
    /// Exchanges that failed, since the start.
    pub failures: u64,
}

/// An open listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerStatus {
    /// Who listens: `edge`, `layer4`, `dns` or `admin`.
    pub tier: String,
    /// What it speaks: `http`, `https`, `http3`, `tcp` or `udp`.
    pub protocol: String,
    /// Where, with the port that the kernel chose when the file says 0.
    pub address: SocketAddr,
}

/// A site and where its paths lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteStatus {
    /// The host, or `default`.
    pub host: String,
    /// Whether it is served over TLS.
    pub tls: bool,
    /// Its routes, in the order of their paths.
    pub routes: Vec<RouteStatus>,
}

/// A route of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteStatus {
    /// The path as in the file.
    pub path: String,
    /// Whether further conditions must hold.
    pub conditional: bool,
    /// What is done: `pool shop`, `redirect to https://shop.test{path}`, `respond 404`.
    pub action: String,
}

/// Whether the node can serve, and what it waits for if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// Every pool can serve, or has checked all its endpoints; and the node is not stopping.
    pub ready: bool,
    /// The node has been told to stop, or another process has taken over.
    pub stopping: bool,
    /// The pools that are waited for.
    pub waiting: Vec<PoolWaiting>,
}

/// A pool that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolWaiting {
    /// The pool's name.
    pub pool: String,
    /// What is missing: "no endpoints yet", "first health check of shop-1 and shop-2".
    pub why: String,
}
