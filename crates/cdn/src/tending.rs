//! What is kept, and how what is purged of it goes.

use crate::Error;
use crate::purge::{Purges, Verdict};
use crate::store::{Disk, Memory};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// All that is kept. Whoever tends it may be the last who holds it.
pub(crate) struct Kept {
    pub(crate) memory: Memory,
    pub(crate) disk: Option<Disk>,
    pub(crate) purges: Arc<Purges>,
    /// Responses that a purge has removed from memory.
    pub(crate) purged: AtomicU64,
    is_tending: AtomicBool,
}

impl Kept {
    pub(crate) fn new(memory: Memory, disk: Option<Disk>, purges: Arc<Purges>) -> Arc<Self> {
        let is_tending = AtomicBool::new(false);
        Arc::new(Self { memory, disk, purges, purged: AtomicU64::new(0), is_tending })
    }

    /// Begins to tend beside whoever has purged, if purges have become too many, or their log too long.
    pub(crate) fn tend_if_crowded(self: &Arc<Self>) {
        self.purges.rewrite_if_due();
        if !self.purges.is_crowded() || self.is_tending.load(Ordering::Relaxed) {
            return;
        }
        let kept = Arc::clone(self);
        // Where no thread can be had, or purges cannot be written, the next purge tries again.
        let _ = thread::Builder::new().name("cdn-tend".into()).spawn(move || drop(kept.tend()));
    }

    pub(crate) fn tend(&self) -> Result<usize, Error> {
        if self.is_tending.swap(true, Ordering::AcqRel) {
            return Ok(0);
        }
        let tended = self.tend_alone();
        self.is_tending.store(false, Ordering::Release);
        tended
    }

    /// What is forgotten counts as a purge of everything for what was not held against it: so all is, first.
    fn tend_alone(&self) -> Result<usize, Error> {
        let upto = self.purges.sequence();
        let removed = self.memory.sweep(|object| object.check(&self.purges) == Verdict::Hard);
        self.purged.fetch_add(removed as u64, Ordering::Relaxed);
        if self.purges.is_crowded() && self.disk.as_ref().is_none_or(|disk| disk.hold(upto)) {
            self.purges.forget(upto)?;
        }
        Ok(removed)
    }
}
