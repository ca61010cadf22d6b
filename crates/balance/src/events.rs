//! What a pool counts and tells: every change of an endpoint's state is one event with its cause.

use crate::choose::Refusal;
use crate::member::Member;
use crate::pool::Pool;
use crate::status::State;
use std::collections::BTreeMap;
use std::sync::Weak;
use telemetry::{Counter, Gauge, Hook, Registry};

/// The series of one endpoint; they disappear with it.
pub(crate) struct Meters {
    registry: Registry,
    pool: String,
    endpoint: String,
    up: Gauge,
    inflight: Gauge,
    weight: Gauge,
    requests: Counter,
    failures: Counter,
    ejections: Counter,
    checks_passed: Counter,
    checks_failed: Counter,
    transitions: BTreeMap<State, Counter>,
}

impl Meters {
    pub(crate) fn new(registry: &Registry, pool: &str, endpoint: &str) -> Self {
        let labels = [("pool", pool), ("endpoint", endpoint)];
        let counter = |name, help| registry.counter(name, help, &labels);
        let gauge = |name, help| registry.gauge(name, help, &labels);
        let checks = |result| {
            let labels = [("pool", pool), ("endpoint", endpoint), ("result", result)];
            registry.counter(
                "nines_balance_endpoint_checks_total",
                "Active health checks, by result.",
                &labels,
            )
        };
        Self {
            up: gauge("nines_balance_endpoint_up", "1 when the endpoint may be picked, 0 otherwise."),
            inflight: gauge("nines_balance_endpoint_inflight", "Requests in flight on the endpoint."),
            weight: gauge(
                "nines_balance_endpoint_weight",
                "The endpoint's weight, as it is in its slow start.",
            ),
            requests: counter("nines_balance_endpoint_requests_total", "Requests sent to the endpoint."),
            failures: counter(
                "nines_balance_endpoint_failures_total",
                "Requests that failed on the endpoint.",
            ),
            ejections: counter("nines_balance_endpoint_ejections_total", "Ejections of the endpoint."),
            checks_passed: checks("passed"),
            checks_failed: checks("failed"),
            transitions: BTreeMap::new(),
            registry: registry.clone(),
            pool: pool.into(),
            endpoint: endpoint.into(),
        }
    }

    pub(crate) fn count_check(&self, passed: bool) {
        if passed { &self.checks_passed } else { &self.checks_failed }.inc();
    }

    /// Tells that the state has changed.
    pub(crate) fn tell(&mut self, from: Option<State>, to: State, cause: &str) {
        let (pool, endpoint) = (self.pool.as_str(), self.endpoint.as_str());
        let from = from.map_or("absent", State::as_str);
        if matches!(to, State::Unhealthy | State::Ejected) {
            tracing::warn!(target: "balance", pool, endpoint, from, to = to.as_str(), cause, "endpoint {to}");
        } else {
            tracing::info!(target: "balance", pool, endpoint, from, to = to.as_str(), cause, "endpoint {to}");
        }
        let count = self.transitions.entry(to).or_insert_with(|| {
            let labels = [("pool", pool), ("endpoint", endpoint), ("to", to.as_str())];
            let help = "Changes of the endpoint's state, by the new state.";
            self.registry.counter("nines_balance_endpoint_transitions_total", help, &labels)
        });
        count.inc();
    }

    pub(crate) fn tell_gone(&self, from: Option<State>) {
        let from = from.map_or("absent", State::as_str);
        let (pool, endpoint) = (self.pool.as_str(), self.endpoint.as_str());
        let cause = "no longer among the pool's endpoints";
        tracing::info!(target: "balance", pool, endpoint, from, to = "absent", cause, "endpoint removed");
    }
}

impl Member {
    /// Brings the endpoint's series up to date with its figures.
    pub(crate) fn export(&self, weight: f64) {
        let meters = &self.meters;
        meters.up.set(f64::from(u8::from(self.is_available())));
        meters.weight.set(weight);
        raise(&meters.ejections, self.ejections.count);
        if let Some(endpoint) = &self.endpoint {
            meters.inflight.set(endpoint.inflight() as f64);
            raise(&meters.requests, endpoint.requests());
            raise(&meters.failures, endpoint.failures());
        }
    }
}

/// The series of a pool as a whole.
pub(crate) struct PoolMeters {
    none_available: Counter,
    all_tried: Counter,
    full: Counter,
    /// Brings the gauges up to date before each render, for as long as the pool lives.
    _hook: Hook,
}

impl PoolMeters {
    pub(crate) fn new(registry: &Registry, pool: &str, this: Weak<Pool>) -> Self {
        let refused = |reason| {
            let help = "Picks that found no endpoint, by reason.";
            registry.counter("nines_balance_picks_refused_total", help, &[("pool", pool), ("reason", reason)])
        };
        let gauge = |name, help| registry.gauge(name, help, &[("pool", pool)]);
        let available = gauge("nines_balance_pool_available", "Endpoints that may be picked.");
        let panic = gauge("nines_balance_pool_panic", "1 when so few are available that all are used.");
        let inflight = gauge("nines_balance_pool_inflight", "Requests in flight through the pool's gate.");
        let waiting = gauge("nines_balance_pool_waiting", "Requests that wait at the pool's gate.");
        let hook = registry.on_render(move || {
            let Some(pool) = this.upgrade() else { return };
            let snapshot = pool.snapshot();
            available.set(snapshot.available as f64);
            panic.set(f64::from(u8::from(snapshot.is_panic)));
            inflight.set(pool.gate().inflight() as f64);
            waiting.set(pool.gate().waiting() as f64);
            pool.export();
        });
        Self {
            none_available: refused("none-available"),
            all_tried: refused("all-tried"),
            full: refused("full"),
            _hook: hook,
        }
    }

    pub(crate) fn count_refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::NoEndpoints | Refusal::NoneAvailable => self.none_available.inc(),
            Refusal::AllTried => self.all_tried.inc(),
            Refusal::Full => self.full.inc(),
        }
    }
}

/// Brings a counter up to a total that is counted elsewhere. Only the render's own thread does so.
fn raise(counter: &Counter, total: u64) {
    counter.add(total.saturating_sub(counter.get()));
}
