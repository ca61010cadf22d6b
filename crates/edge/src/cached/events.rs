//! What is counted of the cache for each site that has a route with one.

use super::CacheUse;
use cdn::SiteMisses;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use telemetry::{Counter, Histogram, Registry};

/// From seconds to a month: lifetimes are of all lengths.
const AGE_BOUNDS: &[f64] = &[1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0];

/// Counted for each site that has a route with a cache.
pub(crate) struct CacheEvents {
    requests: [Counter; CacheUse::ALL.len()],
    sent: [Counter; CacheUse::ALL.len()],
    hit_age: Histogram,
    pub(crate) misses: Arc<SiteMisses>,
}

impl CacheEvents {
    pub(crate) fn new(registry: &Registry, site: &str, misses: Arc<SiteMisses>) -> Self {
        let counters = |name, help| {
            CacheUse::ALL
                .map(|cache| registry.counter(name, help, &[("site", site), ("cache", cache.name())]))
        };
        Self {
            requests: counters(
                "nines_cdn_requests_total",
                "Requests to routes with a cache, by what it was to them.",
            ),
            sent: counters(
                "nines_cdn_sent_bytes_total",
                "Bytes of bodies sent to clients, by what the cache was to their requests.",
            ),
            hit_age: registry.histogram(
                "nines_cdn_hit_age_seconds",
                "How old responses were that were answered with from the cache.",
                &[("site", site)],
                AGE_BOUNDS,
            ),
            misses,
        }
    }

    /// Counts one request, with the age of the response in seconds where that is known.
    pub(crate) fn answered(&self, cache: CacheUse, sent_bytes: u64, age: Option<u32>) {
        self.requests[cache as usize].inc();
        self.sent[cache as usize].add(sent_bytes);
        if let (CacheUse::Hit | CacheUse::Stale, Some(age)) = (cache, age) {
            self.hit_age.observe_value(f64::from(age));
        }
    }

    /// What was counted of a site since the start, with at most so many of the URLs that were missed most.
    pub(crate) fn status(&self, site: &str, misses: usize) -> SiteCacheStatus {
        let (requests, sent_bytes) = (CacheCounts::of(&self.requests), CacheCounts::of(&self.sent));
        SiteCacheStatus {
            site: site.to_owned(),
            hit_ratio: requests.hit_ratio(),
            byte_hit_ratio: sent_bytes.hit_ratio(),
            requests,
            sent_bytes,
            top_misses: self.misses.top(misses).into_iter().map(MissStatus::from).collect(),
        }
    }
}

/// What was counted of a site with a cache since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SiteCacheStatus {
    /// The host, or `default`.
    pub site: String,
    /// The share of requests that were answered from the cache, between 0 and 1; nothing where none came.
    pub hit_ratio: Option<f64>,
    /// The share of the bodies' bytes that came from it.
    pub byte_hit_ratio: Option<f64>,
    /// Requests, by what the cache was to them.
    pub requests: CacheCounts,
    /// Bytes of bodies that were sent, by what the cache was to their requests.
    pub sent_bytes: CacheCounts,
    /// The URLs that the origin was asked for most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_misses: Vec<MissStatus>,
}

/// Counted by what the cache was to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CacheCounts {
    /// It answered.
    pub hit: u64,
    /// It answered with what is stale.
    pub stale: u64,
    /// The origin was asked for all.
    pub miss: u64,
    /// The fetch of another answered.
    pub collapsed: u64,
    /// It had no part in it.
    pub pass: u64,
}

impl CacheCounts {
    fn of(counters: &[Counter; CacheUse::ALL.len()]) -> Self {
        let count = |cache: CacheUse| counters[cache as usize].get();
        Self {
            hit: count(CacheUse::Hit),
            stale: count(CacheUse::Stale),
            miss: count(CacheUse::Miss),
            collapsed: count(CacheUse::Collapsed),
            pass: count(CacheUse::Pass),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            hit: self.hit + other.hit,
            stale: self.stale + other.stale,
            miss: self.miss + other.miss,
            collapsed: self.collapsed + other.collapsed,
            pass: self.pass + other.pass,
        }
    }

    /// The share that was answered from what was kept; nothing where there was none.
    pub fn hit_ratio(&self) -> Option<f64> {
        let Self { hit, stale, miss, collapsed, pass } = *self;
        let all = hit + stale + miss + collapsed + pass;
        (all > 0).then(|| (hit + stale) as f64 / all as f64)
    }
}

/// A URL that was missed often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissStatus {
    /// What it is kept under: scheme, host, path and query.
    pub url: String,
    /// How often the origin was asked for it, at most.
    pub misses: u64,
    /// How often, at least: what is rare among many is not counted exactly.
    pub misses_min: u64,
    /// Why, the last time.
    pub why: String,
}

impl From<cdn::TopMiss> for MissStatus {
    fn from(miss: cdn::TopMiss) -> Self {
        let cdn::TopMiss { url, misses_max, misses_min, why } = miss;
        Self { url, misses: misses_max, misses_min, why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_a_hit_be_it_stale_and_all_requests_count() {
        let counts = CacheCounts { hit: 5, stale: 1, miss: 2, collapsed: 1, pass: 3 };
        assert_eq!(counts.hit_ratio(), Some(0.5));
        assert_eq!(CacheCounts::default().hit_ratio(), None);
        assert_eq!(counts.and(counts).hit_ratio(), Some(0.5));
    }

    #[test]
    fn ages_are_those_of_hits() {
        let registry = Registry::new();
        let events = CacheEvents::new(&registry, "a.test", Arc::default());
        for (cache, age) in [
            (CacheUse::Hit, Some(30)),
            (CacheUse::Stale, Some(90)),
            (CacheUse::Miss, Some(0)),
            (CacheUse::Hit, None),
        ] {
            events.answered(cache, 10, age);
        }
        assert_eq!(events.hit_age.count(), 2);
        let status = events.status("a.test", 9);
        assert_eq!((status.hit_ratio, status.sent_bytes.hit), (Some(0.75), 20));
    }
}
