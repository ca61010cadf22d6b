//! `[pool.NAME]`: who the endpoints are, how one is chosen, and what is done when one fails.

use notation::{Duration, Name, Percent, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tls::ClientTls;

/// A load-balanced pool of endpoints. Exactly one of `servers`, `service` and `dns` says who they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// Endpoints by address, `"10.0.0.1:3000"` or with weight, place and role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<TextOr<ServerConfig>>>,
    /// The name of a `[service.NAME]` whose instances are the endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    /// A DNS name with a port, `"shop.internal:3000"`: every address is an endpoint, resolved again at its TTL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Name>,
    /// How endpoints are spoken to.
    pub protocol: Protocol,
    /// Tell endpoints who the client is by a PROXY protocol header before all else. Each connection is then for one
    /// client, and is not kept after its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyVersion>,
    /// TLS with the endpoints: `true`, or a table that says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// How an endpoint is chosen.
    pub balance: Policy,
    /// What the `ring-hash` and `maglev` policies hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashKey>,
    /// Send a client to the endpoint it had before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Active health checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthConfig>,
    /// Passive health: take an endpoint out when live requests fail on it (circuit breaking).
    pub eject: EjectConfig,
    /// Give a new or recovered endpoint its full share only after this time, in ten steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// Below this share of available endpoints, use all of them but the draining: a failing check must not end
    /// the site. Backups and those drained do not count. `"0%"`, the default, turns it off.
    pub panic: Percent,
    /// How many requests at once, and how many may wait.
    pub limit: LimitConfig,
    /// Trying again on another endpoint.
    pub retry: RetryConfig,
    /// How long an endpoint may take.
    pub timeout: TimeoutConfig,
    /// Idle connections kept to endpoints.
    pub keepalive: KeepaliveConfig,
}

/// A server with its weight, place and role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// `"10.0.0.1:3000"`, `"[2001:db8::1]:3000"` or `"app-1:3000"`, a name being resolved again at its TTL.
    pub address: Name,
    /// Its share of the work against the others' weights; 0 takes no new work.
    #[serde(default = "one")]
    #[schemars(range(max = 1000))]
    pub weight: u32,
    /// Where it is, to be compared with `[node] at`: endpoints at the same place are used first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Used only when no other endpoint is available.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
}

fn one() -> u32 {
    1
}

/// How endpoints are spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: requests share connections, and gRPC passes. Without TLS with prior knowledge (RFC 9113 §3.3).
    Http2,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// A binary header, with the TLS server name and version where they are known.
    V2,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Any, by weight.
    Random,
    /// One after the other, each weight in a row.
    RoundRobin,
    /// One after the other, weights spread evenly (smooth weighted round-robin).
    WeightedRoundRobin,
    /// Fewest requests in flight over weight.
    LeastLoaded,
    /// The less loaded of two taken at random.
    #[default]
    PowerOfTwo,
    /// The lower of two by latency (peak-sensitive moving average) times load.
    PeakEwma,
    /// Consistent hashing on a ring, with bounded load.
    RingHash,
    /// Consistent hashing by Maglev's lookup table.
    Maglev,
}

/// What a request is hashed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HashKey {
    /// The value of a request header.
    Header(String),
    /// The value of a cookie of the application's.
    Cookie(String),
    /// `"client-address"`: the client's address (IPv6 by /64).
    #[serde(rename = "client-address")]
    ClientAddress,
    /// `"path"`: the request's path without its query.
    Path,
}

/// How a client keeps its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sticky {
    /// A cookie that nines issues; its value is opaque and outlives the endpoint's restarts. A draining endpoint
    /// keeps the clients that carry its cookie.
    Cookie(String),
    /// The same value of a request header goes to the same endpoint.
    Header(String),
    /// `"client-address"`: the same client address goes to the same endpoint.
    #[serde(rename = "client-address")]
    ClientAddress,
}

