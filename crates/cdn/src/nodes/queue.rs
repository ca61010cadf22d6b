//! Purges that took effect here and have no number yet.
//!
//! A number is given only to what is on the disk: so none is given twice, whatever the disk forgets. What cannot be written waits here.

use crate::purge::{Entry, Mode, Target};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// So many wait. Beyond it they are taken together, for one of everything.
const WAITING_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Vec<Arc<Entry>>>,
    /// Purges that are in the cache, or about to be, and not in the ledger.
    unsettled: AtomicUsize,
}

impl Queue {
    /// A purge is about to be in the cache: until it is entered, nothing is settled.
    pub(super) fn begin(&self) {
        self.unsettled.fetch_add(1, Ordering::SeqCst);
    }

    /// So many are entered, or given up.
    pub(super) fn settle(&self, count: usize) {
        self.unsettled.fetch_sub(count, Ordering::SeqCst);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.unsettled.load(Ordering::SeqCst) == 0
    }

    /// One that has begun waits.
    pub(super) fn push(&self, entry: Arc<Entry>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(entry);
        self.bound(&mut waiting);
    }

    /// All that wait.
    pub(super) fn take(&self) -> Vec<Arc<Entry>> {
        mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// They wait on, before those that have come since.
    pub(super) fn put_back(&self, taken: Vec<Arc<Entry>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let since = mem::replace(&mut *waiting, taken);
        waiting.extend(since);
        self.bound(&mut waiting);
    }

    fn bound(&self, waiting: &mut Vec<Arc<Entry>>) {
        let Some(beyond) = waiting.len().checked_sub(WAITING_MAX).filter(|beyond| *beyond > 0) else {
            return;
        };
        waiting.truncate(WAITING_MAX - 1);
        waiting.push(Arc::new(Entry::new(Target::Everything, Mode::Hard)));
        self.settle(beyond);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_takes_the_last_ones_together_and_counts_them_once() {
        let queue = Queue::default();
        let push = |count: usize| {
            for number in 0..count {
                queue.begin();
                queue.push(Arc::new(Entry::new(Target::Key(&number.to_le_bytes()), Mode::Hard)));
            }
        };
        push(WAITING_MAX);
        let taken = queue.take();
        push(3);
        queue.put_back(taken);
        push(1);
        let taken = queue.take();
        assert_eq!(taken.len(), WAITING_MAX);
        assert_eq!(taken[WAITING_MAX - 2].target(), Target::Key(&(WAITING_MAX - 2).to_le_bytes()));
        assert_eq!(taken[WAITING_MAX - 1].target(), Target::Everything);
        assert!(!queue.is_settled());
        queue.settle(taken.len());
        assert!(queue.is_settled());
    }
}
