//! One endpoint: who it is, and the figures that every core writes.

use crate::latency;
use crate::pool::Pool;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// An endpoint's number, never given twice in the life of a process. An endpoint keeps it through reloads;
/// an instance that comes back at another address is a new endpoint with the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

impl EndpointId {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An endpoint of a pool.
pub struct Endpoint {
    id: EndpointId,
    name: Arc<str>,
    address: SocketAddr,
    /// What a sticky cookie holds to name this endpoint.
    token: u64,
    cookie: Box<str>,
    pool: Weak<Pool>,
    /// The moment from which its stamps count.
    begun: Instant,
    gone: AtomicBool,
    figures: Figures,
}

/// What the cores write at every request, apart from the lines that they only read.
#[derive(Default)]
#[repr(align(128))]
struct Figures {
    /// Requests given to it. In flight are `started - ended`: two counters cost one write each, while a third
    /// for the requests in flight would cost two more.
    started: AtomicU64,
    ended: AtomicU64,
    /// Of the ended, those that the client gave up: neither success nor failure.
    cancelled: AtomicU64,
    failures: AtomicU64,
    /// Failures since the last success.
    failures_in_row: AtomicU32,
    /// See [`latency`].
    latency: AtomicU64,
    /// When the probe under way began, in nanoseconds since `begun`; 0 when there is none.
    probe: AtomicU64,
}

/// Totals since the endpoint's beginning, of requests that ended and were not cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) finished: u64,
    pub(crate) failed: u64,
}

impl Totals {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { finished: self.finished + other.finished, failed: self.failed + other.failed }
    }
}