/// An active check: exactly one of `http`, `tcp` and `grpc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// GET this path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Name>,
    /// `true`: a connection is enough.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tcp: bool,
    /// Ask `grpc.health.v1.Health/Check` about this service; `""` asks about the whole server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
    /// Time between two checks; each is moved by up to a tenth, so that they do not march in step.
    pub every: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Failed checks in a row that make an endpoint unhealthy.
    #[schemars(range(min = 1))]
    pub fall: u32,
    /// Passed checks in a row that make it healthy again. The very first check decides alone; an endpoint that
    /// has never been healthy is checked more often than `every`, and its first passed check is enough.
    #[schemars(range(min = 1))]
    pub rise: u32,
    /// The statuses that pass an `http` check: `"200-399"`, `"200,204"`.
    pub status: Name,
    /// Text that the body of an `http` check must contain, within its first 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Headers that the answer of an `http` check must carry, with these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The Host header of an `http` check; otherwise the endpoint's address, or its name in a pool with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Check this port instead of the one that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            http: None,
            tcp: false,
            grpc: None,
            every: Duration::secs(2),
            timeout: Duration::secs(1),
            fall: 2,
            rise: 2,
            status: Name::new("200-399"),
            body: None,
            headers: BTreeMap::new(),
            host: None,
            port: None,
        }
    }
}

/// When live failures take an endpoint out, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EjectConfig {
    /// Failures in a row; 0 turns this rule off.
    pub failures: u32,
    /// The share of failed requests within `window` by which an endpoint exceeds the rest of the pool: when all
    /// fail alike, nobody is taken out. Off when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Percent>,
    /// The time over which `ratio` looks.
    pub window: Duration,
    /// Requests within `window` below which `ratio` does not judge.
    #[schemars(range(min = 1))]
    pub requests_min: u32,
    /// How long the first ejection lasts; the n-th in a row lasts n times as long. After it, one request at a time
    /// shows whether the endpoint works again.
    #[serde(rename = "for")]
    pub for_: Duration,
    /// The longest ejection.
    pub for_max: Duration,
    /// At most this share of the pool is out by ejection; one endpoint always may be, if there are two. The last
    /// available endpoint never goes.
    pub max: Percent,
}

impl Default for EjectConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            ratio: None,
            window: Duration::secs(10),
            requests_min: 20,
            for_: Duration::secs(10),
            for_max: Duration::secs(300),
            max: Percent::of(50.0),
        }
    }
}

/// How many requests at once. What exceeds `inflight` waits in `queue` for at most `wait`, then hears 503.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitConfig {
    /// Requests in flight over the whole pool.
    #[schemars(range(min = 1))]
    pub inflight: u32,
    /// Requests in flight on one endpoint; a full endpoint is passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub inflight_per_endpoint: Option<u32>,
    /// Requests that may wait.
    pub queue: u32,
    /// How long one may wait.
    pub wait: Duration,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self { inflight: 1024, inflight_per_endpoint: None, queue: 1024, wait: Duration::secs(1) }
    }
}

/// Trying again. Only a request that may be sent twice is retried (RFC 9110 §9.2.2), and only while no
/// byte of an answer has reached the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Retries may add at most this share to the pool's requests.
    pub budget: Percent,
    /// Tries of one request, the first included.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// What is tried again.
    pub on: Vec<RetryOn>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { budget: Percent::of(20.0), attempts: 3, on: vec![RetryOn::Connect, RetryOn::Reset] }
    }
}

/// A failure that another endpoint may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// The connection could not be made; nothing was sent, so any method is retried.
    Connect,
    /// The connection ended before an answer began.
    Reset,
    /// The answer did not begin in time.
    FirstByte,
    /// The endpoint answered 502.
    #[serde(rename = "502")]
    BadGateway,
    /// The endpoint answered 503.
    #[serde(rename = "503")]
    Unavailable,
    /// The endpoint answered 504.
    #[serde(rename = "504")]
    GatewayTimeout,
}

/// How long an endpoint may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutConfig {
    /// To accept a connection.
    pub connect: Duration,
    /// To begin its answer.
    pub first_byte: Duration,
    /// Between two parts of a body, either way.
    pub idle: Duration,
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self { connect: Duration::secs(2), first_byte: Duration::secs(60), idle: Duration::secs(60) }
    }
}

/// Idle connections kept to an endpoint, per core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepaliveConfig {
    /// Idle connections to one endpoint; 0 closes each after its request.
    pub connections: u32,
    /// How long one may idle.
    pub idle: Duration,
}

impl Default for KeepaliveConfig {
    fn default() -> Self {
        Self { connections: 256, idle: Duration::secs(30) }
    }
}
