//! Fetches that are under way, of all cores: at most one for each key, as far as responses can be shared.

use super::FillLimits;
use super::lead::Lead;
use super::reader::Reader;
use super::state::Shared;
use super::under_way::Unshared;
use crate::Key;
use crate::purge::Purges;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What requests have in common that share a fetch: the key, and what is known of the fields that `Vary` names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    key: Box<[u8]>,
    /// Of the key.
    hash: u128,
    pub(super) variant: u64,
}

impl Slot {
    pub(super) fn of(key: &Key, variant: u64) -> Self {
        Self { key: key.bytes.clone(), hash: key.hash, variant }
    }

    fn hashed(&self) -> (u128, u64) {
        (self.hash, self.variant)
    }
}

/// How to come by a response that is not there.
pub enum Place {
    /// Fetch it, for all who will ask.
    Lead(Lead),
    /// Somebody fetches it.
    Follow(Reader),
    /// Fetch it for yourself: it cannot be shared, or too many fetches are under way.
    Alone,
}

/// Fetches that are under way, and what is known not to be worth to wait for.
pub struct Flights {
    limits: FillLimits,
    /// In place of that of the limits: it may change.
    filling_bytes_max: AtomicU64,
    /// The same.
    object_bytes_max: AtomicU64,
    purges: Arc<Purges>,
    table: Mutex<Table>,
    filling: Arc<AtomicU64>,
    fills: AtomicU64,
    coalesced: AtomicU64,
    alone: AtomicU64,
    full: AtomicU64,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) flights: HashMap<Slot, Flight>,
    /// By the hashes of keys, so that a long URL takes no more than a short one. Where two have the same, requests wait for nobody.
    pub(super) passes: HashMap<(u128, u64), Pass>,
}

impl Table {
    /// What is remembered of a slot still.
    pub(super) fn pass(&self, slot: &Slot, now: Instant) -> Option<Pass> {
        self.passes.get(&slot.hashed()).copied().filter(|pass| pass.until > now)
    }
}

/// How to come by a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Join the fetch of all of it, or begin it.
    Whole,
    /// Join the fetch of the part, or begin it.
    Part,
    /// Fetch it for yourself.
    Alone,
}

/// A fetch that began further before the part that is wanted than this is not waited for.
const AHEAD_BYTES: u64 = 1 << 20;

pub(super) struct Flight {
    pub(super) shared: Arc<Shared>,
    asked: u64,
}

/// A key that is known to be nothing to wait for.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub(super) until: Instant,
    pub(super) why: Unshared,
}

/// What is under way, and what has been since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlightsFigures {
    /// Fetches that are under way.
    pub flights: u64,
    /// Bytes of bodies that are kept while they arrive.
    pub filling_bytes: u64,
    /// Fetches that were begun.
    pub fills: u64,
    /// Requests that waited for the fetch of another.
    pub coalesced: u64,
    /// Requests for what is known not to be shared.
    pub alone: u64,
    /// Requests that found too many fetches under way.
    pub full: u64,
}

impl Flights {
    /// None yet.
    pub fn new(limits: FillLimits, purges: Arc<Purges>) -> Arc<Self> {
        Arc::new(Self {
            filling_bytes_max: AtomicU64::new(limits.filling_bytes_max),
            object_bytes_max: AtomicU64::new(limits.object_bytes_max),
            limits,
            purges,
            table: Mutex::default(),
            filling: Arc::default(),
            fills: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            alone: AtomicU64::new(0),
            full: AtomicU64::new(0),
        })
    }

    /// Joins those who wait for a response, or begins to fetch it. `variant` stands for the values of the fields that
    /// `Vary` is known to name, and is 0 where that is not known.
    ///
    /// A fetch that was begun before a purge is nothing for a request that comes after it.
    pub fn join(self: &Arc<Self>, key: &Key, variant: u64, now: Instant) -> Place {
        let slot = Slot::of(key, variant);
        let mut table = self.lock();
        if table.pass(&slot, now).is_some_and(|pass| pass.why != Unshared::Unranged) {
            self.alone.fetch_add(1, Ordering::Relaxed);
            return Place::Alone;
        }
        if let Some(flight) = table.flights.get(&slot)
            && self.may_join(flight, key)
            && let Some(reader) = Reader::join(&flight.shared)
        {
            self.coalesced.fetch_add(1, Ordering::Relaxed);
            return Place::Follow(reader);
        }
        match self.begin(&mut table, slot) {
            Some(lead) => Place::Lead(lead),
            None => Place::Alone,
        }
    }

    /// For one who has waited too long for another's fetch: begins a fetch that takes its place for whoever comes from now on, or joins
    /// the one that another has begun in its place. What is passed over is not kept when it comes after all: it may be older than
    /// what has come meanwhile.
    pub fn pass_over(self: &Arc<Self>, reader: &Reader, key: &Key, variant: u64) -> Place {
        let slot = Slot::of(key, variant);
        let mut table = self.lock();
        if let Some(flight) = table.flights.get(&slot)
            && !reader.is_of(&flight.shared)
            && self.may_join(flight, key)
            && let Some(reader) = Reader::join(&flight.shared)
        {
            return Place::Follow(reader);
        }
        match self.begin(&mut table, slot) {
            Some(lead) => Place::Lead(lead),
            None => Place::Alone,
        }
    }

