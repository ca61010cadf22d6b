//! The pool: what requests, people and its surroundings ask of it. Its members are behind a lock; a pick reads
//! a snapshot of them; [`change`] is the way from one to the other.

mod change;

use crate::choose::{Refusal, choose};
use crate::config::PoolConfig;
use crate::endpoint::{Endpoint, EndpointId};
use crate::error::{Error, PickError};
use crate::events::PoolMeters;
use crate::member::Member;
use crate::picked::{KeySource, Picked, Wish};
use crate::snapshot::Snapshot;
use crate::sources::Instance;
use crate::transport::{Settings, Transport};
use arc_swap::{ArcSwap, Guard};
use rand::rngs::SmallRng;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// Retries that are allowed each second however few requests there are: a share of nearly nothing is nothing.
const RETRIES_MIN_PER_SECOND: u32 = 3;
/// How often a pick chooses again when another core took the place it had chosen.
const CLAIMS_MAX: usize = 8;

/// What a pool is told by its surroundings.
#[derive(Clone)]
pub struct PoolContext {
    /// The pool's name.
    pub name: String,
    /// Where this node is.
    pub at: Option<String>,
    /// The key of the sticky cookies' values; the same on every node that serves the same site.
    pub secret: [u8; 16],
    /// Where it counts.
    pub registry: telemetry::Registry,
}

/// A pool of endpoints, shared between cores.
pub struct Pool {
    name: Arc<str>,
    at: Option<String>,
    secret: [u8; 16],
    registry: telemetry::Registry,
    config: ArcSwap<PoolConfig>,
    transport: ArcSwap<Transport>,
    gate: flow::Gate,
    retry_budget: flow::RetryBudget,
    snapshot: ArcSwap<Snapshot>,
    turns: Turns,
    members: Mutex<Members>,
    /// Wakes [`run`](Self::run) when there is something new to check, resolve or wait for.
    pub(crate) changed: Notify,
    /// Tells others that endpoints, or what they are, may have changed.
    changes: watch::Sender<()>,
    meters: PoolMeters,
    this: Weak<Self>,
}

/// The number of the next pick, in a line of its own: the cores write it in turn.
#[derive(Default)]
#[repr(align(128))]
struct Turns(AtomicU64);

/// All that changes with the pool's state.
#[derive(Default)]
struct Members {
    all: Vec<Member>,
    instances: Vec<Instance>,
    /// The addresses of each name, as they were last heard.
    resolved: HashMap<String, Vec<IpAddr>>,
    /// Endpoints that were draining when they went: they are draining when they come back, as an instance does
    /// after a restart.
    drained_away: BTreeSet<Arc<str>>,
    followers: Vec<Follower>,
}

/// Hears how many endpoints may be picked; `false` when it need not hear it again.
type Follower = Box<dyn Fn(usize) -> bool + Send + Sync>;

/// Names kept in [`Members::drained_away`]; beyond that a drain ends with its endpoint.
const DRAINED_AWAY_MAX: usize = 1024;

impl Pool {
    /// A pool with the endpoints that are known without asking anyone; it starts no task. A [`PoolConfig`]
    /// without TLS will do for `settings`.
    pub fn new(context: PoolContext, settings: impl Into<Settings>) -> Arc<Self> {
        let now = now();
        let Settings { config, transport } = settings.into();
        let PoolContext { name, at, secret, registry } = context;
        let limit = config.limit.clone();
        let pool = Arc::new_cyclic(|this: &Weak<Self>| Self {
            gate: flow::Gate::new(limit.inflight as usize, limit.queue as usize, limit.wait.get()),
            retry_budget: flow::RetryBudget::new(config.retry.budget.ratio(), retries_min(&config)),
            snapshot: ArcSwap::from_pointee(Snapshot::of(&[], &config, None, now)),
            config: ArcSwap::from_pointee(config),
            transport: ArcSwap::new(transport),
            turns: Turns::default(),
            members: Mutex::default(),
            changed: Notify::new(),
            changes: watch::Sender::new(()),
            meters: PoolMeters::new(&registry, &name, this.clone()),
            this: this.clone(),
            name: name.into(),
            at,
            secret,
            registry,
        });
        let mut members = pool.lock();
        pool.reconcile(&mut members, now);
        drop(members);
        pool
    }

