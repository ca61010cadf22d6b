//! The task on the control plane: it follows the store, and orders what is due.

mod entry;
mod reading;

use crate::acme::{Settings, Shared};
use crate::certificate::Certificate;
use crate::clock::unix_seconds;
use crate::error::Failure;
use crate::order::blocking;
use crate::policy::{SERVER_BACKOFF, next_try};
use crate::store::{Lease, Mark, Record, Store};
use crate::{AcmeStatus, Error};
use entry::{Entry, Staple};
use rand::rngs::StdRng;
use reading::{Read, read};
use rustls::sign::CertifiedKey;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Duration, Instant};

/// Orders at the same time, once there is an account.
const ORDERS_MAX: usize = 4;

/// The store is read as a whole this often, should its stamp not have told of a change.
const READ_EVERY: Duration = Duration::from_secs(60);

pub(crate) struct Engine {
    shared: Arc<Shared>,
    changes: watch::Receiver<Arc<Settings>>,
    settings: Arc<Settings>,
    entries: BTreeMap<String, Entry>,
    orders: JoinSet<Result<Certificate, Failure>>,
    ordered: HashMap<Id, String>,
    lease: Option<Lease>,
    limits: Limits,
    seen: Seen,
    rng: StdRng,
    store_error: Option<String>,
}

/// What the server has said of our orders as a whole: with many names, one refusal after the other would come
/// otherwise.
#[derive(Default)]
struct Limits {
    refusals: u32,
    until: Option<SystemTime>,
}

/// How much of the store is known.
#[derive(Default)]
struct Seen {
    /// `None` when it is to be read again.
    stamp: Option<Option<String>>,
    read_at: Option<Instant>,
    staples: u64,
    has_account: bool,
    /// Handshakes see less than is known.
    is_unpublished: bool,
}

