//! Reading records, each byte of them checked.

use super::index::Entry;
use super::{Choose, Shared, Takes};
use crate::key::Key;
use crate::rules::Stored;
use crate::store::record::{At, Fate, HEAD_BYTES, Head};
use crate::store::{Body, CHUNK_BYTES, Object};
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A longer body stays in its file where it does not come to memory: it is read once to be checked, and sent by the kernel alone.
const IN_FILE_BYTES_MIN: u64 = 128 << 10;
/// What is usually enough for head, key and response head at once.
const FIRST_BYTES: usize = 4096;

/// A record without its body.
pub(super) struct Begun {
    pub(super) head: Head,
    pub(super) key: Box<[u8]>,
    pub(super) stored: Stored,
    /// Key and response head, as they stand there.
    pub(super) meta: Vec<u8>,
}

impl Begun {
    /// With what its entry knows of it.
    fn into_object(self, key: &Key, entry: &Entry, body: Body) -> Object {
        let object = Object::new(key.clone(), self.stored, body, self.head.asked.max(entry.held));
        if entry.is_soft || self.head.is_soft || self.head.fate == Fate::Soft {
            object.soften();
        }
        object
    }
}

/// Any record.
pub(super) enum Any {
    Response(Begun),
    /// See [`Head::held_before`].
    HeldBefore(Head),
}

impl Any {
    pub(super) fn head(&self) -> &Head {
        match self {
            Self::Response(begun) => &begun.head,
            Self::HeldBefore(head) => head,
        }
    }
}

impl Shared {
    /// The newest record of a key that is chosen and whole, and where it is. What is damaged is forgotten.
    pub(super) fn read(&self, key: &Key, mut choose: Choose, takes: &Takes) -> Option<(Object, At)> {
        let hash = key.hash as u64;
        for entry in self.index.get(hash) {
            let Some(begun) = self.read_begun(&entry) else {
                self.forget_damaged(hash, &entry);
                continue;
            };
            if begun.key != key.bytes || !choose(&begun.stored) {
                continue;
            }
            let may_stay = || {
                let segment = begun.head.body_of(entry.at()).segment;
                self.files.may_be_held(segment, self.bytes_max)
            };
            let body_len = begun.head.body_len;
            let is_taken = body_len < IN_FILE_BYTES_MIN || !may_stay() || takes(body_len);
            let body = match is_taken {
                true => self.read_body(&entry, &begun.head),
                false => self.check_body(&entry, &begun.head),
            };
            let Some(body) = body else {
                self.forget_damaged(hash, &entry);
                continue;
            };
            self.index.mark_used(hash, entry.at());
            self.counts.read.fetch_add(1, Ordering::Relaxed);
            return Some((begun.into_object(key, &entry, body), entry.at()));
        }
        None
    }

    /// All records of a key that are whole up to their bodies.
    pub(super) fn see(&self, key: &Key) -> Vec<(Object, u64)> {
        let entries = self.index.get(key.hash as u64).into_iter();
        let begun = entries.filter_map(|entry| Some((self.read_begun(&entry)?, entry)));
        begun
            .filter(|(begun, _)| begun.key == key.bytes)
            .map(|(begun, entry)| {
                let length = begun.head.body_len;
                (begun.into_object(key, &entry, Body::default()), length)
            })
            .collect()
    }

    pub(super) fn forget_damaged(&self, hash: u64, entry: &Entry) {
        // Whoever else has found it so has counted it; and what has gone with its segment meanwhile is not damaged.
        let removed = self.index.remove(hash, |other| other.at() == entry.at());
        self.counts.damaged.fetch_add(removed.len() as u64, Ordering::Relaxed);
    }

    /// Reads a record up to its body; `None` where it is not what was written.
    pub(super) fn read_begun(&self, entry: &Entry) -> Option<Begun> {
        let file = self.files.get(entry.at().segment)?;
        match read_any(&file.file, entry.at().offset)? {
            Any::Response(begun) => Some(begun),
            Any::HeldBefore(_) => None,
        }
    }

    /// Reads a record's body; `None` where it is not what was written.
    pub(super) fn read_body(&self, entry: &Entry, head: &Head) -> Option<Body> {
        let mut chunks = Vec::new();
        self.look_at_body(entry, head, |chunk| chunks.push(Bytes::from(std::mem::take(chunk))))?;
        Some(Body::of_chunks(chunks))
    }

    /// The same of a body that stays in its file.
    fn check_body(&self, entry: &Entry, head: &Head) -> Option<Body> {
        let (file, offset) = self.look_at_body(entry, head, |_| ())?;
        Some(Body::in_file(file, offset, head.body_len, head.body_crc))
    }

    /// Shows each chunk of a body, and says where it stands, if it is what was written. A chunk that is not taken is read over.
    fn look_at_body(
        &self,
        entry: &Entry,
        head: &Head,
        mut show: impl FnMut(&mut Vec<u8>),
    ) -> Option<(Arc<File>, u64)> {
        let body = head.body_of(entry.at());
        let file = Arc::clone(&self.files.get(body.segment)?.file);
        let (mut at, end) = (body.offset, body.offset + head.body_len);
        // A length that lies makes no room: the file says how much there can be.
        if file.metadata().ok()?.len() < end {
            return None;
        }
        let mut crc = crc32fast::Hasher::new();
        let mut chunk = Vec::new();
        while at < end {
            let len = (end - at).min(CHUNK_BYTES as u64) as usize;
            read_chunk(&file, at, len, &mut chunk)?;
            crc.update(&chunk);
            at += len as u64;
            show(&mut chunk);
        }
        (crc.finalize() == head.body_crc).then_some((file, body.offset))
    }
}

/// So many bytes of a file, into memory that nobody has filled before.
fn read_chunk(file: &File, mut at: u64, len: usize, chunk: &mut Vec<u8>) -> Option<()> {
    chunk.clear();
    chunk.reserve_exact(len);
    while chunk.len() < len {
        match rustix::io::pread(file, spare_capacity(chunk), at) {
            Ok(0) => return None,
            Ok(more) => at += more as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    // An allocator may have given more room than was asked for.
    chunk.truncate(len);
    Some(())
}

/// Reads a record up to its body; `None` where there is none.
pub(super) fn read_any(file: &File, offset: u64) -> Option<Any> {
    let mut bytes = vec![0; FIRST_BYTES];
    let mut read = 0;
    // The file may end before the buffer does.
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64).ok()? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    let head = Head::parse(&bytes)?;
    if head.holds_before().is_some() {
        return Some(Any::HeldBefore(head));
    }
    let meta_end = HEAD_BYTES + head.meta_len as usize;
    if meta_end > bytes.len() {
        let before = bytes.len();
        bytes.resize(meta_end, 0);
        file.read_exact_at(&mut bytes[before..], offset + before as u64).ok()?;
    }
    let meta = bytes[HEAD_BYTES..meta_end].to_vec();
    let (key, stored) = head.read_meta(&meta)?;
    Some(Any::Response(Begun { key: key.into(), stored, meta, head }))
}
