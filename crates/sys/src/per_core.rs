//! One value a core, each on cache lines of its own.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slots beyond this would cost more memory than they save waiting.
const SLOTS_MAX: usize = 64;

/// A value for each core, so that threads that count do not take each other's cache lines.
///
/// A thread is given its slot at its first use and keeps it. There are about twice as many slots as cores;
/// more threads than that share, so `T` must be safe to share (atomics, a mutex that is never contended).
#[derive(Debug)]
pub struct PerCore<T> {
    slots: Box<[Padded<T>]>,
}

/// 128 bytes, not 64: x86 fetches lines in pairs, and some ARM cores have lines this long.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl<T> PerCore<T> {
    /// Slots for the cores of this machine, each filled by `make`.
    pub fn new(mut make: impl FnMut() -> T) -> Self {
        // Asking for the number of cores reads files; a process makes thousands of these.
        static SLOTS: OnceLock<usize> = OnceLock::new();
        let slots = SLOTS.get_or_init(|| (crate::cores() * 2).next_power_of_two().min(SLOTS_MAX));
        Self { slots: (0..*slots).map(|_| Padded(make())).collect() }
    }

    /// This thread's slot.
    #[inline]
    pub fn mine(&self) -> &T {
        // A power of two, so the mask is a modulo, and the index is always in range.
        &self.slots[thread_number() & (self.slots.len() - 1)].0
    }

    /// All slots, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|slot| &slot.0)
    }
}

/// Threads are numbered in the order in which they first ask.
#[inline]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    THREAD.with(|thread| {
        let number = thread.get();
        if number != usize::MAX {
            return number;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        thread.set(number);
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_thread_keeps_its_slot() {
        let counts = PerCore::new(AtomicU64::default);
        let slot: *const AtomicU64 = counts.mine();
        assert!(std::ptr::eq(slot, counts.mine()));
    }

    #[test]
    fn every_slot_has_cache_lines_of_its_own() {
        let counts = PerCore::new(AtomicU64::default);
        let addresses: Vec<usize> = counts.iter().map(|slot| std::ptr::from_ref(slot).addr()).collect();
        assert!(addresses.len() > crate::cores() || addresses.len() == SLOTS_MAX);
        assert!(addresses.iter().all(|address| address.is_multiple_of(128)));
    }

    #[test]
    fn what_threads_count_adds_up_even_when_they_share_slots() {
        const THREADS: u64 = 150;
        let counts = PerCore::new(AtomicU64::default);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| counts.mine().fetch_add(1, Ordering::Relaxed));
            }
        });
        assert_eq!(counts.iter().map(|slot| slot.load(Ordering::Relaxed)).sum::<u64>(), THREADS);
    }
}
