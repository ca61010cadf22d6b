//! The thread that writes: appends records, makes room, and writes again what is in use.

use super::index::Entry;
use super::reading::Begun;
use super::segments::{Segment, Segments};
use super::{Change, Shared, Write};
use crate::purge::Verdict;
use crate::rules::Stored;
use crate::store::record::{At, HEAD_BYTES, Head};
use crate::store::{Body, Object};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

/// A confirmed response with a body of so many bytes is written without it, where it is on the disk already. A shorter one is written
/// whole, and does not depend on a segment that goes before its own.
const REFERRED_BYTES_MIN: u64 = 16 << 10;

/// A record that waits to be appended.
struct Record {
    hash: u64,
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
                Write::Change(change) => {
                    self.write(&change, shared);
                    let hash = change.object.key.hash as u64;
                    shared.index.cancel(hash, change.ticket);
                    shared.counts.queued_bytes.fetch_sub(change.object.weight(), Ordering::Relaxed);
                }
                Write::HeldBefore(at, upto) => self.write_held(at, upto, shared),
                // Whoever waits may have gone.
                Write::Flush(reply) => drop(reply.send(())),
            }
        }
    }

    fn write(&mut self, change: &Change, shared: &Shared) {
        let Change { object, ticket, base } = change;
        let hash = object.key.hash as u64;
        if !shared.index.is_wanted(hash, *ticket) {
            return;
        }
        let Some((head, meta)) = Head::of(object) else { return unwritten(shared) };
        let (stored, body) = (object.stored.clone(), object.body.clone());
        let mut record = Record { hash, head, meta, stored, body };
        if let Some(body_at) = base.and_then(|base| shared.same_body(&base, &head)) {
            record.refer_to(body_at);
            if !self.make_room(record.head.record_len(), shared) {
                return unwritten(shared);
            }
            if shared.files.get(body_at.segment).is_none() {
                record.have_body(object);
            }
        }
        let record_len = record.head.record_len();
        if !self.takes(record_len) || !self.make_room(record_len, shared) {
            return unwritten(shared);
        }
        let show = |entry| shared.index.finish(hash, *ticket, entry);
        if self.append(&record, show, shared) {
            shared.counts.written.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_held(&mut self, at: At, upto: u64, shared: &Shared) {
        let head = Head::held_before(at, upto);
        // It is too short to matter where there is no room.
        let _ = self.make_room(HEAD_BYTES as u64, shared);
        if let Some(written) = self.append_bytes(&head, &[], &Body::default(), shared) {
            shared.ends_at(written, HEAD_BYTES as u64);
        }
    }

    /// Lets the oldest segments go, until there is room for a record of this length. False where those who are sent bodies from them hold too
    /// much of what would go: nothing would come of it but a disk without responses.
    fn make_room(&mut self, record_len: u64, shared: &Shared) -> bool {
        while !self.has_room(record_len, shared) {
            if self.is_oldest_held(shared) {
                return false;
            }
            let Some(oldest) = self.pop_oldest(shared) else { return true };
            for (from, used) in self.used(&oldest, shared) {
                let show = |entry| match shared.index.moved(used.hash, from, entry) {
                    true => Vec::new(),
                    // It was replaced or removed meanwhile.
                    false => vec![entry],
                };
                if self.append(&used, show, shared) {
                    shared.counts.rewritten.fetch_add(1, Ordering::Relaxed);
                }
            }
            Self::forget(&oldest, shared);
        }
        true
    }

    /// Records that go with a segment, are in use and not purged: no more than half of it, so that room is made.
    fn used(&self, segment: &Segment, shared: &Shared) -> Vec<(At, Record)> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut hashes = segment.hashes.clone();
        hashes.sort_unstable();
        hashes.dedup();
        for hash in hashes {
            for entry in shared.index.used(hash, segment.file.number) {
                let Some(record) = read_again(hash, &entry, shared) else { continue };
                bytes += record.head.record_len();
                if bytes > segment.bytes / 2 {
                    return records;
                }
                records.push((entry.at(), record));
            }
        }
        records
    }

    /// Appends a record, and shows it once all of it is there; marks what no longer counts by then.
    fn append(&mut self, record: &Record, show: impl FnOnce(Entry) -> Vec<Entry>, shared: &Shared) -> bool {
        let Record { hash, head, meta, stored, body } = record;
        let Some(at) = self.append_bytes(head, meta, body, shared) else { return false };
        let body_segment = head.body_of(at).segment;
        self.note(at, body_segment, *hash);
        let gone = show(Entry::new(at, body_segment, head.asked, head.is_soft, stored));
        shared.ends_at(at, head.record_len());
        shared.mark_gone(&gone);
        true
    }

    /// Appends, and says where. Where that fails, nothing of it is left.
    fn append_bytes(&mut self, head: &Head, meta: &[u8], body: &Body, shared: &Shared) -> Option<At> {
        let record_len = head.record_len();
        let written = self.place(record_len, shared).and_then(|segment| {
            let (file, offset) = (Arc::clone(&segment.file), segment.bytes);
            write_at(&file.file, offset, head, meta, body).inspect_err(|_| {
                // If this fails too, the segment ends in what is not a record, and is read so far.
                let _ = file.file.set_len(offset);
            })?;
            Ok(At { segment: file.number, offset })
        });
        match written {
            Ok(at) => {
                self.written(record_len, shared);
                Some(at)
            }
            Err(_) => {
                self.close();
                shared.counts.failed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

impl Record {
    fn refer_to(&mut self, body_at: At) {
        (self.head.body_at, self.body) = (Some(body_at), Body::default());
    }

    fn have_body(&mut self, object: &Object) {
        (self.head.body_at, self.body) = (None, object.body.clone());
    }
}

impl Shared {
    /// Where the body of a record is, if it is the same and worth to be referred to.
    fn same_body(&self, base: &Entry, head: &Head) -> Option<At> {
        if head.body_len < REFERRED_BYTES_MIN {
            return None;
        }
        let mut bytes = [0; HEAD_BYTES];
        let file = self.files.get(base.at().segment)?;
        file.file.read_exact_at(&mut bytes, base.at().offset).ok()?;
        let old = Head::parse(&bytes)?;
        let is_same = (old.body_len, old.body_crc) == (head.body_len, head.body_crc);
        is_same.then(|| old.body_of(base.at()))
    }

    /// A record can be found from now on by whoever reads segments.
    fn ends_at(&self, record: At, record_len: u64) {
        if let Some(file) = self.files.get(record.segment) {
            file.set_len(record.offset + record_len);
        }
    }
}

fn unwritten(shared: &Shared) {
    shared.counts.unwritten.fetch_add(1, Ordering::Relaxed);
}

fn write_at(file: &File, offset: u64, head: &Head, meta: &[u8], body: &Body) -> io::Result<()> {
    let begin = [&head.to_bytes()[..], meta].concat();
    file.write_all_at(&begin, offset)?;
    let mut at = offset + begin.len() as u64;
    let mut pieces = body.pieces(0..u64::MAX);
    for piece in pieces.by_ref() {
        file.write_all_at(&piece, at)?;
        at += piece.len() as u64;
    }
    if pieces.remaining() > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// A record that is to be written again, whole, held against all purges by now.
fn read_again(hash: u64, entry: &Entry, shared: &Shared) -> Option<Record> {
    let Some((begun, body)) = shared
        .read_begun(entry)
        .and_then(|begun| shared.read_body(entry, &begun.head).map(|body| (begun, body)))
    else {
        shared.forget_damaged(hash, entry);
        return None;
    };
    let Begun { mut head, key, stored, meta } = begun;
    let (verdict, upto) = shared.purges.verdict(&key, &stored.tags, head.asked.max(entry.held));
    head.asked = upto;
    head.is_soft |= entry.is_soft || verdict == Verdict::Soft;
    head.body_at = None;
    (verdict != Verdict::Hard).then_some(Record { hash, head, meta, stored, body })
}
