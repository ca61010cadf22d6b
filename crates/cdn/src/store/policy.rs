//! Who has to go: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023), by bytes.
//!
//! What is new stands in a small queue, a tenth of the room; what was asked for again by the time it reaches the end moves to the main
//! queue, the rest is forgotten but for its fingerprint (the ghost). Whoever comes back while its ghost is there goes to the main
//! queue at once. At the end of the main queue, what was asked for goes round once more.
//!
//! Invariant: the weights of all that is kept are within the bound, at every return.
//!
//! Beyond the paper: where others would have to go for it, what is larger than a part of the small queue is let in only if its ghost is there, so that an object
//! that is asked for once does not push out all that is new. The policy reads no clock and takes no lock.

mod ghost;
mod queue;
#[cfg(test)]
mod tests;

use ghost::Ghost;
use queue::{Queues, Which};
use std::sync::atomic::{AtomicU8, Ordering};

/// Parts of the room that are for what is new.
const SMALL_PART: u64 = 10;
/// What weighs more than this part of the small queue comes in by its ghost alone.
const LARGE_PART: u64 = 4;
/// Marks beyond this are not counted.
const FREQUENCY_MAX: u8 = 3;
/// Marks with which something moves from the small queue to the main one.
const FREQUENCY_MOVES: u8 = 2;

/// How often something was asked for since it was looked at last; readers mark it without a lock.
#[derive(Debug, Default)]
pub(crate) struct Frequency(AtomicU8);

impl Frequency {
    /// Marks a use. A mark that meets another may be lost, which only makes a guess less sharp.
    #[inline]
    pub(crate) fn mark(&self) {
        let now = self.0.load(Ordering::Relaxed);
        if now < FREQUENCY_MAX {
            self.0.store(now + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, marks: u8) {
        self.0.store(marks, Ordering::Relaxed);
    }
}

/// What the policy asks of what it keeps.
pub(crate) trait Kept {
    fn frequency(&self) -> &Frequency;
    /// Its name in the ghost.
    fn fingerprint(&self) -> u64;
}

/// Where something stands; true until it is removed or evicted.
pub(crate) type Place = u32;

/// What came of something that asked to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Kept(Place),
    /// It is too large to be kept at its first request: it is remembered by its ghost.
    Later,
    /// It has no room at all.
    Never,
}

pub(crate) struct Policy<T> {
    queues: Queues<T>,
    ghost: Ghost,
    bytes_max: u64,
}

impl<T: Kept> Policy<T> {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { queues: Queues::default(), ghost: Ghost::default(), bytes_max }
    }

    /// Lets something in, and says who has to go for it.
    pub(crate) fn admit(&mut self, item: T, weight: u64, evicted: &mut Vec<T>) -> Admission {
        if weight > self.bytes_max {
            return Admission::Never;
        }
        let which = if self.ghost.take(item.fingerprint()) {
            Which::Main
        } else if self.is_large(weight) && self.bytes() + weight > self.bytes_max {
            self.remember(item.fingerprint(), weight);
            return Admission::Later;
        } else {
            Which::Small
        };
        self.make_room(weight, evicted);
        Admission::Kept(self.queues.push(which, item, weight))
    }

    /// Whether what has been here before is worth its room: nothing has to go for it, or it was here or asked for not long ago. What is not
    /// is remembered.
    pub(crate) fn takes_back(&mut self, fingerprint: u64, weight: u64) -> bool {
        let takes = weight <= self.bytes_max
            && (self.bytes() + weight <= self.bytes_max || self.ghost.has(fingerprint));
        if !takes {
            self.remember(fingerprint, weight);
        }
        takes
    }

    /// Lets something in for another that leaves, in the same queue, with the marks that the other has. One that has become large since it
    /// was let in is treated as what is new.
    pub(crate) fn replace(
        &mut self,
        place: Place,
        item: T,
        weight: u64,
        evicted: &mut Vec<T>,
    ) -> (T, Admission) {
        let was_large = self.is_large(self.queues.weight(place));
        let (old, which) = self.queues.remove(place);
        item.frequency().set(old.frequency().get());
        if weight > self.bytes_max {
            return (old, Admission::Never);
        }
        let pushes = self.is_large(weight) && self.bytes() + weight > self.bytes_max;
        if which == Which::Small && pushes && !was_large {
            self.remember(item.fingerprint(), weight);
            return (old, Admission::Later);
        }
        self.make_room(weight, evicted);
        (old, Admission::Kept(self.queues.push(which, item, weight)))
    }

    pub(crate) fn remove(&mut self, place: Place) -> T {
        self.queues.remove(place).0
    }

    /// Sets another bound.
    pub(crate) fn resize(&mut self, bytes_max: u64, evicted: &mut Vec<T>) {
        self.bytes_max = bytes_max;
        self.make_room(0, evicted);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.queues.bytes(Which::Small) + self.queues.bytes(Which::Main)
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    /// All that is kept.
    pub(crate) fn items(&self) -> impl Iterator<Item = &T> {
        self.queues.items()
    }

    fn is_large(&self, weight: u64) -> bool {
        weight > self.bytes_max / SMALL_PART / LARGE_PART
    }

    fn make_room(&mut self, weight: u64, evicted: &mut Vec<T>) {
        let main_max = self.bytes_max - self.bytes_max / SMALL_PART;
        while self.bytes() + weight > self.bytes_max {
            if self.queues.bytes(Which::Main) > main_max || self.queues.is_empty(Which::Small) {
                self.shorten_main(evicted);
            } else {
                self.shorten_small(evicted);
            }
        }
    }

    /// The oldest of the small queue: on to the main one, or out.
    fn shorten_small(&mut self, evicted: &mut Vec<T>) {
        let (place, item) = self.queues.oldest(Which::Small);
        if item.frequency().get() >= FREQUENCY_MOVES {
            item.frequency().set(0);
            self.queues.move_to(Which::Main, place);
        } else {
            let weight = self.queues.weight(place);
            let (item, _) = self.queues.remove(place);
            self.remember(item.fingerprint(), weight);
            evicted.push(item);
        }
    }

    /// The oldest of the main queue: round once more, or out.
    fn shorten_main(&mut self, evicted: &mut Vec<T>) {
        let (place, item) = self.queues.oldest(Which::Main);
        match item.frequency().get() {
            0 => evicted.push(self.queues.remove(place).0),
            marks => {
                item.frequency().set(marks - 1);
                self.queues.move_to(Which::Main, place);
            }
        }
    }

    fn remember(&mut self, fingerprint: u64, weight: u64) {
        let bytes_max = self.bytes_max - self.bytes_max / SMALL_PART;
        self.ghost.put(fingerprint, weight, bytes_max, self.queues.len());
    }
}
