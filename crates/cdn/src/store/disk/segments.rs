//! The files that records stand in, the oldest first.

use super::index::Entry;
use super::reading::read_begun;
use super::{DiskConfig, Shared};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many segments the room is divided into: so much of what is kept goes at once.
const SEGMENTS: u64 = 32;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// What takes more than this part of the room is not written.
const OBJECT_PART: u64 = 8;

pub(super) struct Segment {
    pub(super) number: u32,
    path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) bytes: u64,
    /// Of the keys of its records.
    pub(super) hashes: Vec<u128>,
}

/// All segments; the last is written to. They belong to one thread.
pub(super) struct Segments {
    folder: PathBuf,
    create: fn(&Path) -> io::Result<File>,
    all: VecDeque<Segment>,
    /// The last one is still written to.
    is_open: bool,
    next: u32,
    bytes: u64,
    bytes_max: u64,
}

impl Segments {
    /// Finds what is in a folder. What is not whole at the end of a segment is cut off.
    pub(super) fn open(
        config: &DiskConfig,
        create: fn(&Path) -> io::Result<File>,
        shared: &Shared,
    ) -> io::Result<(Self, u64)> {
        let mut segments = Self {
            folder: config.folder.clone(),
            create,
            all: VecDeque::new(),
            is_open: false,
            next: 1,
            bytes: 0,
            bytes_max: config.bytes_max,
        };
        let mut asked = 0;
        for (number, path) in paths(&config.folder)? {
            segments.next = number.saturating_add(1);
            let (segment, highest) = scan(number, path, shared)?;
            asked = highest.max(asked);
            segments.bytes += segment.bytes;
            segments.all.push_back(segment);
        }
        while segments.bytes > segments.bytes_max {
            let Some(oldest) = segments.pop_oldest(shared) else { break };
            Self::forget(&oldest, shared);
        }
        segments.count(shared);
        Ok((segments, asked))
    }

    /// Whether a record of this length may be written at all.
    pub(super) fn takes(&self, record_len: u64) -> bool {
        record_len <= self.bytes_max / OBJECT_PART
    }

    /// Whether there is room for so much without another having to go.
    pub(super) fn has_room(&self, record_len: u64) -> bool {
        self.bytes + record_len <= self.bytes_max
    }

    /// The segment that a record of this length is to be written to, and where.
    pub(super) fn place(&mut self, record_len: u64) -> io::Result<&mut Segment> {
        let bytes_max = self.segment_bytes();
        let is_full = |segment: &Segment| segment.bytes > 0 && segment.bytes + record_len > bytes_max;
        if !self.is_open || self.all.back().is_none_or(is_full) {
            let number = self.next;
            let path = self.folder.join(format!("{number:010}.segment"));
            let file = Arc::new((self.create)(&path)?);
            self.next =
                number.checked_add(1).ok_or_else(|| io::Error::other("no number is left for a segment"))?;
            self.all.push_back(Segment { number, path, file, bytes: 0, hashes: Vec::new() });
            self.is_open = true;
        }
        self.all.back_mut().ok_or_else(|| io::Error::other("there is no segment"))
    }

    /// Counts a record that was written to the last segment.
    pub(super) fn written(&mut self, record_len: u64, hash: u128, shared: &Shared) {
        let segment = self.all.back_mut().expect("a record was written to it");
        segment.bytes += record_len;
        segment.hashes.push(hash);
        self.bytes += record_len;
        self.count(shared);
    }

    /// Begins another segment with the next record: the last one cannot be trusted to end where it should.
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    /// Takes the oldest segment out, and its file with it; its records can still be read by whoever holds it.
    pub(super) fn pop_oldest(&mut self, shared: &Shared) -> Option<Segment> {
        let oldest = self.all.pop_front()?;
        self.is_open &= !self.all.is_empty();
        self.bytes -= oldest.bytes;
        if fs::remove_file(&oldest.path).is_err() {
            shared.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.count(shared);
        Some(oldest)
    }

    /// Forgets the records of a segment that is gone.
    pub(super) fn forget(segment: &Segment, shared: &Shared) {
        let removed = segment
            .hashes
            .iter()
            .map(|hash| shared.index.remove(*hash, |entry| entry.segment == segment.number));
        let removed: usize = removed.sum();
        shared.counts.evicted.fetch_add(removed as u64, Ordering::Relaxed);
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        (self.bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
    }

    fn count(&self, shared: &Shared) {
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
        if let Some(number) = name.strip_suffix(".segment").and_then(|number| number.parse().ok()) {
            paths.push((number, path));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Reads the heads of a segment's records into the index. Bodies are checked when they are asked for.
fn scan(number: u32, path: PathBuf, shared: &Shared) -> io::Result<(Segment, u64)> {
    let file = Arc::new(File::options().read(true).write(true).open(&path)?);
    let len = file.metadata()?.len();
    let mut segment = Segment { number, path, file, bytes: 0, hashes: Vec::new() };
    let mut asked = 0;
    while segment.bytes < len {
        let begun = read_begun(&segment.file, segment.bytes);
        let Some(begun) = begun.filter(|begun| segment.bytes + begun.head.record_len() <= len) else {
            // A write that was broken off, or damage: what follows cannot be found.
            shared.counts.damaged.fetch_add(1, Ordering::Relaxed);
            segment.file.set_len(segment.bytes)?;
            break;
        };
        asked = begun.head.asked.max(asked);
        let hash = shared.hasher.hash(&begun.key);
        let entry = Entry::new(number, segment.bytes, &segment.file, &begun.stored);
        shared.index.insert(hash, entry, &begun.stored);
        segment.hashes.push(hash);
        segment.bytes += begun.head.record_len();
    }
    Ok((segment, asked))
}
