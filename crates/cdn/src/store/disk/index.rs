//! Which record is where.

use super::VARIANTS_MAX;
use crate::rules::Stored;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// A record.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) file: Arc<File>,
    vary: u64,
    range: Option<(u64, u64)>,
    is_used: bool,
}

impl Entry {
    pub(super) fn new(segment: u32, offset: u64, file: &Arc<File>, stored: &Stored) -> Self {
        let (vary, range) = (hash_of_vary(stored), stored.range);
        Self { segment, offset, file: Arc::clone(file), vary, range, is_used: false }
    }

    /// By the same rule as in memory: the same fields, and no more of the body.
    pub(super) fn is_replaced_by(&self, stored: &Stored) -> bool {
        self.vary == hash_of_vary(stored) && (stored.range.is_none() || stored.range == self.range)
    }

    pub(super) fn is_at(&self, segment: u32, offset: u64) -> bool {
        (self.segment, self.offset) == (segment, offset)
    }
}

fn hash_of_vary(stored: &Stored) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(&stored.vary)
}

type Shard = HashMap<u128, Vec<Entry>>;

/// All records by the hashes of their keys, the newest first.
pub(super) struct Index {
    shards: Box<[Mutex<Shard>]>,
    len: AtomicU64,
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), len: AtomicU64::new(0) }
    }
}

impl Index {
    pub(super) fn has(&self, hash: u128) -> bool {
        self.shard(hash).contains_key(&hash)
    }

    pub(super) fn get(&self, hash: u128) -> Vec<Entry> {
        self.shard(hash).get(&hash).cloned().unwrap_or_default()
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Adds a record, in place of those that it replaces.
    pub(super) fn insert(&self, hash: u128, entry: Entry, stored: &Stored) {
        let mut shard = self.shard(hash);
        let entries = shard.entry(hash).or_default();
        let before = entries.len();
        entries.retain(|other| !other.is_replaced_by(stored));
        entries.insert(0, entry);
        entries.truncate(VARIANTS_MAX);
        self.count(before, entries.len());
    }

    pub(super) fn remove(&self, hash: u128, condemned: impl Fn(&Entry) -> bool) -> usize {
        let mut shard = self.shard(hash);
        let Some(entries) = shard.get_mut(&hash) else { return 0 };
        let before = entries.len();
        entries.retain(|entry| !condemned(entry));
        let after = entries.len();
        if after == 0 {
            shard.remove(&hash);
        }
        self.count(before, after);
        before - after
    }

    /// Notes that a record was read.
    pub(super) fn mark(&self, hash: u128, segment: u32, offset: u64) {
        let mut shard = self.shard(hash);
        let entries = shard.get_mut(&hash).into_iter().flatten();
        entries.filter(|entry| entry.is_at(segment, offset)).for_each(|entry| entry.is_used = true);
    }

    /// The records of a hash that were read, of one segment.
    pub(super) fn used(&self, hash: u128, segment: u32) -> Vec<Entry> {
        let mut entries = self.get(hash);
        entries.retain(|entry| entry.segment == segment && entry.is_used);
        entries
    }

    fn count(&self, before: usize, after: usize) {
        self.len.fetch_add((after as u64).wrapping_sub(before as u64), Ordering::Relaxed);
    }

    fn shard(&self, hash: u128) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[(hash >> 64) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
