//! Reading records, each byte of them checked.

use super::index::Entry;
use super::{Choose, Shared};
use crate::key::Key;
use crate::rules::Stored;
use crate::store::record::{HEAD_BYTES, Head};
use crate::store::{Body, CHUNK_BYTES, Object};
use bytes::BytesMut;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

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
    fn into_object(self, key: &Key, body: Body) -> Object {
        let object = Object::new(key.clone(), self.stored, body, self.head.asked);
        if self.head.is_soft {
            object.soften();
        }
        object
    }
}

impl Shared {
    /// The newest record of a key that is chosen and whole. What is damaged is forgotten.
    pub(super) fn read(&self, key: &Key, mut choose: Choose) -> Option<Object> {
        for entry in self.index.get(key.hash) {
            let Some(begun) = read_begun(&entry.file, entry.offset) else {
                self.forget_damaged(key.hash, &entry);
                continue;
            };
            if begun.key != key.bytes || !choose(&begun.stored) {
                continue;
            }
            let Some(body) = read_body(&entry, &begun) else {
                self.forget_damaged(key.hash, &entry);
                continue;
            };
            self.index.mark(key.hash, entry.segment, entry.offset);
            self.counts.read.fetch_add(1, Ordering::Relaxed);
            return Some(begun.into_object(key, body));
        }
        None
    }

    /// All records of a key that are whole up to their bodies.
    pub(super) fn see(&self, key: &Key) -> Vec<(Object, u64)> {
        let begun =
            self.index.get(key.hash).into_iter().filter_map(|entry| read_begun(&entry.file, entry.offset));
        begun
            .filter(|begun| begun.key == key.bytes)
            .map(|begun| {
                let length = begun.head.body_len;
                (begun.into_object(key, Body::default()), length)
            })
            .collect()
    }

    pub(super) fn forget_damaged(&self, hash: u128, entry: &Entry) {
        // Whoever else has found it so has counted it.
        let removed = self.index.remove(hash, |other| other.is_at(entry.segment, entry.offset));
        self.counts.damaged.fetch_add(removed as u64, Ordering::Relaxed);
    }
}

/// Reads a record up to its body; `None` where it is not what was written.
pub(super) fn read_begun(file: &File, offset: u64) -> Option<Begun> {
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
    let meta_end = HEAD_BYTES + head.meta_len as usize;
    if meta_end > bytes.len() {
        let before = bytes.len();
        bytes.resize(meta_end, 0);
        file.read_exact_at(&mut bytes[before..], offset + before as u64).ok()?;
    }
    let meta = bytes[HEAD_BYTES..meta_end].to_vec();
    let (key, stored) = head.read_meta(&meta)?;
    Some(Begun { key: key.into(), stored, meta, head })
}

/// Reads a record's body; `None` where it is not what was written.
pub(super) fn read_body(entry: &Entry, begun: &Begun) -> Option<Body> {
    let Head { meta_len, body_len, body_crc, .. } = begun.head;
    let mut at = entry.offset + HEAD_BYTES as u64 + u64::from(meta_len);
    let end = at + body_len;
    // A length that lies makes no room: the file says how much there can be.
    if entry.file.metadata().ok()?.len() < end {
        return None;
    }
    let mut crc = crc32fast::Hasher::new();
    let mut chunks = Vec::new();
    while at < end {
        let mut chunk = BytesMut::zeroed((end - at).min(CHUNK_BYTES as u64) as usize);
        entry.file.read_exact_at(&mut chunk, at).ok()?;
        crc.update(&chunk);
        at += chunk.len() as u64;
        chunks.push(chunk.freeze());
    }
    (crc.finalize() == body_crc).then(|| Body::of_chunks(chunks))
}