    /// How to come by the part of a response from byte `start` on (`None`: at its end): parts have fetches of their own, each joined by
    /// a `variant` of its own, unless all of it is on its way and soon there.
    pub fn way_to_part(&self, key: &Key, variant: u64, start: Option<u64>, now: Instant) -> Way {
        let slot = Slot::of(key, variant);
        let table = self.lock();
        match table.pass(&slot, now).map(|pass| pass.why) {
            Some(Unshared::NotStored(_) | Unshared::Unusable) => return Way::Alone,
            Some(Unshared::Unranged) => return Way::Whole,
            Some(Unshared::TooLong) => return Way::Part,
            None => {}
        }
        let is_soon = |flight: &Flight| {
            let arrived = flight.shared.state().total();
            start.is_some_and(|start| start <= arrived.saturating_add(AHEAD_BYTES))
        };
        let whole = table.flights.get(&slot);
        match whole.is_some_and(|flight| is_soon(flight) && self.may_join(flight, key)) {
            true => Way::Whole,
            false => Way::Part,
        }
    }

    /// A response that was remembered as nothing to share could be kept by now: the next one is fetched for all.
    pub fn forget_pass(&self, key: &Key, variant: u64) {
        let mut table = self.lock();
        let slot = Slot::of(key, variant);
        if table.passes.get(&slot.hashed()).is_some_and(|pass| pass.why.is_of_whole()) {
            table.passes.remove(&slot.hashed());
        }
    }

    /// Begins to fetch a response if nobody does so already: to confirm it beside those who are served what is kept.
    pub fn lead(self: &Arc<Self>, key: &Key, variant: u64) -> Option<Lead> {
        let slot = Slot::of(key, variant);
        let mut table = self.lock();
        if table.flights.get(&slot).is_some_and(|flight| self.may_join(flight, key)) {
            return None;
        }
        self.begin(&mut table, slot)
    }

    /// Sets how much is kept while it arrives, of all fetches and of one.
    pub fn resize(&self, filling_bytes_max: u64, object_bytes_max: u64) {
        self.filling_bytes_max.store(filling_bytes_max, Ordering::Relaxed);
        self.object_bytes_max.store(object_bytes_max, Ordering::Relaxed);
    }

    /// What is under way, and what has been.
    pub fn figures(&self) -> FlightsFigures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FlightsFigures {
            flights: self.lock().flights.len() as u64,
            filling_bytes: count(&self.filling),
            fills: count(&self.fills),
            coalesced: count(&self.coalesced),
            alone: count(&self.alone),
            full: count(&self.full),
        }
    }

    /// Whether a fetch is the one that others join.
    pub(super) fn is_current(&self, slot: &Slot, shared: &Arc<Shared>) -> bool {
        self.lock().flights.get(slot).is_some_and(|flight| Arc::ptr_eq(&flight.shared, shared))
    }

    pub(super) fn limits(&self) -> &FillLimits {
        &self.limits
    }

    pub(super) fn filling_bytes_max(&self) -> u64 {
        self.filling_bytes_max.load(Ordering::Relaxed)
    }

    /// What is larger is not kept, in bytes.
    pub(crate) fn object_bytes_max(&self) -> u64 {
        self.object_bytes_max.load(Ordering::Relaxed)
    }

    /// Takes a fetch out, if it is still that which stands there.
    pub(super) fn remove(&self, slot: &Slot, shared: &Arc<Shared>) {
        let mut table = self.lock();
        if table.flights.get(slot).is_some_and(|flight| Arc::ptr_eq(&flight.shared, shared)) {
            table.flights.remove(slot);
        }
    }

    /// The fetch of a part has brought all of the response: it becomes the one for all of it. `None`: there is one already.
    pub(super) fn take_whole(&self, from: &Slot, shared: &Arc<Shared>, variant: u64) -> Option<Slot> {
        let slot = Slot { variant, ..from.clone() };
        let mut table = self.lock();
        if table.flights.get(&slot).is_some_and(|flight| flight.shared.state().is_open()) {
            return None;
        }
        let is_current = table.flights.get(from).is_some_and(|flight| Arc::ptr_eq(&flight.shared, shared));
        if is_current && let Some(flight) = table.flights.remove(from) {
            table.flights.insert(slot.clone(), flight);
        }
        Some(slot)
    }

    /// Remembers that it is nothing to wait for.
    pub(super) fn remember(&self, slot: &Slot, pass: Pass) {
        let mut table = self.lock();
        if table.passes.len() >= self.limits.passes_max {
            // What is known of half of them is found out again by asking.
            let mut times: Vec<Instant> = table.passes.values().map(|pass| pass.until).collect();
            let middle = times.len() / 2;
            let median = *times.select_nth_unstable(middle).1;
            table.passes.retain(|_, pass| pass.until > median);
        }
        table.passes.insert(slot.hashed(), pass);
    }

    fn begin(self: &Arc<Self>, table: &mut Table, slot: Slot) -> Option<Lead> {
        if table.flights.len() >= self.limits.flights_max {
            self.full.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.fills.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared::new(Arc::clone(&self.filling)));
        let asked = self.purges.sequence();
        table.flights.insert(slot.clone(), Flight { shared: Arc::clone(&shared), asked });
        Some(Lead::new(self, &shared, slot, asked))
    }

    pub(super) fn may_join(&self, flight: &Flight, key: &Key) -> bool {
        let state = flight.shared.state();
        if !state.is_open() {
            return false;
        }
        let head = state.head.clone();
        drop(state);
        match head {
            // Its tags are not known yet: a purge of any tag may be about it.
            None => !self.purges.may_concern(&key.bytes, flight.asked),
            Some(stored) => {
                let (verdict, _) = self.purges.verdict(&key.bytes, &stored.tags, flight.asked);
                verdict == crate::purge::Verdict::Clean
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
