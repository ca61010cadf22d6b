//! Names that are nobody's here, looked up elsewhere, for those who may ask.
//!
//! A query that no zone answers comes to [`Resolver::serve`], on the core that received it, which answers at once what it can: names
//! that are blocked (`lists`) or nobody's (`special`), and what the `cache` has. For the rest the client waits in a task: one look-up
//! for all who ask for the same (`flights`), from a `source`: of upstreams (`upstream`), or from the root on (`recursion`), with
//! signatures validated or not (`validation`). What comes back is understood
//! and written anew (`wire`), kept (`freshness` says for how long), and answered.
//!
//! Invariants:
//! - Whoever is not allowed is told nothing, not even what is known already.
//! - What is kept never takes more than `memory`, and is never used beyond its time and the bound for stale answers.
//! - Look-ups and waiting clients are bounded; who comes beyond hears SERVFAIL at once.
//! - An answer found in the cache costs no task, no allocation and no wait but for the lock of a shard.

mod asker;
mod cache;
mod config;
mod events;
mod extended;
mod files;
mod flights;
mod forward;
mod freshness;
mod judging;
mod key;
mod lists;
mod look_up;
mod recursion;
mod serving;
mod source;
mod special;
mod status;
mod upstream;
mod validation;
mod wire;

pub(crate) use config::check;
pub use config::{BlockAnswer, ResolverConfig, ResolverLimits, ResolverStale, ResolverTtl};
pub(crate) use files::Files;
pub use forward::{Forward, ForwardTable};
pub(crate) use key::Key;
pub(crate) use serving::{Served, Waiting};
pub use status::{ResolverStatus, UpstreamStatus};
pub use upstream::framed_messages;
use wire::is_within;
pub use wire::rewritten;

use crate::protocol::Name;
use arc_swap::ArcSwap;
use cache::{Cache, Stored};
use events::Events;
use flights::Flights;
use forward::Forwarder;
use freshness::Terms;
use source::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use telemetry::Registry;
use upstream::{Manner, Upstream};

/// One state of `[dns.resolver]`.
pub(crate) struct Resolver {
    config: ResolverConfig,
    files: Arc<Files>,
    terms: Terms,
    manner: Manner,
    wait: Duration,
    source: ArcSwap<Source>,
    kept: Arc<Kept>,
}

/// What outlives a reload.
struct Kept {
    start: Instant,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    waiting: AtomicUsize,
    /// How often something was flushed: what was asked for before is not kept.
    flushes: AtomicU64,
    events: Events,
    _gauges: telemetry::Hook,
}

impl Resolver {
    /// Made of the file; what `before` knows is kept as far as it still holds.
    pub(crate) fn new(
        config: &ResolverConfig,
        files: Arc<Files>,
        registry: &Registry,
        before: Option<&Arc<Self>>,
    ) -> Self {
        // Answers of others are no answers any more.
        let kept = match before.filter(|before| before.answers_like(config, &files)) {
            Some(before) => Arc::clone(&before.kept),
            None => Arc::new(Kept::new(config.memory.as_usize(), registry)),
        };
        // Whoever is believed for the same reasons keeps its connections.
        let known = |forwarder: &Forwarder| {
            let before = before?;
            let source = before.source.load();
            let mut known = before.files.forwarders().iter().zip(source.upstreams());
            let is_same = |old: &Forwarder| old.address == forwarder.address && old.ca == forwarder.ca;
            known.find(|(old, _)| is_same(old)).map(|(_, upstream)| Arc::clone(upstream))
        };
        let upstreams = files.forwarders().iter().map(|one| Upstream::of(one, known(one), registry));
        let upstreams = upstreams.collect();
        let seconds = |time: notation::Duration| u32::try_from(time.get().as_secs()).unwrap_or(u32::MAX);
        let terms = Terms {
            ttl_min_s: seconds(config.ttl.min),
            ttl_max_s: seconds(config.ttl.max),
            negative_max_s: seconds(config.ttl.negative),
            stale_s: seconds(config.stale.lasting),
            // The recursor's own cache would give the same answer again.
            prefetch: config.prefetch && !config.forward.is_empty(),
        };
        let manner = Manner { timeout: config.timeout.get(), random_case: config.random_case };
        Self {
            source: ArcSwap::from_pointee(Source::new(config, &files, upstreams, manner, (&kept, &terms))),
            terms,
            manner,
            wait: config.stale.wait.get(),
            config: config.clone(),
            files,
            kept,
        }
    }

    /// Whether answers would be the same as by another file.
    fn answers_like(&self, config: &ResolverConfig, files: &Files) -> bool {
        self.config.forward == config.forward
            && self.config.validates() == config.validates()
            && self.config.client_subnet == config.client_subnet
            && self.config.private_servers == config.private_servers
            && self.files.has_root_of(files)
    }

    /// Lets the bounds hold that outlive a state.
    pub(crate) fn apply(&self) {
        self.kept.cache.resize(self.config.memory.as_usize());
    }

    /// Reads files again that have changed. Not for a core.
    pub(crate) fn refresh(&self) {
        self.files.refresh();
        self.source.load().upstreams().iter().for_each(|upstream| upstream.refresh());
    }

    /// Forgets what is kept of a name, or of all within it; how many answers that were. Nor is kept what was asked for before.
    pub(crate) fn flush(&self, name: &Name, below: bool) -> u64 {
        let name = name.as_wire();
        let is_meant = |kept: &[u8]| if below { is_within(kept, name) } else { kept == name };
        // What hickory keeps of servers and signatures cannot be forgotten by name: it is a little, and is found anew.
        let upstreams = self.source.load().upstreams().to_vec();
        let kept = (&self.kept, &self.terms);
        self.source.store(Arc::new(Source::new(&self.config, &self.files, upstreams, self.manner, kept)));
        self.kept.flushes.fetch_add(1, Ordering::Release);
        self.kept.flights.forget(is_meant);
        self.kept.cache.flush(is_meant)
    }

    fn now_ms(&self) -> u64 {
        self.kept.now_ms()
    }
}

impl Kept {
    fn new(memory_bytes: usize, registry: &Registry) -> Self {
        let cache = Arc::new(Cache::new(memory_bytes));
        let flights = Arc::new(Flights::default());
        Self {
            start: Instant::now(),
            _gauges: events::gauges(registry, &cache, &flights),
            cache,
            flights,
            waiting: AtomicUsize::new(0),
            flushes: AtomicU64::new(0),
            events: Events::new(registry),
        }
    }

    /// To be noted before something is asked for.
    fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Keeps an answer, unless something was flushed since it was asked for.
    fn put(&self, key: &Key, stored: Stored, flushes: u64) {
        self.cache.put_if(&key.name, key.asked, key.hash(), stored, || self.flushes() == flushes);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
