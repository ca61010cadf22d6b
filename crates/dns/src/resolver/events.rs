//! What is counted of the resolver.

use super::cache::{Cache, Found};
use super::flights::Flights;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use telemetry::{Counter, Histogram, Hook, Registry};

/// Seconds: from a server in the house to one on the other side of the world that had to ask others.
const LATENCY_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Counted of all questions.
pub(crate) struct Events {
    hits: Counter,
    stale: Counter,
    pub(crate) misses: Counter,
    /// Asked for anew before their time was over.
    pub(crate) prefetches: Counter,
    /// Waited for an answer that somebody else had asked for.
    pub(crate) coalesced: Counter,
    /// Not asked for, because too many wait.
    pub(crate) shed: Counter,
    /// Clients that may not ask.
    pub(crate) denied: Counter,
    pub(crate) blocked: Counter,
    validations: [Counter; Validated::ALL.len()],
}

/// What signatures say of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validated {
    Secure,
    Insecure,
    Bogus,
}

impl Validated {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Secure, "secure"), (Self::Insecure, "insecure"), (Self::Bogus, "bogus")];
}

/// Counted of one upstream.
pub(crate) struct UpstreamEvents {
    attempts: [Counter; Attempt::ALL.len()],
    /// Messages that are no answers to what was asked.
    pub(crate) foreign: Counter,
    pub(crate) latency: Histogram,
}

/// How a try went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Answered,
    /// SERVFAIL, REFUSED, and the like.
    Refused,
    /// No answer, or none that can be read.
    Failed,
    /// Another was faster.
    Overtaken,
}

impl Attempt {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Answered, "answered"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
        (Self::Overtaken, "overtaken"),
    ];
}

impl Events {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help, &[]);
        let cached = |outcome| {
            let help = "Queries of clients, by what the cache had for them.";
            registry.counter("nines_dns_resolver_queries_total", help, &[("cache", outcome)])
        };
        Self {
            hits: cached("hit"),
            stale: cached("stale"),
            misses: cached("miss"),
            prefetches: counter(
                "nines_dns_resolver_prefetches_total",
                "Answers that were asked for anew before their time was over.",
            ),
            coalesced: counter(
                "nines_dns_resolver_coalesced_total",
                "Queries that waited for an answer which was asked for already.",
            ),
            shed: counter("nines_dns_resolver_shed_total", "Queries that failed because too many wait."),
            denied: counter("nines_dns_resolver_denied_total", "Queries of clients that may not ask."),
            blocked: counter("nines_dns_resolver_blocked_total", "Queries for names on a block list."),
            validations: Validated::ALL.map(|(_, outcome)| {
                let help = "Answers that were validated, by outcome.";
                registry.counter("nines_dns_resolver_validations_total", help, &[("outcome", outcome)])
            }),
        }
    }

    #[inline]
    pub(crate) fn found(&self, found: Found) {
        match found {
            Found::Fresh | Found::Due => self.hits.inc(),
            Found::Stale => self.stale.inc(),
            Found::Expired | Found::Nothing => {}
        }
    }

    /// An answer was used beyond its time because no other came.
    pub(crate) fn stale(&self) {
        self.stale.inc();
    }

    pub(crate) fn validated(&self, outcome: Validated) {
        self.validations[outcome as usize].inc();
    }
}

impl UpstreamEvents {
    pub(crate) fn new(registry: &Registry, upstream: &str) -> Self {
        let attempt = |(_, outcome)| {
            registry.counter(
                "nines_dns_resolver_upstream_queries_total",
                "Queries to an upstream, by outcome.",
                &[("upstream", upstream), ("outcome", outcome)],
            )
        };
        Self {
            attempts: Attempt::ALL.map(attempt),
            foreign: registry.counter(
                "nines_dns_resolver_upstream_foreign_total",
                "Messages in the name of an upstream that do not answer what was asked.",
                &[("upstream", upstream)],
            ),
            latency: registry.histogram(
                "nines_dns_resolver_upstream_seconds",
                "How long an upstream takes to answer.",
                &[("upstream", upstream)],
                LATENCY_BOUNDS,
            ),
        }
    }

    pub(crate) fn attempt(&self, attempt: Attempt) {
        self.attempts[attempt as usize].inc();
    }
}

/// Tells how full everything is, whenever somebody looks.
pub(crate) fn gauges(registry: &Registry, cache: &Arc<Cache>, flights: &Arc<Flights>) -> Hook {
    let gauge = |name: &str, help: &str| registry.gauge(name, help, &[]);
    let entries = gauge("nines_dns_resolver_cache_entries", "Answers that are kept.");
    let bytes = gauge("nines_dns_resolver_cache_bytes", "Memory of answers that are kept.");
    let lookups = gauge("nines_dns_resolver_lookups", "Look-ups that are under way.");
    let evicted =
        registry.counter("nines_dns_resolver_cache_evicted_total", "Answers that had to go for others.", &[]);
    let (cache, flights) = (Arc::clone(cache), Arc::clone(flights));
    let told = AtomicU64::new(0);
    registry.on_render(move || {
        let figures = cache.figures();
        entries.set(figures.entries as f64);
        bytes.set(figures.bytes as f64);
        lookups.set(flights.len() as f64);
        evicted.add(figures.evicted.saturating_sub(told.swap(figures.evicted, Ordering::Relaxed)));
    })
}
