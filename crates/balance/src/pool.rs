//! The pool: its members behind a lock, what a pick reads as a snapshot, and the way from one to the other.

use crate::choose::{Refusal, choose};
use crate::config::{HashKey, PoolConfig, Sticky};
use crate::eject::{Ejection, Ejections, History, may_eject, stands_out};
use crate::endpoint::{Endpoint, EndpointId, Totals};
use crate::error::{Error, PickError};
use crate::events::{Meters, PoolMeters};
use crate::health::judge::{Found, Health};
use crate::member::{Member, Shown};
use crate::picked::{KeySource, Outcome, Picked, Wish};
use crate::siphash::siphash;
use crate::snapshot::Snapshot;
use crate::sources::{self, Instance, Wanted};
use arc_swap::{ArcSwap, Guard};
use rand::rngs::SmallRng;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Instant;
use tokio::sync::Notify;

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
    gate: flow::Gate,
    retry_budget: flow::RetryBudget,
    snapshot: ArcSwap<Snapshot>,
    turns: Turns,
    members: Mutex<Members>,
    /// Wakes [`run`](Self::run) when there is something new to check, resolve or wait for.
    pub(crate) changed: Notify,
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
}

impl Pool {
    /// A pool with the endpoints that are known without asking anyone; it starts no task.
    pub fn new(context: PoolContext, config: PoolConfig) -> Arc<Self> {
        let now = now();
        let PoolContext { name, at, secret, registry } = context;
        let limit = config.limit.clone();
        let pool = Arc::new_cyclic(|this: &Weak<Self>| Self {
            gate: flow::Gate::new(limit.inflight as usize, limit.queue as usize, limit.wait.get()),
            retry_budget: flow::RetryBudget::new(config.retry.budget.ratio(), retries_min(&config)),
            snapshot: ArcSwap::from_pointee(Snapshot::of(&[], &config, None, now)),
            config: ArcSwap::from_pointee(config),
            turns: Turns::default(),
            members: Mutex::default(),
            changed: Notify::new(),
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
    pub fn apply(&self, config: PoolConfig) {
        let now = now();
        let mut members = self.lock();
        self.gate.set(config.limit.inflight as usize, config.limit.queue as usize, config.limit.wait.get());
        self.retry_budget.set(config.retry.budget.ratio(), retries_min(&config));
        for member in &mut members.all {
            member.health.set_checked(config.health.is_some());
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
        let config = self.config.load();
        match (&config.sticky, &config.hash) {
            (Some(Sticky::Header(name)), _) => KeySource::Header(name.as_str().into()),
            (Some(Sticky::ClientAddress), _) => KeySource::ClientAddress,
            (_, Some(HashKey::Header(name))) => KeySource::Header(name.as_str().into()),
            (_, Some(HashKey::Cookie(name))) => KeySource::Cookie(name.as_str().into()),
            (_, Some(HashKey::ClientAddress)) => KeySource::ClientAddress,
            (_, Some(HashKey::Path)) => KeySource::Path,
            (_, None) => KeySource::None,
        }
    }

    /// The name of the cookie that holds a client to its endpoint, if the pool issues one.
    pub fn sticky_cookie(&self) -> Option<Arc<str>> {
        match &self.config.load().sticky {
            Some(Sticky::Cookie(name)) => Some(name.as_str().into()),
            _ => None,
        }
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

/// What changes a member's state.
impl Pool {
    /// A name has been resolved.
    pub(crate) fn resolved(&self, host: &str, addresses: Vec<IpAddr>, now: Instant) {
        let mut members = self.lock();
        if members.resolved.get(host) != Some(&addresses) {
            members.resolved.insert(host.into(), addresses);
            self.reconcile(&mut members, now);
        }
    }

    /// A check of an endpoint has ended.
    pub(crate) fn checked(&self, endpoint: EndpointId, found: Found, now: Instant) {
        let config = self.config.load();
        let Some(rules) = &config.health else { return };
        let mut members = self.lock();
        let Some(member) = member_of(&mut members.all, endpoint) else { return };
        member.meters.count_check(found.is_ok());
        let was_unknown = member.health.is_unknown();
        if member.health.judge(found, rules) || was_unknown {
            self.settle(&mut members, now);
        }
    }

    /// A live request has failed.
    pub(crate) fn request_failed(
        &self,
        endpoint: &Endpoint,
        outcome: Outcome,
        in_row: u32,
        is_probe: bool,
        now: Instant,
    ) {
        let config = self.config.load();
        let limit = config.eject.failures;
        // Looked at again at every multiple: an ejection may have been refused because enough were out.
        let is_over = limit > 0 && in_row >= limit && in_row.is_multiple_of(limit);
        if !is_probe && !is_over {
            return;
        }
        let mut members = self.lock();
        let cause = if is_probe {
            format!("its probe failed: {outcome}")
        } else {
            format!("{in_row} failures in a row, the last: {outcome}")
        };
        if self.eject(&mut members.all, endpoint.id(), &cause, is_probe, now) {
            self.settle(&mut members, now);
        }
    }

    /// The probe of an endpoint whose ejection is over has succeeded.
    pub(crate) fn probe_succeeded(&self, endpoint: &Endpoint, now: Instant) {
        let mut members = self.lock();
        if let Some(member) = member_of(&mut members.all, endpoint.id())
            && member.is_probing()
        {
            member.ejections.come_back(now);
            member.history.forget(endpoint.totals(), now);
            self.settle(&mut members, now);
        }
    }

    /// Ends what time has ended: ejections and steps of slow starts. Another core may be at it already.
    pub(crate) fn refresh(&self, now: Instant) {
        let mut members = match self.members.try_lock() {
            Ok(members) => members,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.settle(&mut members, now);
    }

    /// Looks at each endpoint's share of failures within the window; called once in a tenth of it.
    pub(crate) fn judge_ratios(&self, now: Instant) {
        let config = self.config.load();
        let Some(ratio) = config.eject.ratio else { return };
        let mut members = self.lock();
        let window = config.eject.window.get();
        let recent: Vec<(EndpointId, Totals)> = members
            .all
            .iter_mut()
            .filter_map(|member| {
                let endpoint = member.endpoint.as_ref()?;
                Some((endpoint.id(), member.history.note(endpoint.totals(), window, now)))
            })
            .collect();
        let mut any = false;
        for (id, own) in &recent {
            let others = recent.iter().filter(|(other, _)| other != id).map(|(_, totals)| *totals);
            let rest = others.reduce(Totals::plus).unwrap_or_default();
            if stands_out(*own, rest, ratio.ratio(), config.eject.requests_min) {
                let cause = format!(
                    "{} of its {} requests within {} failed",
                    own.failed, own.finished, config.eject.window
                );
                any |= self.eject(&mut members.all, *id, &cause, false, now);
            }
        }
        if any {
            self.settle(&mut members, now);
        }
    }

    /// Takes an endpoint out, if it is in and the pool can spare it. The last available one never goes: a
    /// failing endpoint answers some requests, and none answers none.
    fn eject(
        &self,
        members: &mut [Member],
        id: EndpointId,
        cause: &str,
        is_probe: bool,
        now: Instant,
    ) -> bool {
        let config = self.config.load();
        let others = members.iter().filter(|member| !member.is(id) && !member.draining);
        let (total, ejected) = others.clone().fold((1, 0), |(total, ejected), member| {
            (total + 1, ejected + usize::from(matches!(member.ejections.now, Ejection::Out { .. })))
        });
        let spared = others.clone().any(Member::is_available);
        let Some(member) = member_of(members, id) else { return false };
        // What failed before an ejection, or beside a probe, has been counted already.
        let is_in = if is_probe { member.is_probing() } else { member.ejections.now == Ejection::In };
        if !is_in || !spared || !may_eject(&config.eject, ejected, total) {
            return false;
        }
        let lasts = member.ejections.eject(&config.eject, now);
        member.ejection_cause = format!("{cause}; out for {}", duration_text(lasts));
        true
    }

    /// Makes the members those that the sources want.
    fn reconcile(&self, members: &mut Members, now: Instant) {
        let config = self.config.load();
        let current = |name: &str| {
            let member = members.all.iter().find(|member| &*member.wanted.name == name)?;
            member.endpoint.as_ref().map(|endpoint| endpoint.address())
        };
        let wanted = sources::wanted(&config, &members.instances, &members.resolved, current);
        let mut before: HashMap<Arc<str>, Member> =
            members.all.drain(..).map(|member| (Arc::clone(&member.wanted.name), member)).collect();
        for wanted in wanted {
            let member = match before.remove(&wanted.name) {
                Some(member) => self.kept(member, wanted, &config, now),
                None => self.added(wanted, &config, now),
            };
            members.all.push(member);
        }
        for member in before.into_values() {
            member.meters.tell_gone(member.shown.state);
            if let Some(endpoint) = member.endpoint {
                endpoint.set_gone();
            }
        }
        self.settle(members, now);
    }

    fn added(&self, wanted: Wanted, config: &PoolConfig, now: Instant) -> Member {
        let endpoint = wanted.address.map(|address| self.endpoint(&wanted.name, address, now));
        Member {
            meters: Meters::new(&self.registry, &self.name, &wanted.name),
            endpoint,
            wanted,
            draining: false,
            health: Health::new(config.health.is_some()),
            ejections: Ejections::default(),
            ejection_cause: String::new(),
            history: History::begun(now),
            ramp_since: None,
            was_well: false,
            shown: Shown { state: None, since: now },
        }
    }

    fn kept(&self, mut member: Member, wanted: Wanted, config: &PoolConfig, now: Instant) -> Member {
        let before = member.endpoint.as_ref().map(|endpoint| endpoint.address());
        if before != wanted.address {
            // Another process, perhaps another machine: what was known about the old one says nothing about it.
            let endpoint = wanted.address.map(|address| self.endpoint(&wanted.name, address, now));
            if let Some(old) = member.endpoint.take() {
                old.set_gone();
                if let Some(new) = &endpoint {
                    new.continue_from(&old);
                }
            }
            member.endpoint = endpoint;
            member.health = Health::new(config.health.is_some());
            member.ejections = member.ejections.begin_anew();
            member.history = History::default();
            if let Some(endpoint) = &member.endpoint {
                member.history.forget(endpoint.totals(), now);
            }
            member.was_well = false;
        }
        member.wanted = wanted;
        member
    }

    fn endpoint(&self, name: &Arc<str>, address: std::net::SocketAddr, now: Instant) -> Arc<Endpoint> {
        let named = [self.name.as_bytes(), b"\0", name.as_bytes()].concat();
        Endpoint::new(Arc::clone(name), address, siphash(&self.secret, &named), self.this.clone(), now)
    }

    /// Brings everything in line after a change: what time has ended, what is told, what a pick reads.
    fn settle(&self, members: &mut Members, now: Instant) {
        let config = self.config.load();
        let members = &mut members.all;
        end_ejections(members, now);
        for member in members.iter_mut() {
            let is_well = member.is_well() && !member.is_probing();
            if is_well && !member.was_well {
                member.ramp_since = Some(now);
            }
            member.was_well = is_well;
            member.show(now);
        }
        self.snapshot.store(Arc::new(Snapshot::of(members, &config, self.at.as_deref(), now)));
        self.changed.notify_one();
    }
}

/// Ends the ejections whose time is over, and all of them when nobody else is left.
fn end_ejections(members: &mut [Member], now: Instant) {
    for member in members.iter_mut() {
        if let Ejection::Out { until } = member.ejections.now
            && now >= until
        {
            member.begin_probing("its ejection is over; one request at a time shows whether it works");
        }
    }
    if members.iter().any(Member::is_available) {
        return;
    }
    for member in
        members.iter_mut().filter(|member| member.would_be_well_if_not_ejected() && member.is_wished())
    {
        if matches!(member.ejections.now, Ejection::Out { .. }) {
            member.begin_probing("no other endpoint is available");
        }
    }
}

fn member_of(members: &mut [Member], id: EndpointId) -> Option<&mut Member> {
    members.iter_mut().find(|member| member.is(id))
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

fn duration_text(duration: std::time::Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}
