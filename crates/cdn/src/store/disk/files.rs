//! The files that records stand in, for all threads.

use crate::store::record::{At, FATE_AT, Fate};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// This part of the segments, the oldest, goes soon.
const SOON_PART: usize = 4;
/// This part of the room may be held by who is sent bodies from what has gone.
pub(super) const HELD_PART: u64 = 8;

pub(super) struct SegmentFile {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    /// Where its last whole record ends.
    len: AtomicU64,
}

impl SegmentFile {
    pub(super) fn new(number: u32, path: PathBuf, file: File) -> Arc<Self> {
        Arc::new(Self { number, path, file: Arc::new(file), len: AtomicU64::new(0) })
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Whether somebody is sent a body from it, or reads one.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.file) > 1
    }

    pub(super) fn set_len(&self, len: u64) {
        self.len.store(len, Ordering::Release);
    }
}

/// All that are there, by their numbers. A record may still be read from one that was taken out by whoever has it.
#[derive(Default)]
pub(super) struct Files {
    there: RwLock<BTreeMap<u32, Arc<SegmentFile>>>,
    /// Those that were taken out and take room still, as long as a body is sent from them; with their bytes.
    held: Mutex<Vec<(Weak<File>, u64)>>,
}

impl Files {
    pub(super) fn get(&self, number: u32) -> Option<Arc<SegmentFile>> {
        self.there.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<SegmentFile>> {
        self.there.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Bytes of those that were taken out, and are held by who is sent a body.
    pub(super) fn held_bytes(&self) -> u64 {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(file, _)| file.strong_count() > 0);
        held.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether a body may be sent from a file for a while: not from one that is soon to go, nor if many hold what has gone.
    pub(super) fn may_be_held(&self, number: u32, bytes_max: u64) -> bool {
        let place = {
            let there = self.there.read().unwrap_or_else(PoisonError::into_inner);
            (there.range(..number).count(), there.len())
        };
        place.0 >= place.1 / SOON_PART && self.held_bytes() <= bytes_max / HELD_PART
    }

    pub(super) fn add(&self, file: Arc<SegmentFile>) {
        self.there.write().unwrap_or_else(PoisonError::into_inner).insert(file.number, file);
    }

    pub(super) fn remove(&self, number: u32) {
        let removed = self.there.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(segment) = removed {
            let held = (Arc::downgrade(&segment.file), segment.len());
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push(held);
        }
    }

    /// Writes what has become of a record where it stands. Where that fails, its whole segment leaves the folder: the next start
    /// must not find the record as it was.
    pub(super) fn mark(&self, at: At, fate: Fate) -> io::Result<()> {
        // What went with its segment needs no mark.
        let Some(segment) = self.get(at.segment) else { return Ok(()) };
        segment.file.write_all_at(&[fate as u8], at.offset + FATE_AT).inspect_err(|_| {
            // There is nothing else to be done.
            let _ = fs::remove_file(&segment.path);
        })
    }
}
