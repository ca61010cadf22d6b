//! What the disk counts.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counts {
    pub(super) bytes: AtomicU64,
    pub(super) segments: AtomicU64,
    pub(super) queued_bytes: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) unwritten: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) read: AtomicU64,
    pub(super) unread: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) rewritten: AtomicU64,
}

/// How full it is, and what has happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskFigures {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Responses that can be found.
    pub objects: u64,
    /// Bytes that wait to be written.
    pub queued_bytes: u64,
    /// Responses that were written.
    pub written: u64,
    /// Responses that were not, because too many waited or they are too large.
    pub unwritten: u64,
    /// Writes that failed: the disk is full, or broken.
    pub failed: u64,
    /// Responses that were read.
    pub read: u64,
    /// Reads that found no thread.
    pub unread: u64,
    /// Records that were not whole.
    pub damaged: u64,
    /// Responses that had to go with their segment.
    pub evicted: u64,
    /// Responses that were written again, as they were in use.
    pub rewritten: u64,
}

impl Counts {
    pub(super) fn figures(&self, objects: u64) -> DiskFigures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskFigures {
            bytes: count(&self.bytes),
            segments: count(&self.segments),
            objects,
            queued_bytes: count(&self.queued_bytes),
            written: count(&self.written),
            unwritten: count(&self.unwritten),
            failed: count(&self.failed),
            read: count(&self.read),
            unread: count(&self.unread),
            damaged: count(&self.damaged),
            evicted: count(&self.evicted),
            rewritten: count(&self.rewritten),
        }
    }
}
