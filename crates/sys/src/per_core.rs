//! One value a core, each on cache lines of its own.

use std::cell::Cell;
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
        let slots = (crate::cores() * 2).next_power_of_two().min(SLOTS_MAX);
        Self { slots: (0..slots).map(|_| Padded(make())).collect() }
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
