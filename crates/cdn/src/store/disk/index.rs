//! Which record is where, and what waits to be written in its place.
//!
//! What is changed and what waits is known under one lock, so that a response which was replaced or removed while it waited is
//! never shown. Whoever takes an entry out marks its record as gone, or the next start would find it again.

use super::VARIANTS_MAX;
use crate::rules::Stored;
use crate::store::record::At;
use admission::BuildHashed;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: u64 = 64;
/// Memory of a record's entry: itself and its key, in a map of which a third is free, and its place in the list of its segment.
pub(super) const ENTRY_BYTES: u64 = 96;

/// Which of a key's responses it is, by hashes: where two are the same, one of them is fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    vary: u32,
    /// 0 where it is whole.
    range: u32,
}

impl Variant {
    pub(super) fn of(stored: &Stored) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let range = stored.range.map_or(0, |range| hasher.hash_one(range) as u32 | 1);
        Self { vary: hasher.hash_one(&stored.vary) as u32, range }
    }

    /// By the same rule as in memory: the same fields, and no more of the body.
    fn replaces(self, other: Self) -> bool {
        self.vary == other.vary && (self.range == 0 || self.range == other.range)
    }
}

/// A record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    offset: u64,
    /// The purges that it was held against.
    pub(super) held: u64,
    segment: u32,
    /// Where its body is: in this segment or an older one.
    pub(super) body_segment: u32,
    pub(super) variant: Variant,
    pub(super) is_soft: bool,
    is_used: bool,
}

impl Entry {
    pub(super) fn new(at: At, body_segment: u32, held: u64, is_soft: bool, stored: &Stored) -> Self {
        let At { segment, offset } = at;
        Self { offset, held, segment, body_segment, variant: Variant::of(stored), is_soft, is_used: false }
    }

    pub(super) fn at(&self) -> At {
        At { segment: self.segment, offset: self.offset }
    }

    /// Whether it is lost with a segment.
    pub(super) fn needs(&self, segment: u32) -> bool {
        self.segment == segment || self.body_segment == segment
    }
}

/// Most keys have one response, which then needs no list.
enum Entries {
    One(Entry),
    /// The newest first.
    Many(Vec<Entry>),
}

impl Entries {
    fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Entry] {
        match self {
            Self::One(entry) => std::slice::from_mut(entry),
            Self::Many(entries) => entries,
        }
    }
}

/// A response that waits to be written.
struct Pending {
    ticket: u64,
    variant: Variant,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<u64, Entries, BuildHashed>,
    pending: HashMap<u64, Vec<Pending>, BuildHashed>,
}

/// All records by the hashes of their keys.
pub(super) struct Index {
    shards: Box<[Mutex<Shard>]>,
    len: AtomicU64,
    tickets: AtomicU64,
}

impl Default for Index {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, len: AtomicU64::new(0), tickets: AtomicU64::new(0) }
    }
}

impl Index {
    pub(super) fn has(&self, hash: u64) -> bool {
        self.shard(hash).entries.contains_key(&hash)
    }

