//! One part of the cache: a table, the order in which answers came, and a hand that moves along it.

use super::super::key::Asked;
use super::Stored;
use admission::BuildHashed;
use std::collections::HashMap;

const NONE: u32 = u32::MAX;
/// Slots that are looked at before others get the shard's lock.
pub(super) const FLUSHED_AT_ONCE: usize = 1024;

pub(super) struct Shard {
    by_hash: HashMap<u64, u32, BuildHashed>,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// The one that came last, and the one that came first.
    newest: u32,
    oldest: u32,
    hand: u32,
    bytes: usize,
    bytes_max: usize,
}

pub(super) struct Entry {
    name: Box<[u8]>,
    asked: Asked,
    hash: u64,
    pub(super) stored: Stored,
    newer: u32,
    older: u32,
    pub(super) visited: bool,
    /// Somebody asks for it anew.
    pub(super) is_due: bool,
    pub(super) failed_until_ms: u64,
}

/// What an answer takes beside its octets: its slot, its place in the table (16 octets, of which an eighth is kept empty and half
/// may be), its place in the list of free ones, the counts of its shared memory, and what the allocator adds to two pieces.
pub(super) const ENTRY_BYTES: usize = size_of::<Option<Entry>>() + 2 * 18 + 4 + 16 + 2 * 16;

impl Shard {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            by_hash: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.by_hash.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(super) fn find(&mut self, name: &[u8], asked: Asked, hash: u64) -> Option<&mut Entry> {
        let at = *self.by_hash.get(&hash)?;
        let entry = self.slots[at as usize].as_mut().expect("the table names slots in use");
        // Two with the same hash: one of them is kept.
        (entry.asked == asked && *entry.name == *name).then_some(entry)
    }

    /// How many had to go for it.
    pub(super) fn put(&mut self, name: &[u8], asked: Asked, hash: u64, stored: Stored) -> u64 {
        // One that is asked for anew keeps its good name.
        let visited = self.by_hash.get(&hash).copied().is_some_and(|at| self.entry(at).visited);
        if let Some(at) = self.by_hash.get(&hash).copied() {
            self.remove(at);
        }
        let cost = cost(name, &stored);
        if cost > self.bytes_max {
            return 0;
        }
        let evicted = self.make_room(cost);
        let entry = Entry {
            name: name.into(),
            asked,
            hash,
            stored,
            newer: NONE,
            older: self.newest,
            visited,
            is_due: false,
            failed_until_ms: 0,
        };
        let at = self.place(entry);
        match self.newest {
            NONE => self.oldest = at,
            newest => self.entry_mut(newest).newer = at,
        }
        self.newest = at;
        self.by_hash.insert(hash, at);
        self.bytes += cost;
        evicted
    }

    pub(super) fn take(&mut self, name: &[u8], asked: Asked, hash: u64) {
        if self.find(name, asked, hash).is_some() {
            self.remove(self.by_hash[&hash]);
        }
    }

    /// Forgets what is kept of names in some slots from this one on: how many answers that were, and where the rest begins.
    pub(super) fn flush(&mut self, from: usize, is_meant: impl Fn(&[u8]) -> bool) -> (u64, Option<usize>) {
        let is_meant = |slot: &Option<Entry>| slot.as_ref().is_some_and(|entry| is_meant(&entry.name));
        let to = (from + FLUSHED_AT_ONCE).min(self.slots.len());
        let meant: Vec<u32> =
            (from..to).filter(|at| is_meant(&self.slots[*at])).map(|at| at as u32).collect();
        meant.iter().for_each(|at| self.remove(*at));
        (meant.len() as u64, (to < self.slots.len()).then_some(to))
    }

    pub(super) fn resize(&mut self, bytes_max: usize) -> u64 {
        self.bytes_max = bytes_max;
        self.make_room(0)
    }

    fn make_room(&mut self, cost: usize) -> u64 {
        let mut evicted = 0;
        while self.bytes + cost > self.bytes_max {
            let at = self.victim();
            self.remove(at);
            evicted += 1;
        }
        evicted
    }

    /// The next one that was not asked for since the hand came by.
    fn victim(&mut self) -> u32 {
        loop {
            let at = if self.hand == NONE { self.oldest } else { self.hand };
            assert!(at != NONE, "a shard without answers holds no bytes");
            let entry = self.entry_mut(at);
            if !std::mem::take(&mut entry.visited) {
                return at;
            }
            self.hand = entry.newer;
        }
    }

    fn place(&mut self, entry: Entry) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = Some(entry);
                at
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() as u32 - 1
            }
        }
    }

    fn remove(&mut self, at: u32) {
        let entry = self.slots[at as usize].take().expect("what is removed is there");
        self.free.push(at);
        self.by_hash.remove(&entry.hash);
        self.bytes -= cost(&entry.name, &entry.stored);
        match entry.newer {
            NONE => self.newest = entry.older,
            newer => self.entry_mut(newer).older = entry.older,
        }
        match entry.older {
            NONE => self.oldest = entry.newer,
            older => self.entry_mut(older).newer = entry.newer,
        }
        if self.hand == at {
            self.hand = entry.newer;
        }
    }

    fn entry(&self, at: u32) -> &Entry {
        self.slots[at as usize].as_ref().expect("the list names slots in use")
    }

    fn entry_mut(&mut self, at: u32) -> &mut Entry {
        self.slots[at as usize].as_mut().expect("the list names slots in use")
    }
}

fn cost(name: &[u8], stored: &Stored) -> usize {
    name.len() + stored.bytes.len() + ENTRY_BYTES
}