    /// Follows a new configuration. Endpoints that stay keep their health, figures and drain.
    pub fn apply(&self, settings: impl Into<Settings>) {
        let now = now();
        let Settings { config, transport } = settings.into();
        let mut members = self.lock();
        self.gate.set(config.limit.inflight as usize, config.limit.queue as usize, config.limit.wait.get());
        self.retry_budget.set(config.retry.budget.ratio(), retries_min(&config));
        for member in &mut members.all {
            member.health.set_checked(config.health.is_some());
        }
        if !self.transport.load().is_same(&transport) {
            self.transport.store(transport);
        }
        self.config.store(Arc::new(config));
        self.reconcile(&mut members, now);
    }

    /// Takes over the instances of the pool's service. One that comes back at another address is checked anew,
    /// and stays drained if it was.
    pub fn set_instances(&self, instances: Vec<Instance>) {
        let mut members = self.lock();
        if members.instances != instances {
            members.instances = instances;
            self.reconcile(&mut members, now());
        }
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration that it follows now.
    pub fn config(&self) -> Guard<Arc<PoolConfig>> {
        self.config.load()
    }

    /// How its endpoints are spoken to now.
    pub fn transport(&self) -> Guard<Arc<Transport>> {
        self.transport.load()
    }

    /// The gate that a request passes before it is picked for: `limit.inflight`, `limit.queue`.
    pub fn gate(&self) -> &flow::Gate {
        &self.gate
    }

    /// The budget that a retry is withdrawn from. [`pick`](Self::pick) deposits for each first attempt.
    pub fn retry_budget(&self) -> &flow::RetryBudget {
        &self.retry_budget
    }

    /// What [`Wish::hash`] is to be made from.
    pub fn key_source(&self) -> KeySource {
        self.snapshot.load().key_source.clone()
    }

    /// The name of the cookie that holds a client to its endpoint, if the pool issues one.
    pub fn sticky_cookie(&self) -> Option<Arc<str>> {
        self.snapshot.load().cookie.clone()
    }

    /// Picks an endpoint for one try of a request. Takes no lock, and allocates nothing but for an error.
    pub fn pick(&self, wish: &Wish<'_>, now: Instant, rng: &mut SmallRng) -> Result<Picked, PickError> {
        if wish.avoid.is_empty() {
            self.retry_budget.deposit(now);
        }
        let mut snapshot = self.snapshot.load();
        if snapshot.is_outdated(now) {
            drop(snapshot);
            self.refresh(now);
            snapshot = self.snapshot.load();
        }
        let turn = || self.turns.0.fetch_add(1, Relaxed);
        for _ in 0..CLAIMS_MAX {
            let chosen = match choose(&snapshot, wish, &turn, now, rng) {
                Ok(chosen) => chosen,
                Err(refusal) => return Err(self.refused(refusal, &snapshot)),
            };
            let endpoint = &chosen.candidate.endpoint;
            if !endpoint.start(snapshot.inflight_max) {
                continue;
            }
            // Whoever comes while a probe is under way has no other endpoint left: let it try too.
            let is_probe = chosen.candidate.probing && endpoint.start_probe(snapshot.probe_patience, now);
            return Ok(Picked::new(Arc::clone(endpoint), chosen.issues_cookie, is_probe));
        }
        Err(self.refused(Refusal::Full, &snapshot))
    }

    /// Takes an endpoint, by name or address, out of the choice for new clients. What is in flight goes on,
    /// clients with its sticky cookie still reach it, and its checks go on.
    pub fn drain(&self, endpoint: &str) -> Result<(), Error> {
        self.set_draining(endpoint, true)
    }

    /// Takes a drained endpoint back.
    pub fn undrain(&self, endpoint: &str) -> Result<(), Error> {
        self.set_draining(endpoint, false)
    }

    /// How many endpoints may be picked.
    pub fn available(&self) -> usize {
        self.snapshot.load().available
    }

    /// Tells a follower how many endpoints may be picked, at once and at every change, until it answers `false`. It hears of a change
    /// before whoever made it goes on, and must not ask the pool anything in return.
    pub fn follow_available(&self, follower: impl Fn(usize) -> bool + Send + Sync + 'static) {
        let mut members = self.lock();
        members.followers.push(Box::new(follower));
        // Those who have heard enough are forgotten, however seldom there is a change.
        members.tell(self.available());
    }

    /// Shows where the endpoints are, each address once: those that new clients may be sent to, then all that are known. For
    /// whoever tells clients an address in place of passing requests on. Takes no lock.
    pub fn with_addresses<T>(&self, look: impl FnOnce(&[IpAddr], &[IpAddr]) -> T) -> T {
        let snapshot = self.snapshot.load();
        look(&snapshot.addresses[..snapshot.addresses_available], &snapshot.addresses)
    }

    /// What is the matter with the endpoints that may not be picked: `2 unhealthy, 1 draining`. Empty if nothing is.
    pub fn causes(&self) -> Arc<str> {
        Arc::clone(&self.snapshot.load().causes)
    }

    /// Changes whenever endpoints come, go, or are of another health.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether there are endpoints, and each has had its first check (or there are no checks).
    pub fn is_ready(&self) -> bool {
        is_ready(&self.lock().all)
    }

    fn set_draining(&self, endpoint: &str, draining: bool) -> Result<(), Error> {
        let mut members = self.lock();
        let address = endpoint.parse().ok();
        let mut found = false;
        for member in &mut members.all {
            let is_at =
                address.is_some() && member.endpoint.as_ref().map(|endpoint| endpoint.address()) == address;
            if &*member.wanted.name == endpoint || is_at {
                member.draining = draining;
                found = true;
            }
        }
        if !found {
            let known = members.all.iter().map(|member| member.wanted.name.to_string()).collect();
            return Err(Error::UnknownEndpoint {
                pool: self.name.to_string(),
                endpoint: endpoint.into(),
                known,
            });
        }
        self.settle(&mut members, now());
        Ok(())
    }

    #[cold]
    fn refused(&self, refusal: Refusal, snapshot: &Snapshot) -> PickError {
        self.meters.count_refused(refusal);
        let pool = Arc::clone(&self.name);
        let usable = snapshot.groups.iter().map(|group| group.candidates.len()).sum();
        match refusal {
            Refusal::NoEndpoints => PickError::NoEndpoints { pool },
            Refusal::NoneAvailable => {
                let causes = Arc::clone(&snapshot.causes);
                PickError::NoneAvailable { pool, endpoints: snapshot.endpoints, causes }
            }
            Refusal::AllTried => PickError::AllTried { pool, endpoints: usable },
            Refusal::Full => {
                let inflight_per_endpoint = u32::try_from(snapshot.inflight_max).unwrap_or(u32::MAX);
                PickError::Full { pool, endpoints: usable, inflight_per_endpoint }
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turns.0.load(Relaxed)
    }

    pub(crate) fn with_members<T>(&self, look: impl FnOnce(&[Member]) -> T) -> T {
        look(&self.lock().all)
    }

    /// The endpoints that are to be checked.
    pub(crate) fn checked_endpoints(&self) -> Vec<Arc<Endpoint>> {
        let members = self.lock();
        let ready = members.all.iter().filter(|member| member.wanted.ready);
        ready.filter_map(|member| member.endpoint.clone()).collect()
    }

    /// Whether a check has ever found the endpoint healthy.
    pub(crate) fn is_proven(&self, endpoint: EndpointId) -> bool {
        self.lock().all.iter().any(|member| member.is(endpoint) && member.health.is_proven())
    }

    pub(crate) fn at(&self) -> Option<&str> {
        self.at.as_deref()
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn tell(&mut self, available: usize) {
        self.followers.retain(|follower| follower(available));
    }
}

pub(crate) fn is_ready(members: &[Member]) -> bool {
    let mut judged =
        members.iter().filter(|member| member.endpoint.is_some() && member.wanted.ready).peekable();
    judged.peek().is_some() && judged.all(|member| !member.health.is_unknown())
}

fn retries_min(config: &PoolConfig) -> u32 {
    if config.retry.budget.ratio() > 0.0 { RETRIES_MIN_PER_SECOND } else { 0 }
}

/// The moment, by the clock that tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
