//! The files that records stand in, for all threads.

use crate::store::record::{At, FATE_AT, Fate};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

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

    pub(super) fn set_len(&self, len: u64) {
        self.len.store(len, Ordering::Release);
    }
}

/// All that are there, by their numbers. A record may still be read from one that was taken out by whoever has it.
#[derive(Default)]
pub(super) struct Files(RwLock<BTreeMap<u32, Arc<SegmentFile>>>);

impl Files {
    pub(super) fn get(&self, number: u32) -> Option<Arc<SegmentFile>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<SegmentFile>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn add(&self, file: Arc<SegmentFile>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(file.number, file);
    }

    pub(super) fn remove(&self, number: u32) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
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
