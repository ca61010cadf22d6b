//! What is in the folder at the start.

use super::files::SegmentFile;
use super::index::Entry;
use super::reading::{Any, Begun, read_any};
use super::segments::{Segment, Segments, paths};
use super::{DiskConfig, Shared};
use crate::store::record::{At, Fate};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What records say together.
#[derive(Default)]
struct Told {
    /// The highest number of a purge that one was held against.
    asked: u64,
    /// All before this place was held against purges up to that number.
    held_before: Option<(At, u64)>,
}

impl Segments {
    /// Finds what is in a folder. What is not whole at the end of a segment is cut off. Returned too is the highest number of a purge
    /// that a record was held against.
    pub(super) fn open(
        config: &DiskConfig,
        create: fn(&Path) -> io::Result<File>,
        shared: &Shared,
    ) -> io::Result<(Self, u64)> {
        let mut segments = Self::new(config, create);
        let mut told = Told::default();
        for (number, path) in paths(&config.folder)? {
            segments.next = number.saturating_add(1);
            segments.scan(number, path, &mut told, shared)?;
        }
        if let Some((at, upto)) = told.held_before {
            shared.index.hold_before(at, upto);
        }
        while !segments.has_room(0, shared) {
            let Some(oldest) = segments.pop_oldest(shared) else { break };
            Self::forget(&oldest, shared);
        }
        segments.count(shared);
        Ok((segments, told.asked))
    }

    /// Reads the heads of a segment's records into the index. Bodies are checked when they are asked for.
    fn scan(&mut self, number: u32, path: PathBuf, told: &mut Told, shared: &Shared) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(&path)?;
        let len = file.metadata()?.len();
        let file = SegmentFile::new(number, path, file);
        shared.files.add(Arc::clone(&file));
        self.all.push_back(Segment { file: Arc::clone(&file), bytes: 0, hashes: Vec::new() });
        self.is_open = true;
        let mut at = At { segment: number, offset: 0 };
        while at.offset < len {
            let any = read_any(&file.file, at.offset);
            let Some(any) = any.filter(|any| at.offset + any.head().record_len() <= len) else {
                // A write that was broken off, or damage: what follows cannot be found.
                shared.counts.damaged.fetch_add(1, Ordering::Relaxed);
                file.file.set_len(at.offset)?;
                self.is_open = false;
                break;
            };
            told.asked = any.head().asked.max(told.asked);
            match &any {
                Any::HeldBefore(head) => told.held_before = head.holds_before(),
                Any::Response(begun) => self.found(at, begun, shared),
            }
            at.offset += any.head().record_len();
            file.set_len(at.offset);
            self.written(any.head().record_len(), shared);
        }
        Ok(())
    }

    fn found(&mut self, at: At, begun: &Begun, shared: &Shared) {
        let head = &begun.head;
        let body = head.body_of(at);
        // A body that stands elsewhere may have gone with its segment.
        let is_there = head.body_at.is_none()
            || shared.files.get(body.segment).is_some_and(|file| body.offset + head.body_len <= file.len());
        if head.fate == Fate::Gone || !is_there {
            return;
        }
        let hash = shared.hash(&begun.key);
        let is_soft = head.is_soft || head.fate == Fate::Soft;
        let entry = Entry::new(at, body.segment, head.asked, is_soft, &begun.stored);
        shared.mark_gone(&shared.index.found(hash, entry));
        self.note(at, body.segment, hash);
    }
}