impl Engine {
    /// With what the store holds: from here on its certificates are found.
    pub(crate) fn new(shared: Arc<Shared>, changes: watch::Receiver<Arc<Settings>>, rng: StdRng) -> Self {
        let settings = Arc::clone(&changes.borrow());
        let mut engine = Self {
            shared,
            changes,
            settings,
            entries: BTreeMap::new(),
            orders: JoinSet::new(),
            ordered: HashMap::new(),
            lease: None,
            limits: Limits::default(),
            seen: Seen::default(),
            rng,
            store_error: None,
        };
        engine.adopt_names();
        let read = read(&engine.settings.server.store, engine.marks());
        engine.note(read);
        engine.publish();
        engine
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.adopt().await;
            self.follow().await;
            self.order_due().await;
            self.publish();
            self.shared.turns.send_modify(|turn| *turn += 1);
            tokio::select! {
                () = self.shared.stop.notified() => break,
                Some(done) = self.orders.join_next_with_id() => self.conclude(done).await,
                () = self.shared.wake.notified() => {}
                _ = self.changes.changed() => {}
                () = tokio::time::sleep(self.shared.context.pace.poll) => {}
            }
        }
        self.let_go().await;
    }

    /// Takes over a reload.
    async fn adopt(&mut self) {
        let settings = Arc::clone(&self.changes.borrow_and_update());
        if Arc::ptr_eq(&settings, &self.settings) {
            return;
        }
        if !Arc::ptr_eq(&settings.server, &self.settings.server) {
            self.let_go().await;
            self.limits = Limits::default();
            self.entries.values_mut().for_each(Entry::estrange);
        }
        let by_whom = |settings: &Settings| settings.stapler.as_ref().map(Arc::as_ptr);
        if by_whom(&settings) != by_whom(&self.settings) {
            self.entries.values_mut().for_each(|entry| entry.staple = Staple::Unasked);
        }
        self.settings = settings;
        self.seen = Seen::default();
        self.adopt_names();
    }

    fn adopt_names(&mut self) {
        let names = &self.settings.names;
        self.entries.retain(|name, _| names.contains(name));
        for name in names {
            let expiry = || self.shared.meters.expiry(name);
            self.entries.entry(name.clone()).or_insert_with(|| Entry::new(expiry()));
        }
        self.seen.is_unpublished = true;
    }

    /// Ends orders, and lets other nodes order.
    async fn let_go(&mut self) {
        self.orders.shutdown().await;
        self.ordered.clear();
        for entry in self.entries.values_mut() {
            entry.is_ordering = false;
        }
        if let Some(lease) = self.lease.take() {
            let released = blocking(&self.settings.server.store, move |store| store.release(&lease)).await;
            self.tell(released);
        }
    }

    /// Reads what has changed in the store.
    async fn follow(&mut self) {
        let store = &self.settings.server.store;
        let is_long_ago = self.seen.read_at.is_none_or(|at| at.elapsed() >= READ_EVERY);
        if !is_long_ago && self.seen.stamp.is_some() {
            match blocking(store, Store::stamp).await {
                Ok(stamp) if self.seen.stamp.as_ref() == Some(&stamp) => return,
                Ok(_) => {}
                Err(error) => return self.tell(Err(error)),
            }
        }
        let marks = self.marks();
        let read = blocking(&self.settings.server.store, move |store| Ok(read(store, marks))).await;
        self.note(read.and_then(|read| read));
    }

    fn marks(&self) -> Vec<(String, Option<Mark>)> {
        self.entries.iter().map(|(name, entry)| (name.clone(), entry.mark.clone())).collect()
    }

    fn note(&mut self, read: Result<Read, Error>) {
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                for entry in self.entries.values_mut().filter(|entry| entry.mark.is_none()) {
                    entry.is_unknown = true;
                }
                return self.tell(Err(error));
            }
        };
        self.tell(Ok(()));
        for (name, read) in read.names {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.note(read, &mut self.rng);
                self.seen.is_unpublished = true;
            }
        }
        self.shared.lookups.set_challenges(read.challenges);
        self.seen.stamp = Some(read.stamp);
        self.seen.read_at = Some(Instant::now());
        self.seen.has_account = read.has_account;
    }

    /// Begins orders for what is due, as far as there is room and no other node is at it.
    async fn order_due(&mut self) {
        if !self.may_order().await {
            return;
        }
        let room = if self.seen.has_account { ORDERS_MAX } else { 1 };
        let due = self.due();
        for name in due.into_iter().take(room.saturating_sub(self.orders.len())) {
            let server = Arc::clone(&self.settings.server);
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.is_ordering = true;
                tracing::info!(target: "acme", name, directory = server.directory_url, "ordering a certificate");
                let ordered = name.clone();
                let order = self.orders.spawn(async move { server.order(&ordered).await });
                self.ordered.insert(order.id(), name);
            }
        }
    }

    /// Whether there is something to order, and this node has the right to.
    async fn may_order(&mut self) -> bool {
        let now = self.shared.context.clock.now();
        let store = self.settings.server.store.clone();
        if let Some(mut lease) = self.lease.take() {
            if self.orders.is_empty() && self.due().is_empty() {
                let released = blocking(&store, move |store| store.release(&lease)).await;
                self.tell(released);
                return false;
            }
            let kept = blocking(&store, move |store| Ok((store.keep(&mut lease, now)?, lease))).await;
            match kept {
                Ok((true, lease)) => self.lease = Some(lease),
                Ok((false, _)) => {
                    tracing::warn!(target: "acme", "another node has taken over ordering");
                    self.let_go().await;
                }
                Err(error) => {
                    self.tell(Err(error));
                    self.let_go().await;
                }
            }
            return self.lease.is_some();
        }
        if self.due().is_empty() {
            return false;
        }
        let owner = self.shared.node.clone();
        match blocking(&store, move |store| store.lease(&owner, now)).await {
            Ok(Some(lease)) => self.lease = Some(lease),
            Ok(None) => return false,
            Err(error) => {
                self.tell(Err(error));
                return false;
            }
        }
        // Another node may have ordered until a moment ago.
        let swept = blocking(&store, move |store| store.sweep(now)).await;
        self.tell(swept);
        self.seen.stamp = None;
        self.follow().await;
        true
    }

    fn due(&self) -> Vec<String> {
        let now = self.shared.context.clock.now();
        if self.limits.until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let is_due = |(_, entry): &(&String, &Entry)| entry.next(now).is_some_and(|at| at <= now);
        self.entries.iter().filter(is_due).map(|(name, _)| name.clone()).collect()
    }

    /// Notes how an order has gone, for this node and for all.
    async fn conclude(&mut self, done: Result<(Id, Result<Certificate, Failure>), JoinError>) {
        let (order, outcome) = match done {
            Ok(done) => done,
            Err(error) => (error.id(), Err(Failure::new(format!("the order's task: {error}")))),
        };
        let now = self.shared.context.clock.now();
        let Some(name) = self.ordered.remove(&order) else { return };
        self.limits.note(outcome.as_ref().err(), now, &mut self.rng);
        let Some(entry) = self.entries.get_mut(&name) else { return };
        entry.is_ordering = false;
        match outcome {
            Ok(certificate) => {
                self.shared.meters.issued.inc();
                let until = telemetry::Rfc3339(certificate.not_after);
                tracing::info!(target: "acme", name, %until, "certificate issued");
                entry.take(certificate, &mut self.rng);
                self.seen.is_unpublished = true;
                let (at, by) = (unix_seconds(now), self.shared.node.clone());
                entry.record = Record { ordered_unix_s: Some(at), ordered_by: Some(by), ..Record::default() };
                self.seen.has_account = true;
            }
            Err(failure) => {
                let meters = &self.shared.meters;
                if failure.is_rate_limited {
                    meters.rate_limited.inc();
                } else {
                    meters.failed.inc();
                }
                let record = &mut entry.record;
                record.failures = record.failures.saturating_add(1);
                let at = next_try(
                    record.failures,
                    failure.is_rate_limited,
                    failure.retry_after,
                    now,
                    &mut self.rng,
                );
                let (error, next_try) = (&failure.reason, telemetry::Rfc3339(at));
                tracing::warn!(target: "acme", name, failures = record.failures, %next_try, error, "no certificate");
                record.next_try_unix_s = Some(unix_seconds(at));
                record.last_error = Some(failure.reason);
            }
        }
        let record = entry.record.clone();
        let saved =
            blocking(&self.settings.server.store, move |store| store.save_record(&name, &record)).await;
        self.tell(saved);
    }

    /// Lets handshakes and people see what is known.
    fn publish(&mut self) {
        let now = self.shared.context.clock.now();
        let staples = self.settings.stapler.as_ref().map_or(0, |stapler| stapler.version());
        if std::mem::take(&mut self.seen.is_unpublished) || self.seen.staples != staples {
            self.seen.staples = staples;
            self.publish_certificates();
        }
        let status = |(name, entry): (&String, &Entry)| entry.status(name, self.limits.until, now);
        let status = AcmeStatus {
            directory: self.settings.server.directory_url.clone(),
            store: self.settings.server.store.root().display().to_string(),
            store_error: self.store_error.clone(),
            certificates: self.entries.iter().map(status).collect(),
        };
        self.shared.status.send_if_modified(|before| {
            let is_other = *before != status;
            *before = status;
            is_other
        });
    }

    fn publish_certificates(&mut self) {
        let mut certificates: HashMap<String, Arc<CertifiedKey>> = HashMap::new();
        for (name, entry) in &mut self.entries {
            entry.expiry.set(entry.certificate.as_ref().map_or(0.0, |it| unix_seconds(it.not_after) as f64));
            let Some(certificate) = &entry.certificate else { continue };
            let mut certified = Arc::clone(&certificate.certified);
            if let Some(response) = entry.staple.of(name, &certified.cert, self.settings.stapler.as_deref()) {
                Arc::make_mut(&mut certified).ocsp = Some(response.to_vec());
            }
            certificates.insert(name.clone(), certified);
        }
        self.shared.lookups.set_certificates(certificates);
    }

    /// Tells what is wrong with the store when it begins and when it ends, not every second.
    fn tell(&mut self, outcome: Result<(), Error>) {
        let error = outcome.err().map(|error| error.to_string());
        if error != self.store_error {
            match &error {
                Some(error) => tracing::error!(target: "acme", error, "the store cannot be used"),
                None => tracing::info!(target: "acme", "the store can be used again"),
            }
        }
        self.store_error = error;
    }
}

impl Limits {
    fn note(&mut self, failure: Option<&Failure>, now: SystemTime, rng: &mut StdRng) {
        match failure {
            None => *self = Self::default(),
            Some(failure) if failure.is_rate_limited => {
                self.until = Some(now + SERVER_BACKOFF.delay(self.refusals, rng));
                self.refusals = self.refusals.saturating_add(1);
            }
            Some(_) => {}
        }
    }
}
