//! The segments that records stand in, the oldest first, as the thread has them that writes.

use super::files::{HELD_PART, SegmentFile};
use super::{DiskConfig, Shared};
use crate::store::record::At;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many segments the room is divided into: so much of what is kept goes at once.
const SEGMENTS: u64 = 32;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// They are not longer than this while they are few.
const SEGMENT_BYTES: u64 = 64 << 20;
/// How many there may be, each being an open file.
pub(super) const SEGMENTS_MAX: usize = 256;
/// What takes more than this part of the room is not written.
const OBJECT_PART: u64 = 8;

pub(super) struct Segment {
    pub(super) file: Arc<SegmentFile>,
    pub(super) bytes: u64,
    /// Of the keys of its records, and of those whose bodies are here.
    pub(super) hashes: Vec<u64>,
}

/// All segments; the last is written to. They belong to one thread.
pub(super) struct Segments {
    pub(super) folder: PathBuf,
    pub(super) create: fn(&Path) -> io::Result<File>,
    pub(super) all: VecDeque<Segment>,
    /// The last one is still written to.
    pub(super) is_open: bool,
    pub(super) next: u32,
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
}

impl Segments {
    pub(super) fn new(config: &DiskConfig, create: fn(&Path) -> io::Result<File>) -> Self {
        Self {
            folder: config.folder.clone(),
            create,
            all: VecDeque::new(),
            is_open: false,
            next: 1,
            bytes: 0,
            bytes_max: config.bytes_max,
        }
    }

    /// Whether a record of this length may be written at all.
    pub(super) fn takes(&self, record_len: u64) -> bool {
        record_len <= self.bytes_max / OBJECT_PART
    }

    /// Whether there is room for so much without another having to go.
    pub(super) fn has_room(&self, record_len: u64, shared: &Shared) -> bool {
        self.bytes + shared.files.held_bytes() + record_len <= self.bytes_max
            && self.all.len() < SEGMENTS_MAX
            && shared.index.len() < shared.objects_max.load(Ordering::Relaxed)
    }

    /// Whether the oldest segment would take room still once it has gone, and too much does so already.
    pub(super) fn is_oldest_held(&self, shared: &Shared) -> bool {
        let Some(oldest) = self.all.front().filter(|oldest| oldest.file.is_held()) else { return false };
        shared.files.held_bytes() + oldest.bytes > self.bytes_max / HELD_PART
    }

    /// The segment that a record of this length is to be written to.
    pub(super) fn place(&mut self, record_len: u64, shared: &Shared) -> io::Result<&mut Segment> {
        let bytes_max = self.segment_bytes();
        let is_full = |segment: &Segment| segment.bytes > 0 && segment.bytes + record_len > bytes_max;
        if !self.is_open || self.all.back().is_none_or(is_full) {
            let number = self.next;
            let path = self.folder.join(format!("{number:010}.segment"));
            let file = SegmentFile::new(number, path.clone(), (self.create)(&path)?);
            self.next =
                number.checked_add(1).ok_or_else(|| io::Error::other("no number is left for a segment"))?;
            shared.files.add(Arc::clone(&file));
            self.all.push_back(Segment { file, bytes: 0, hashes: Vec::new() });
            self.is_open = true;
        }
        self.all.back_mut().ok_or_else(|| io::Error::other("there is no segment"))
    }

    /// Counts a record that was written to the last segment.
    pub(super) fn written(&mut self, record_len: u64, shared: &Shared) {
        let segment = self.all.back_mut().expect("a record was written to it");
        segment.bytes += record_len;
        self.bytes += record_len;
        self.count(shared);
    }

    /// Notes that a response is lost with these segments: that of its record, and that of its body.
    pub(super) fn note(&mut self, record: At, body_segment: u32, hash: u64) {
        let both = (record.segment != body_segment).then_some(body_segment);
        for number in [Some(record.segment), both].into_iter().flatten() {
            if let Ok(place) = self.all.binary_search_by_key(&number, |segment| segment.file.number) {
                self.all[place].hashes.push(hash);
            }
        }
    }

    /// Begins another segment with the next record: the last one cannot be trusted to end where it should.
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    /// Takes the oldest segment out, and its file with it; its records can still be read until it is forgotten.
    pub(super) fn pop_oldest(&mut self, shared: &Shared) -> Option<Segment> {
        let oldest = self.all.pop_front()?;
        self.is_open &= !self.all.is_empty();
        self.bytes -= oldest.bytes;
        match fs::remove_file(&oldest.file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                shared.counts.failed.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.count(shared);
        Some(oldest)
    }

    /// Forgets the records of a segment that is gone, and those whose bodies were there.
    pub(super) fn forget(segment: &Segment, shared: &Shared) {
        let number = segment.file.number;
        let removed =
            segment.hashes.iter().map(|hash| shared.index.remove(*hash, |entry| entry.needs(number)));
        let removed: usize = removed.map(|entries| entries.len()).sum();
        shared.counts.evicted.fetch_add(removed as u64, Ordering::Relaxed);
        shared.files.remove(number);
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        // Two that follow each other are longer than one may be, together: there are no more than twice as many as fit.
        let least = self.bytes_max / (SEGMENTS_MAX as u64 / 2);
        (self.bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES).max(least)
    }

    pub(super) fn count(&self, shared: &Shared) {
        shared.counts.bytes.store(self.bytes, Ordering::Relaxed);
        shared.counts.segments.store(self.all.len() as u64, Ordering::Relaxed);
    }
}

/// Segments of a folder by their numbers. Other files are not ours.
pub(super) fn paths(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Records name segments from 1 on.
        if let Some(number) = name.strip_suffix(".segment").and_then(|number| number.parse().ok())
            && number > 0
        {
            paths.push((number, path));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
