//! The resolver as people see it.

use super::Resolver;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A resolver as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolverStatus {
    /// Answers that are kept.
    pub entries: u64,
    /// What they take, in octets.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// Look-ups that are under way.
    pub lookups: usize,
    /// Whom it asks.
    pub upstreams: Vec<UpstreamStatus>,
}

/// One of those who are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamStatus {
    /// Where it is.
    pub address: String,
    /// How long it takes to answer, in microseconds; none if it has not yet.
    pub rtt_us: Option<u64>,
    /// It has failed several times, and is asked last.
    pub is_down: bool,
    /// Why the last question to it has failed; none if it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Resolver {
    pub(crate) fn status(&self) -> ResolverStatus {
        let (figures, now) = (self.kept.cache.figures(), Instant::now());
        let source = self.source.load();
        let upstreams = source.upstreams().iter().map(|upstream| {
            let (rtt, is_down) = upstream.state(now);
            let rtt_us = rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX));
            UpstreamStatus {
                address: upstream.address.to_string(),
                rtt_us,
                is_down,
                trouble: upstream.trouble(),
            }
        });
        ResolverStatus {
            entries: figures.entries,
            bytes: figures.bytes,
            bytes_max: self.config.memory.get(),
            lookups: self.kept.flights.len(),
            upstreams: upstreams.collect(),
        }
    }
}
