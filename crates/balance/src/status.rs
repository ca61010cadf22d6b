//! A pool as people and programs see it from outside: the admin API serves these types as they are.

use crate::config::{Policy, PoolConfig};
use crate::member::Member;
use crate::pool::{Pool, is_ready, now};
use crate::slow_start;
use crate::snapshot::ramp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

/// A pool with its endpoints and live figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// The pool's name.
    pub name: String,
    /// How an endpoint is chosen.
    pub policy: Policy,
    /// Whether it has endpoints and each has had its first check.
    pub ready: bool,
    /// Whether too few endpoints are available, so that all are used.
    pub panic: bool,
    /// Endpoints that may be picked.
    pub available: usize,
    /// Requests in flight.
    pub inflight: usize,
    /// How many may be.
    pub inflight_max: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// How many may wait.
    pub waiting_max: usize,
    /// The endpoints, in the order of the file.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint with its live figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointStatus {
    /// Its name: the address as written in the file, or the instance's id.
    pub name: String,
    /// Where it is reached; absent until its name has been resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// What it is now.
    pub state: State,
    /// Why it is so.
    pub cause: String,
    /// Since when it is so, in milliseconds of the Unix epoch.
    pub since_unix_ms: u64,
    /// Whether new requests may be sent to it.
    pub available: bool,
    /// Its share of the work against the others' weights, as configured.
    pub weight: u32,
    /// The part of its weight that it has in its slow start, in percent.
    pub slow_start_percent: u32,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Whether it is used only when no other is available.
    pub backup: bool,
    /// Requests in flight.
    pub inflight: u64,
    /// Requests sent to it.
    pub requests: u64,
    /// Of these, how many failed: no connection, no answer, or one of 500 and above.
    pub failures: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// The moving average of the time to the first byte, in milliseconds; absent before the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// What an endpoint is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its name has no address yet.
    Unresolved,
    /// Its service has not said that it is ready.
    NotReady,
    /// Its first check has not ended.
    Unknown,
    /// It takes requests.
    Healthy,
    /// Its checks fail.
    Unhealthy,
    /// Live requests failed on it; it takes none for a while.
    Ejected,
    /// Its ejection is over: one request at a time shows whether it works again.
    Probing,
    /// A person asked that it take no new work.
    Draining,
}

impl State {
    /// The state in one lower-case word, as in the metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::NotReady => "not-ready",
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Probing => "probing",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The live figures.
impl Pool {
    /// The pool with its endpoints, at this moment.
    pub fn status(&self) -> PoolStatus {
        let (now, clock) = (now(), SystemTime::now());
        let (config, snapshot) = (self.config(), self.snapshot());
        let (ready, endpoints) = self.with_members(|members| {
            let endpoints = members.iter().map(|member| endpoint_status(member, &config, now, clock));
            (is_ready(members), endpoints.collect())
        });
        PoolStatus {
            name: self.name().to_owned(),
            policy: config.balance,
            ready,
            panic: snapshot.is_panic,
            available: snapshot.available,
            inflight: self.gate().inflight(),
            inflight_max: config.limit.inflight as usize,
            waiting: self.gate().waiting(),
            waiting_max: config.limit.queue as usize,
            endpoints,
        }
    }

    /// Brings the endpoints' series up to date.
    pub(crate) fn export(&self) {
        let (config, now) = (self.config(), now());
        self.with_members(|members| {
            for member in members {
                let share = f64::from(ramp(member, &config, now)) / f64::from(slow_start::FULL);
                member.export(f64::from(member.wanted.weight) * share);
            }
        });
    }
}

fn endpoint_status(member: &Member, config: &PoolConfig, now: Instant, clock: SystemTime) -> EndpointStatus {
    let (state, cause) = member.state();
    let since = clock - now.saturating_duration_since(member.shown.since);
    let endpoint = member.endpoint.as_ref();
    let latency = endpoint.and_then(|endpoint| endpoint.latency());
    EndpointStatus {
        name: member.wanted.name.to_string(),
        address: endpoint.map(|endpoint| endpoint.address()),
        state,
        cause: cause.to_owned(),
        since_unix_ms: since
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64),
        available: member.is_available(),
        weight: member.wanted.weight,
        slow_start_percent: ramp(member, config, now) * 100 / slow_start::FULL,
        at: member.wanted.at.clone(),
        backup: member.wanted.backup,
        inflight: endpoint.map_or(0, |endpoint| endpoint.inflight()),
        requests: endpoint.map_or(0, |endpoint| endpoint.requests()),
        failures: endpoint.map_or(0, |endpoint| endpoint.failures()),
        ejections: member.ejections.count,
        latency_ms: latency.map(|latency| latency.as_secs_f64() * 1000.0),
    }
}
