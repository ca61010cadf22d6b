//! Contents that are encoded once, as they come, and sent often.

use super::{Assets, Shelf, blocking};
use crate::error::Error;
use crate::hash::Hash;
use crate::manifest::Blob;
use encoding::{Coding, Encoder};
use files::MediaType;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Smaller ones are one packet either way.
const BYTES_MIN: u64 = 256;
/// Larger ones take too long, and too much memory.
const BYTES_MAX: u64 = 64 << 20;
/// What a coding must save, so that it is worth a file of its own.
const SAVED_BYTES_MIN: u64 = 64;
/// Contents whose codings are remembered until a release has them.
const REMEMBERED_MAX: usize = 100_000;

/// The codings of contents that no release has yet.
pub(super) struct Coded {
    fresh: Mutex<HashMap<Hash, BTreeMap<Coding, Blob>>>,
    /// One is encoded at a time: the other cores are for those who are served.
    turn: Semaphore,
}

impl Default for Coded {
    fn default() -> Self {
        Self { fresh: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl Assets {
    /// The codings of a content, which is encoded if it was not before. `None`: it is not worth it.
    pub(super) async fn encode(
        &self,
        blob: Blob,
        media_type: &str,
    ) -> Result<Option<BTreeMap<Coding, Blob>>, Error> {
        let is_worth_it = MediaType::given(media_type).is_some_and(|media_type| !media_type.is_compressed());
        if !self.config.precompress || !is_worth_it || !(BYTES_MIN..=BYTES_MAX).contains(&blob.size_bytes) {
            return Ok(None);
        }
        if let Some(known) = self.known_codings(&blob.hash) {
            return Ok(Some(known));
        }
        let Ok(_turn) = self.coded.turn.acquire().await else { return Ok(None) };
        // Somebody may have done it meanwhile.
        if let Some(known) = self.known_codings(&blob.hash) {
            return Ok(Some(known));
        }
        let shelf = self.shelf.clone();
        let coded = blocking(move || encode_all(&shelf, &blob)).await?;
        if self.storage.is_remote {
            for blob in coded.values() {
                if !self.storage.has(blob).await? {
                    self.storage.send(&self.shelf, *blob).await?;
                }
            }
        }
        let mut fresh = self.coded.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() >= REMEMBERED_MAX {
            fresh.clear();
        }
        fresh.insert(blob.hash, coded.clone());
        Ok(Some(coded))
    }

    /// The codings that are known of a content, as long as they are stored.
    fn known_codings(&self, hash: &Hash) -> Option<BTreeMap<Coding, Blob>> {
        let fresh = self.coded.fresh.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        let known = fresh.or_else(|| self.served.load().coded(hash))?;
        known.values().all(|blob| self.shelf.has(blob)).then_some(known)
    }

    /// Forgets what releases remember by now.
    pub(super) fn forget_codings(&self) {
        let served = self.served.load();
        let mut fresh = self.coded.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.retain(|hash, _| served.coded(hash).is_none());
    }
}

fn encode_all(shelf: &Shelf, blob: &Blob) -> Result<BTreeMap<Coding, Blob>, Error> {
    let bytes = shelf.read(&blob.hash)?;
    let mut coded = BTreeMap::new();
    for coding in Coding::ALL {
        let mut out = Vec::with_capacity(bytes.len() / 2);
        let mut encoder = Encoder::to_keep(coding, blob.size_bytes)?;
        encoder.push(&bytes, &mut out)?;
        encoder.finish(&mut out)?;
        if out.len() as u64 + SAVED_BYTES_MIN <= blob.size_bytes {
            coded.insert(coding, shelf.keep(&out)?);
        }
    }
    Ok(coded)
}
