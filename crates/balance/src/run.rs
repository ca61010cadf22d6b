//! The pool's work in the background: one task for each endpoint that is checked, one for each name that is
//! resolved, and a clock for what ends with time. All of them end with [`Pool::run`].

use crate::config::{HealthConfig, PoolConfig};
use crate::discovery::{Resolve, SystemResolver, TTL_MAX, TTL_MIN};
use crate::eject::History;
use crate::endpoint::{Endpoint, EndpointId};
use crate::health;
use crate::pool::{Pool, now};
use crate::sources::{ADDRESSES_MAX, hosts};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinSet};

/// Pauses between lookups that fail.
const LOOKUP_BACKOFF: flow::Backoff =
    flow::Backoff { first: Duration::from_secs(1), max: Duration::from_secs(30) };
/// How often is looked whether the files of a pool's TLS have changed.
const FILES_EVERY: Duration = Duration::from_secs(2);
/// The pause after the first check of an endpoint that has never been healthy, which is likely still starting;
/// it doubles up to `every`.
const STARTING_EVERY: Duration = Duration::from_millis(100);

impl Pool {
    /// Checks the endpoints and resolves names until `stop`; follows [`apply`](Self::apply) and
    /// [`set_instances`](Self::set_instances) as they come.
    pub async fn run(self: Arc<Self>, stop: flow::Draining) {
        self.run_with(Arc::new(SystemResolver), stop).await;
    }

    /// Like [`run`](Self::run), with names resolved by somebody else.
    pub async fn run_with(self: Arc<Self>, resolver: Arc<dyn Resolve>, stop: flow::Draining) {
        let mut work = Work {
            pool: Arc::clone(&self),
            resolver,
            checks: HashMap::new(),
            lookups: HashMap::new(),
            tasks: JoinSet::new(),
        };
        let (mut judged, mut looked) = (now(), now());
        loop {
            work.follow();
            let config = self.config().clone();
            let part = History::part(config.eject.window.get());
            let judges = config.eject.ratio.map(|_| judged + part);
            let looks = self.transport().tls().map(|_| looked + FILES_EVERY);
            let wake = self.snapshot().changes_at.into_iter().chain(judges).chain(looks).min();
            tokio::select! {
                () = stop.started() => break,
                () = self.changed.notified() => {}
                () = sleep_until(wake) => {
                    let now = now();
                    if self.snapshot().is_outdated(now) {
                        self.refresh(now);
                    }
                    if judges.is_some_and(|at| now >= at) {
                        self.judge_ratios(now);
                        judged = now;
                    }
                    if looks.is_some_and(|at| now >= at) {
                        self.transport().tls().into_iter().for_each(tls::Client::refresh);
                        looked = now;
                    }
                }
                Some(ended) = work.tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(target: "balance", pool = self.name(), %error, "a task ended and begins anew");
                    }
                }
            }
        }
        work.tasks.shutdown().await;
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// The tasks under way, by what they are for.
struct Work {
    pool: Arc<Pool>,
    resolver: Arc<dyn Resolve>,
    checks: HashMap<EndpointId, (HealthConfig, AbortHandle)>,
    lookups: HashMap<String, AbortHandle>,
    tasks: JoinSet<()>,
}

impl Work {
    /// Starts what is missing and ends what nobody wants any more.
    fn follow(&mut self) {
        let config = self.pool.config().clone();
        self.follow_checks(&config);
        self.follow_lookups(&config);
    }

    fn follow_checks(&mut self, config: &PoolConfig) {
        let wanted: HashMap<EndpointId, Arc<Endpoint>> = match &config.health {
            None => HashMap::new(),
            Some(_) => {
                self.pool.checked_endpoints().into_iter().map(|endpoint| (endpoint.id(), endpoint)).collect()
            }
        };
        self.checks.retain(|id, (rules, task)| {
            let stays =
                wanted.contains_key(id) && config.health.as_ref() == Some(rules) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        let Some(rules) = &config.health else { return };
        for (id, endpoint) in wanted {
            if !self.checks.contains_key(&id) {
                let task =
                    self.tasks.spawn(check_again_and_again(Arc::clone(&self.pool), endpoint, rules.clone()));
                self.checks.insert(id, (rules.clone(), task));
            }
        }
    }

    fn follow_lookups(&mut self, config: &PoolConfig) {
        let wanted = hosts(config);
        self.lookups.retain(|host, task| {
            let stays = wanted.contains(host) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for host in wanted {
            if !self.lookups.contains_key(&host) {
                let (pool, resolver) = (Arc::clone(&self.pool), Arc::clone(&self.resolver));
                let task = self.tasks.spawn(resolve_again_and_again(pool, resolver, host.clone()));
                self.lookups.insert(host, task);
            }
        }
    }
}

async fn check_again_and_again(pool: Arc<Pool>, endpoint: Arc<Endpoint>, rules: HealthConfig) {
    let mut rng = SmallRng::seed_from_u64(rand::rng().random());
    let mut tries = 0u32;
    loop {
        let transport = Arc::clone(&pool.transport());
        let found =
            health::check(&rules, endpoint.address(), &transport, &transport.host_of(&endpoint)).await;
        pool.checked(endpoint.id(), found, now());
        let pause = if pool.is_proven(endpoint.id()) {
            rules.every.get()
        } else {
            STARTING_EVERY.saturating_mul(1 << tries.min(16)).min(rules.every.get())
        };
        tries = tries.saturating_add(1);
        tokio::time::sleep(jittered(pause, &mut rng)).await;
    }
}

/// The pause moved by up to a tenth, so that checks of many endpoints by many nodes do not march in step.
fn jittered(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(rng.random_range(0.9..=1.1))
}

/// A lookup that fails leaves the addresses as they are: they may well still hold.
async fn resolve_again_and_again(pool: Arc<Pool>, resolver: Arc<dyn Resolve>, host: String) {
    let mut rng = SmallRng::seed_from_u64(rand::rng().random());
    let mut failures = 0u32;
    loop {
        let pause = match resolver.resolve(&host).await {
            Ok(answer) => {
                if failures > 0 {
                    tracing::info!(target: "balance", pool = pool.name(), host, failures, "name resolved again");
                }
                failures = 0;
                let mut addresses: Vec<IpAddr> = answer.addresses;
                addresses.truncate(ADDRESSES_MAX);
                pool.resolved(&host, addresses, now());
                answer.ttl.clamp(TTL_MIN, TTL_MAX)
            }
            Err(cause) => {
                if failures == 0 {
                    tracing::warn!(target: "balance", pool = pool.name(), host, cause, "name not resolved");
                }
                failures = failures.saturating_add(1);
                LOOKUP_BACKOFF.delay(failures - 1, &mut rng)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_moved_by_up_to_a_tenth_both_ways() {
        let mut rng = SmallRng::seed_from_u64(9);
        let pauses: Vec<f64> =
            (0..1000).map(|_| jittered(Duration::from_secs(10), &mut rng).as_secs_f64()).collect();
        assert!(pauses.iter().all(|pause| (9.0..=11.0).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause < 9.1) && pauses.iter().any(|pause| *pause > 10.9));
    }
}
