//! The thread that writes: appends records, makes room, and writes again what is in use.

use super::index::Entry;
use super::reading::{Begun, read_begun, read_body};
use super::segments::{Segment, Segments};
use super::{Shared, Write};
use crate::purge::Verdict;
use crate::rules::Stored;
use crate::store::record::Head;
use crate::store::{Body, Object};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

/// A record that waits to be appended.
struct Record {
    hash: u128,
    head: Head,
    meta: Vec<u8>,
    stored: Stored,
    body: Body,
}

impl Segments {
    /// Writes what comes, until nothing will.
    pub(super) fn run(mut self, writes: &Receiver<Write>, shared: &Shared) {
        for write in writes {
            match write {
                Write::Object(object) => {
                    self.write(&object, shared);
                    shared.counts.queued_bytes.fetch_sub(object.weight(), Ordering::Relaxed);
                }
                // Whoever waits may have gone.
                Write::Flush(reply) => drop(reply.send(())),
            }
        }
    }

    fn write(&mut self, object: &Object, shared: &Shared) {
        let Some((head, meta)) = Head::of(object).filter(|(head, _)| self.takes(head.record_len())) else {
            shared.counts.unwritten.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let record = Record {
            hash: object.key.hash,
            head,
            meta,
            stored: object.stored.clone(),
            body: object.body.clone(),
        };
        while !self.has_room(head.record_len()) {
            let Some(oldest) = self.pop_oldest(shared) else { return };
            for used in self.used(&oldest, shared) {
                self.append(&used, shared);
                shared.counts.rewritten.fetch_add(1, Ordering::Relaxed);
            }
            Self::forget(&oldest, shared);
        }
        if self.append(&record, shared) {
            shared.counts.written.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records of a segment that are in use and not purged: no more than half of it, so that room is made.
    fn used(&self, segment: &Segment, shared: &Shared) -> Vec<Record> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut hashes = segment.hashes.clone();
        hashes.sort_unstable();
        hashes.dedup();
        for hash in hashes {
            for entry in shared.index.used(hash, segment.number) {
                let Some(record) = read_again(hash, &entry, shared) else { continue };
                bytes += record.head.record_len();
                if bytes > segment.bytes / 2 {
                    return records;
                }
                records.push(record);
            }
        }
        records
    }

    /// Appends a record, and shows it once all of it is there. Where that fails, nothing of it is left.
    fn append(&mut self, record: &Record, shared: &Shared) -> bool {
        let record_len = record.head.record_len();
        let written = self.place(record_len).and_then(|segment| {
            let (file, offset) = (Arc::clone(&segment.file), segment.bytes);
            write_at(&file, offset, record).inspect_err(|_| {
                // If this fails too, the segment ends in what is not a record, and is read so far.
                let _ = file.set_len(offset);
            })?;
            Ok(Entry::new(segment.number, offset, &file, &record.stored))
        });
        match written {
            Ok(entry) => {
                self.written(record_len, record.hash, shared);
                shared.index.insert(record.hash, entry, &record.stored);
                true
            }
            Err(_) => {
                self.close();
                shared.counts.failed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

fn write_at(file: &File, offset: u64, record: &Record) -> io::Result<()> {
    let begin = [&record.head.to_bytes()[..], &record.meta].concat();
    file.write_all_at(&begin, offset)?;
    let mut at = offset + begin.len() as u64;
    for chunk in record.body.chunks() {
        file.write_all_at(chunk, at)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

/// A record that is to be written again, held against all purges by now.
fn read_again(hash: u128, entry: &Entry, shared: &Shared) -> Option<Record> {
    let Some((begun, body)) = read_begun(&entry.file, entry.offset)
        .and_then(|begun| read_body(entry, &begun).map(|body| (begun, body)))
    else {
        shared.forget_damaged(hash, entry);
        return None;
    };
    let Begun { mut head, key, stored, meta } = begun;
    let (verdict, upto) = shared.purges.verdict(&key, &stored.tags, head.asked);
    head.asked = upto;
    head.is_soft |= verdict == Verdict::Soft;
    (verdict != Verdict::Hard).then_some(Record { hash, head, meta, stored, body })
}
