//! What is kept, and how what is purged of it goes.

use crate::Error;
use crate::Key;
use crate::handing::Touched;
use crate::purge::{Purges, Verdict};
use crate::store::{Disk, Memory};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

/// All that is kept. Whoever tends it may be the last who holds it.
pub(crate) struct Kept {
    pub(crate) memory: Arc<Memory>,
    /// Set once: a process that takes over has none until the one before it lets go of it.
    disk: OnceLock<Disk>,
    /// What has changed in memory while the disk is awaited.
    touched: Mutex<Option<Touched>>,
    pub(crate) purges: Arc<Purges>,
    /// Responses that a purge has removed from memory.
    pub(crate) purged: AtomicU64,
    is_tending: AtomicBool,
}

impl Kept {
    pub(crate) fn new(memory: Memory, disk: Option<Disk>, purges: Arc<Purges>) -> Arc<Self> {
        let (is_tending, purged) = (AtomicBool::new(false), AtomicU64::new(0));
        let disk = disk.map_or_else(OnceLock::new, OnceLock::from);
        let memory = Arc::new(memory);
        Arc::new(Self { memory, disk, touched: Mutex::default(), purges, purged, is_tending })
    }

    /// The disk, if there is one by now.
    #[inline]
    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.disk.get()
    }

    /// The disk, for whoever is about to change what is kept of a key; where it is awaited, it is noted that this has changed.
    pub(crate) fn disk_for(&self, key: &Key) -> Option<&Disk> {
        self.disk.get().or_else(|| self.note(key))
    }

    #[cold]
    fn note(&self, key: &Key) -> Option<&Disk> {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        match touched.as_mut() {
            Some(touched) => touched.note(key),
            // It has come in this moment, or none is to come.
            None => return self.disk.get(),
        }
        None
    }

    /// A disk is to come: from now on it is noted what changes.
    pub(crate) fn await_disk(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Some(Touched::default());
    }

    /// Whether a disk is to come.
    pub(crate) fn is_disk_awaited(&self) -> bool {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// No disk is to come.
    pub(crate) fn await_no_disk(&self) {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What has changed in memory until now is not found on the disk that is about to come, since it is older there.
    pub(crate) fn forget_touched(&self, disk: &Disk) {
        let touched = {
            let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            touched.as_mut().map(Touched::take)
        };
        touched.iter().for_each(|touched| touched.remove_from(disk));
    }

    /// The disk that was awaited; without what has changed by now. Whoever changes something waits: most of it was forgotten before.
    pub(crate) fn have_disk(&self, disk: Disk) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.take().iter().for_each(|touched| touched.remove_from(&disk));
        assert!(self.disk.set(disk).is_ok(), "a cache has one disk");
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
        // What is on a disk that is to come was not held against any.
        if self.purges.is_crowded()
            && !self.is_disk_awaited()
            && self.disk().is_none_or(|disk| disk.hold(upto))
        {
            self.purges.forget(upto)?;
        }
        Ok(removed)
    }
}