impl Endpoint {
    pub(crate) fn new(
        name: Arc<str>,
        address: SocketAddr,
        token: u64,
        pool: Weak<Pool>,
        now: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: EndpointId::next(),
            name,
            address,
            token,
            cookie: format!("{token:016x}").into(),
            pool,
            begun: now,
            gone: AtomicBool::new(false),
            figures: Figures::default(),
        })
    }

    /// Its number.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Its name: the address as written in the file, or a service instance's id.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it has been removed from its pool; idle connections to it should be closed.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Requests in flight.
    pub fn inflight(&self) -> u64 {
        // `ended` first: read the other way round, a request that ends in between would count below zero.
        let ended = self.figures.ended.load(Relaxed);
        self.figures.started.load(Relaxed).saturating_sub(ended)
    }

    /// Requests given to it so far.
    pub fn requests(&self) -> u64 {
        self.figures.started.load(Relaxed)
    }

    /// Requests that failed on it so far.
    pub fn failures(&self) -> u64 {
        self.figures.failures.load(Relaxed)
    }

    /// The moving average of the time to the first byte, once there is one.
    pub fn latency(&self) -> Option<Duration> {
        latency::measured(self.figures.latency.load(Relaxed)).map(Duration::from_secs_f64)
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(crate) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.upgrade()
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Relaxed);
    }

    /// The latency that a request sent now should expect, in seconds.
    pub(crate) fn latency_secs(&self, now: Instant) -> Option<f64> {
        latency::sunk(self.figures.latency.load(Relaxed), self.stamp(now))
    }

    pub(crate) fn totals(&self) -> Totals {
        // In this order a request that ends in between is missing, rather than failed without having ended.
        let failed = self.figures.failures.load(Relaxed);
        let cancelled = self.figures.cancelled.load(Relaxed);
        Totals { finished: self.figures.ended.load(Relaxed).saturating_sub(cancelled).max(failed), failed }
    }

    /// Carries on counting where an endpoint of the same name at an older address left off.
    pub(crate) fn continue_from(&self, before: &Self) {
        let (ended, figures) = (before.figures.ended.load(Relaxed), &self.figures);
        figures.started.store(ended, Relaxed);
        figures.ended.store(ended, Relaxed);
        figures.cancelled.store(before.figures.cancelled.load(Relaxed), Relaxed);
        figures.failures.store(before.figures.failures.load(Relaxed), Relaxed);
    }

    /// Counts a request in, unless it already has `inflight_max`.
    pub(crate) fn start(&self, inflight_max: u64) -> bool {
        let started = self.figures.started.fetch_add(1, Relaxed);
        if inflight_max == u64::MAX || started.saturating_sub(self.figures.ended.load(Relaxed)) < inflight_max
        {
            return true;
        }
        self.figures.started.fetch_sub(1, Relaxed);
        false
    }

    pub(crate) fn end_cancelled(&self) {
        self.figures.cancelled.fetch_add(1, Relaxed);
        self.figures.ended.fetch_add(1, Relaxed);
    }

    pub(crate) fn end_answered(&self, latency: Duration, now: Instant) {
        self.figures.ended.fetch_add(1, Relaxed);
        if self.figures.failures_in_row.load(Relaxed) != 0 {
            self.figures.failures_in_row.store(0, Relaxed);
        }
        self.observe(latency, now);
    }

    /// Counts a failure; returns how many there are in a row.
    pub(crate) fn end_failed(&self, latency: Duration, now: Instant) -> u32 {
        self.figures.failures.fetch_add(1, Relaxed);
        self.figures.ended.fetch_add(1, Relaxed);
        // A quick refusal must not look like a quick answer: a failure never lowers the average.
        let floor = latency::measured(self.figures.latency.load(Relaxed)).map(Duration::from_secs_f64);
        self.observe(latency.max(floor.unwrap_or_default()), now);
        self.figures.failures_in_row.fetch_add(1, Relaxed).saturating_add(1)
    }

    pub(crate) fn forget_failures_in_row(&self) {
        self.figures.failures_in_row.store(0, Relaxed);
    }

    /// Takes the one probe of an endpoint whose ejection is over. A probe older than `patience` no longer counts:
    /// it may be a tunnel that stays for hours.
    pub(crate) fn start_probe(&self, patience: Duration, now: Instant) -> bool {
        let before = self.figures.probe.load(Relaxed);
        let nanos = self.nanos(now);
        Self::probe_is_free(before, nanos, patience)
            && self.figures.probe.compare_exchange(before, nanos, Relaxed, Relaxed).is_ok()
    }

    pub(crate) fn may_probe(&self, patience: Duration, now: Instant) -> bool {
        Self::probe_is_free(self.figures.probe.load(Relaxed), self.nanos(now), patience)
    }

    pub(crate) fn end_probe(&self) {
        self.figures.probe.store(0, Relaxed);
    }

    fn probe_is_free(probe: u64, nanos: u64, patience: Duration) -> bool {
        probe == 0 || u128::from(nanos.saturating_sub(probe)) > patience.as_nanos()
    }

    fn observe(&self, latency: Duration, now: Instant) {
        let stamp = self.stamp(now);
        let mut before = self.figures.latency.load(Relaxed);
        // One more try is enough: what is lost is one measurement of many.
        for _ in 0..2 {
            let after = latency::observe(before, latency, stamp);
            if after == before {
                return;
            }
            match self.figures.latency.compare_exchange_weak(before, after, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => before = other,
            }
        }
    }

    fn stamp(&self, now: Instant) -> u32 {
        latency::stamp(now.saturating_duration_since(self.begun))
    }

    fn nanos(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.begun).as_nanos() as u64).max(1)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id.0)
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(now: Instant) -> Arc<Endpoint> {
        Endpoint::new("app".into(), ([10, 0, 0, 1], 80).into(), 0, Weak::new(), now)
    }

    #[test]
    fn a_request_that_finds_no_place_is_not_counted() {
        let now = Instant::now();
        let endpoint = endpoint(now);
        assert!(endpoint.start(2) && endpoint.start(2));
        assert!(!endpoint.start(2) && !endpoint.start(2));
        assert_eq!((endpoint.inflight(), endpoint.requests()), (2, 2));
        endpoint.end_answered(Duration::ZERO, now);
        assert!(endpoint.start(2));
    }

    #[test]
    fn a_quick_failure_is_no_quick_answer() {
        let now = Instant::now();
        let endpoint = endpoint(now);
        endpoint.end_answered(Duration::from_millis(200), now);
        let later = now + Duration::from_secs(5);
        assert_eq!(endpoint.end_failed(Duration::from_micros(50), later), 1);
        assert!(endpoint.latency().unwrap() >= Duration::from_millis(199));
        endpoint.end_answered(Duration::from_micros(50), later + Duration::from_secs(5));
        assert!(endpoint.latency().unwrap() < Duration::from_millis(150));
    }

    #[test]
    fn what_was_given_up_is_neither_finished_nor_failed() {
        let now = Instant::now();
        let endpoint = endpoint(now);
        for _ in 0..4 {
            assert!(endpoint.start(u64::MAX));
        }
        endpoint.end_cancelled();
        endpoint.end_answered(Duration::ZERO, now);
        assert_eq!(endpoint.end_failed(Duration::ZERO, now), 1);
        assert_eq!(endpoint.totals(), Totals { finished: 2, failed: 1 });
        assert_eq!((endpoint.inflight(), endpoint.requests()), (1, 4));
    }
}