    /// The records of a hash, the newest first.
    pub(super) fn get(&self, hash: u64) -> Vec<Entry> {
        self.shard(hash).entries.get(&hash).map(|entries| entries.as_slice().to_vec()).unwrap_or_default()
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// The record at a place, if it still counts.
    pub(super) fn at(&self, hash: u64, at: At) -> Option<Entry> {
        self.shard(hash).find(hash, at).copied()
    }

    /// A response is to be written, in place of what it replaces and of that `old` one: they no longer count, and are returned. With
    /// them a ticket to [`Index::finish`] with.
    pub(super) fn begin(&self, hash: u64, variant: Variant, old: Variant) -> (u64, Vec<Entry>) {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let is_replaced = |other: Variant| variant.replaces(other) || other == old;
        let mut shard = self.shard(hash);
        shard.cancel(hash, |pending| is_replaced(pending.variant));
        shard.pending.entry(hash).or_default().push(Pending { ticket, variant });
        (ticket, self.take(&mut shard, hash, |entry| is_replaced(entry.variant)))
    }

    /// Whether nothing has replaced or removed the response of a ticket meanwhile.
    pub(super) fn is_wanted(&self, hash: u64, ticket: u64) -> bool {
        let shard = self.shard(hash);
        shard.pending.get(&hash).into_iter().flatten().any(|pending| pending.ticket == ticket)
    }

    /// It will not be written.
    pub(super) fn cancel(&self, hash: u64, ticket: u64) {
        self.shard(hash).cancel(hash, |pending| pending.ticket == ticket);
    }

    /// It is written. Returned are records that no longer count: itself, if it was replaced or removed meanwhile.
    pub(super) fn finish(&self, hash: u64, ticket: u64, entry: Entry) -> Vec<Entry> {
        let mut shard = self.shard(hash);
        if !shard.cancel(hash, |pending| pending.ticket == ticket) {
            return vec![entry];
        }
        self.insert(&mut shard, hash, entry)
    }

    /// A record was found at the start. Returned are those that no longer count.
    pub(super) fn found(&self, hash: u64, entry: Entry) -> Vec<Entry> {
        self.insert(&mut self.shard(hash), hash, entry)
    }

    /// A record was written again: false where it does not count any more.
    pub(super) fn moved(&self, hash: u64, from: At, to: Entry) -> bool {
        match self.shard(hash).find(hash, from) {
            Some(entry) => *entry = to,
            None => return false,
        }
        true
    }

    /// Takes out what is condemned.
    pub(super) fn remove(&self, hash: u64, condemned: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.take(&mut self.shard(hash), hash, condemned)
    }

    /// Takes out one of a key's responses, what waits to be written too.
    pub(super) fn remove_variant(&self, hash: u64, variant: Variant) -> Vec<Entry> {
        let mut shard = self.shard(hash);
        shard.cancel(hash, |pending| variant.replaces(pending.variant));
        self.take(&mut shard, hash, |entry| variant.replaces(entry.variant))
    }

    /// Takes out all responses of a key, what waits to be written too.
    pub(super) fn remove_key(&self, hash: u64) -> Vec<Entry> {
        let mut shard = self.shard(hash);
        shard.pending.remove(&hash);
        self.take(&mut shard, hash, |_| true)
    }

    /// Takes out all responses, what waits to be written too.
    pub(super) fn remove_all(&self) -> Vec<Entry> {
        let mut gone = Vec::new();
        for shard in &self.shards {
            let Shard { entries, .. } =
                std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            entries.values().for_each(|entries| gone.extend_from_slice(entries.as_slice()));
        }
        self.len.fetch_sub(gone.len() as u64, Ordering::Relaxed);
        gone
    }

    /// Whether one of a key's responses is there, or waits to be written.
    pub(super) fn knows(&self, hash: u64, variant: Variant) -> bool {
        let shard = self.shard(hash);
        let mut pending = shard.pending.get(&hash).into_iter().flatten();
        let entries = shard.entries.get(&hash).map(Entries::as_slice).unwrap_or_default();
        pending.any(|pending| pending.variant == variant)
            || entries.iter().any(|entry| entry.variant == variant)
    }

    /// Notes that a record was read.
    pub(super) fn mark_used(&self, hash: u64, at: At) {
        self.shard(hash).find(hash, at).into_iter().for_each(|entry| entry.is_used = true);
    }

    /// Notes that a record was held against purges.
    pub(super) fn hold(&self, hash: u64, at: At, upto: u64, is_soft: bool) {
        if let Some(entry) = self.shard(hash).find(hash, at) {
            entry.held = upto.max(entry.held);
            entry.is_soft |= is_soft;
        }
    }

    /// Notes that all records before a place were held against purges.
    pub(super) fn hold_before(&self, at: At, upto: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let entries = shard.entries.values_mut().flat_map(Entries::as_mut_slice);
            entries.filter(|entry| entry.at() < at).for_each(|entry| entry.held = upto.max(entry.held));
        }
    }

    /// The records of a hash that were read, and are lost with a segment.
    pub(super) fn used(&self, hash: u64, segment: u32) -> Vec<Entry> {
        let mut entries = self.get(hash);
        entries.retain(|entry| entry.needs(segment) && entry.is_used);
        entries
    }

    fn insert(&self, shard: &mut Shard, hash: u64, entry: Entry) -> Vec<Entry> {
        let mut gone = self.take(shard, hash, |other| entry.variant.replaces(other.variant));
        let mut surplus = Vec::new();
        let entries = match shard.entries.remove(&hash) {
            None => Entries::One(entry),
            Some(others) => {
                let mut entries = vec![entry];
                entries.extend_from_slice(others.as_slice());
                surplus = entries.split_off(VARIANTS_MAX.min(entries.len()));
                Entries::Many(entries)
            }
        };
        self.len.fetch_add(1, Ordering::Relaxed);
        self.len.fetch_sub(surplus.len() as u64, Ordering::Relaxed);
        gone.append(&mut surplus);
        shard.entries.insert(hash, entries);
        gone
    }

    fn take(&self, shard: &mut Shard, hash: u64, condemned: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let Some(entries) = shard.entries.get(&hash) else { return Vec::new() };
        let (taken, left): (Vec<Entry>, Vec<Entry>) =
            entries.as_slice().iter().partition(|entry| condemned(entry));
        if taken.is_empty() {
            return taken;
        }
        match left[..] {
            [] => drop(shard.entries.remove(&hash)),
            [last] => drop(shard.entries.insert(hash, Entries::One(last))),
            _ => drop(shard.entries.insert(hash, Entries::Many(left))),
        }
        self.len.fetch_sub(taken.len() as u64, Ordering::Relaxed);
        taken
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The map within goes by the lowest bits and the highest.
        let shard = &self.shards[(hash >> 40 & (SHARDS - 1)) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn find(&mut self, hash: u64, at: At) -> Option<&mut Entry> {
        self.entries.get_mut(&hash)?.as_mut_slice().iter_mut().find(|entry| entry.at() == at)
    }

    /// Takes out what waits, and says whether there was any.
    fn cancel(&mut self, hash: u64, condemned: impl Fn(&Pending) -> bool) -> bool {
        let Some(pending) = self.pending.get_mut(&hash) else { return false };
        let before = pending.len();
        pending.retain(|pending| !condemned(pending));
        let is_changed = pending.len() < before;
        if pending.is_empty() {
            self.pending.remove(&hash);
        }
        is_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_no_more_memory_than_is_counted() {
        // A map is between seven sixteenths and seven eighths full; with a byte of its own for each place.
        let place = std::mem::size_of::<(u64, Entries)>() as u64 + 1;
        assert!(place * 3 / 2 + 8 <= ENTRY_BYTES, "{place}");
    }
}
