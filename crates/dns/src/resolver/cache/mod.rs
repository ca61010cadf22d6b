//! Answers that are kept, within a bound in bytes that holds at every moment.
//!
//! It is shared by all cores, in shards with a lock each, which is held while an answer is copied and never longer. What has to go is
//! chosen by SIEVE (Zhang et al., NSDI 2024): answers stand in the order in which they came, a hand moves from the oldest to the newest,
//! spares those that were asked for since it came by, and takes the first that was not. So names that are asked for once, as in a flood of
//! random ones, go before those that are in use.

mod shard;
#[cfg(test)]
mod tests;

use super::freshness::{Age, State, Terms, state};
use super::key::Asked;
use shard::Shard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An answer as it is kept. Clones share what is long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) meta: Meta,
    /// The places of TTLs (two octets each), and then the records behind a question, whose name is that of the key.
    pub(crate) bytes: Arc<[u8]>,
}

/// The short part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Milliseconds since the resolver began.
    pub(crate) stored_ms: u64,
    /// How long it is fresh.
    pub(crate) ttl_s: u32,
    pub(crate) rcode: u16,
    /// It was validated.
    pub(crate) authentic: bool,
    /// It is one that could not be got: kept for a short time, and never used beyond it.
    pub(crate) is_failure: bool,
    /// Why it is one (RFC 8914).
    pub(crate) extended: Option<u16>,
    /// By how many bits of a client's subnet it was chosen.
    pub(crate) scope: u8,
    /// Whoever asks for others may have it too: an upstream has said so (RFC 7871 §7.3.1, scope 0).
    pub(crate) for_all: bool,
    pub(crate) counts: [u16; 3],
    pub(crate) ttls: u16,
}

impl Stored {
    /// As it is looked at.
    #[inline]
    pub(crate) fn seen_at(&self, now_ms: u64) -> Hit<'_> {
        let (ttls_at, body) = self.bytes.split_at(2 * usize::from(self.meta.ttls));
        Hit { meta: &self.meta, ttls_at, body, age: Age::between(self.meta.stored_ms, now_ms) }
    }
}

/// An answer, while it is looked at.
pub(crate) struct Hit<'c> {
    pub(crate) meta: &'c Meta,
    pub(crate) ttls_at: &'c [u8],
    pub(crate) body: &'c [u8],
    pub(crate) age: Age,
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It was used.
    Fresh,
    /// It was used, and is worth to be asked for anew: whoever hears this is the only one for now.
    Due,
    /// It was used though its time is over: getting a new one has failed a moment ago.
    Stale,
    /// It was not used: its time is over, and it may be once a new one cannot be got.
    Expired,
    /// There is none.
    Nothing,
}

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) evicted: u64,
}

pub(crate) struct Cache {
    shards: Box<[Mutex<Shard>]>,
    evicted: AtomicU64,
}

/// A shard is not smaller than this: the longest answer fits in some thousand times.
const SHARD_BYTES_MIN: usize = 256 << 10;
const SHARDS_MAX: usize = 64;

impl Cache {
    /// With room for so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let count = (bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        // Rounded down: together they have no more.
        let shards = (0..count).map(|_| Mutex::new(Shard::new(bytes_max / count)));
        Self { shards: shards.collect(), evicted: AtomicU64::new(0) }
    }

    /// Sets another bound; what has no room goes.
    pub(crate) fn resize(&self, bytes_max: usize) {
        let each = bytes_max / self.shards.len();
        for shard in &self.shards {
            let evicted = lock(shard).resize(each);
            self.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    /// Looks for an answer and shows it to `use_it` if it may be used at this moment.
    #[inline]
    pub(crate) fn look(
        &self,
        name: &[u8],
        asked: Asked,
        hash: u64,
        (now_ms, terms): (u64, &Terms),
        use_it: impl FnOnce(Hit<'_>) -> bool,
    ) -> Found {
        let mut shard = self.shard(hash);
        let Some(entry) = shard.find(name, asked, hash) else { return Found::Nothing };
        let hit = entry.stored.seen_at(now_ms);
        let (age, meta) = (hit.age, hit.meta);
        let retried = now_ms < entry.failed_until_ms;
        let found = match state(age, meta.ttl_s, meta.is_failure, terms) {
            State::Fresh => Found::Fresh,
            State::Due if !entry.is_due => Found::Due,
            State::Due => Found::Fresh,
            State::Stale if retried => Found::Stale,
            State::Stale => return Found::Expired,
            State::Gone => return Found::Nothing,
        };
        if !use_it(hit) {
            return Found::Nothing;
        }
        entry.is_due |= found == Found::Due;
        entry.visited = true;
        found
    }

    /// A copy of what is there, fresh or not.
    pub(crate) fn get(&self, name: &[u8], asked: Asked, hash: u64) -> Option<Stored> {
        self.shard(hash).find(name, asked, hash).map(|entry| entry.stored.clone())
    }

    /// Keeps an answer, in place of the one that is there. What is too long for a shard is not kept.
    #[cfg(test)]
    pub(crate) fn put(&self, name: &[u8], asked: Asked, hash: u64, stored: Stored) {
        self.put_if(name, asked, hash, stored, || true);
    }

    /// The same if this still holds, which is asked under the lock under which answers are flushed.
    pub(crate) fn put_if(
        &self,
        name: &[u8],
        asked: Asked,
        hash: u64,
        stored: Stored,
        holds: impl FnOnce() -> bool,
    ) {
        let mut shard = self.shard(hash);
        if holds() {
            let evicted = shard.put(name, asked, hash, stored);
            self.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    /// Forgets an answer.
    pub(crate) fn remove(&self, name: &[u8], asked: Asked, hash: u64) {
        self.shard(hash).take(name, asked, hash);
    }

    /// Forgets what is kept of names; how many answers that were. What comes meanwhile may stay.
    pub(crate) fn flush(&self, is_meant: impl Fn(&[u8]) -> bool) -> u64 {
        let mut flushed = 0;
        for shard in &self.shards {
            let mut next = Some(0);
            while let Some(from) = next {
                let (count, rest) = lock(shard).flush(from, &is_meant);
                flushed += count;
                next = rest;
            }
        }
        flushed
    }

    /// Remembers that a new one could not be got: until then the old one is used without another try (RFC 8767 §5).
    pub(crate) fn failed(&self, name: &[u8], asked: Asked, hash: u64, until_ms: u64) {
        if let Some(entry) = self.shard(hash).find(name, asked, hash) {
            entry.failed_until_ms = until_ms;
            entry.is_due = false;
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures { evicted: self.evicted.load(Ordering::Relaxed), ..Figures::default() };
        for shard in &self.shards {
            let shard = lock(shard);
            figures.entries += shard.entries() as u64;
            figures.bytes += shard.bytes() as u64;
        }
        figures
    }

    #[inline]
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The upper half chooses the shard; a shard's own table goes by the lower one.
        let at = ((hash >> 32) * self.shards.len() as u64) >> 32;
        lock(&self.shards[at as usize])
    }
}

/// A panic in a shard leaves answers that are whole.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
