//! Fingerprints of what had to go from the small queue, or was too large for it.

use admission::BuildHashed;
use std::collections::{HashMap, VecDeque};

/// So many are remembered at least.
const ENTRIES_MIN: usize = 1024;

#[derive(Default)]
pub(super) struct Ghost {
    known: HashMap<u64, Entry, BuildHashed>,
    /// In the order in which they came; one that was taken since, or came again, has another number in `known`.
    order: VecDeque<(u64, u64)>,
    bytes: u64,
    next: u64,
}

struct Entry {
    number: u64,
    weight: u64,
}

impl Ghost {
    /// Remembers one. The oldest go where together they weigh more than `bytes_max`, or are more than what is kept.
    pub(super) fn put(&mut self, fingerprint: u64, weight: u64, bytes_max: u64, kept: usize) {
        self.take(fingerprint);
        self.next += 1;
        self.known.insert(fingerprint, Entry { number: self.next, weight });
        self.order.push_back((fingerprint, self.next));
        self.bytes += weight;
        while self.bytes > bytes_max || self.order.len() > kept.max(ENTRIES_MIN) {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.known.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.take(oldest);
            }
        }
    }

    /// Whether it is remembered.
    pub(super) fn has(&self, fingerprint: u64) -> bool {
        self.known.contains_key(&fingerprint)
    }

    /// Whether it is remembered; it is not any longer.
    pub(super) fn take(&mut self, fingerprint: u64) -> bool {
        let Some(entry) = self.known.remove(&fingerprint) else { return false };
        self.bytes -= entry.weight;
        true
    }
}
