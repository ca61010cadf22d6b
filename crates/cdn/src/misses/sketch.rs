//! The most frequent of a stream within a bound: Space-Saving (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and
//! top-k elements in data streams", ICDT 2005).
//!
//! Invariants, of a stream of `n` and [`ENTRIES_MAX`] entries:
//! - what is here was seen at most `count` and at least `count - error` times;
//! - no error is above `n / ENTRIES_MAX`, and what was seen more often than that is here.

use std::collections::HashMap;
use std::hash::Hash;

/// What is remembered at once.
pub(super) const ENTRIES_MAX: usize = 256;

/// Something that was seen often.
pub(super) struct Entry<K, T> {
    key: K,
    pub(super) count: u64,
    pub(super) error: u64,
    pub(super) about: T,
}

pub(super) struct Sketch<K, T> {
    places: HashMap<K, usize>,
    entries: Vec<Entry<K, T>>,
}

impl<K, T> Default for Sketch<K, T> {
    fn default() -> Self {
        Self { places: HashMap::new(), entries: Vec::new() }
    }
}

impl<K: Hash + Eq + Copy, T> Sketch<K, T> {
    /// Counts one, and gives what is remembered of it: made anew, where nothing was.
    pub(super) fn note(&mut self, key: K, about: impl FnOnce() -> T) -> &mut T {
        let place = match self.places.get(&key) {
            Some(place) => {
                self.entries[*place].count += 1;
                *place
            }
            None => self.enter(key, about()),
        };
        &mut self.entries[place].about
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry<K, T>> {
        self.entries.iter()
    }

    /// A free place, or that of the least frequent: its count becomes what the new one may have been seen before.
    fn enter(&mut self, key: K, about: T) -> usize {
        let place = if self.entries.len() < ENTRIES_MAX {
            self.entries.push(Entry { key, count: 1, error: 0, about });
            self.entries.len() - 1
        } else {
            // A few hundred numbers, where an origin is asked as well.
            let least = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.count);
            let (place, &Entry { key: old, count, .. }) = least.expect("all places are taken");
            self.places.remove(&old);
            self.entries[place] = Entry { key, count: count + 1, error: count, about };
            place
        };
        self.places.insert(key, place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn counts_are_within_their_errors_and_what_is_frequent_is_here(
            // Few that come often among many that come seldom.
            stream in prop::collection::vec((0u32..4, 0u32..2000), 0..6000),
        ) {
            let stream: Vec<u32> = stream.into_iter().map(|(kind, key)| if kind == 0 { key % 7 } else { key }).collect();
            let (mut sketch, mut truth) = (Sketch::default(), HashMap::new());
            for key in &stream {
                sketch.note(*key, || ());
                *truth.entry(*key).or_insert(0u64) += 1;
            }
            let bound = stream.len() as u64 / ENTRIES_MAX as u64;
            prop_assert_eq!(sketch.entries().map(|entry| entry.count).sum::<u64>(), stream.len() as u64);
            let mut here = HashMap::new();
            for entry in sketch.entries() {
                let seen = truth[&entry.key];
                prop_assert!(entry.count - entry.error <= seen && seen <= entry.count);
                prop_assert!(entry.error <= bound);
                here.insert(entry.key, ());
            }
            prop_assert_eq!(here.len(), truth.len().min(ENTRIES_MAX));
            for (key, seen) in truth {
                prop_assert!(seen <= bound || here.contains_key(&key));
            }
        }
    }
}
