//! The object store that releases are kept in: the local disk, or a bucket that several nodes may share.

use super::kept::Remembered;
use super::s3;
use super::shelf::{Shelf, Uploaded};
use crate::config::PushConfig;
use crate::error::Error;
use crate::hash::Hash;
use crate::manifest::{Blob, ReleaseName};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// What is read or sent of an object at once.
pub(super) const PART_BYTES: u64 = 8 << 20;

/// Blobs that a bucket is asked for, or sent, at once.
const BLOBS_AT_ONCE: usize = 16;

/// Where releases are kept.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) store: String,
    pub(super) objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// It is elsewhere, and its blobs are copied to the shelf to be served.
    pub(super) is_remote: bool,
    /// The manifests as they were the last time.
    pub(super) remembered: Mutex<HashMap<ReleaseName, Remembered>>,
}

impl Storage {
    pub(super) fn open(store: &str, config: &PushConfig, dir: &std::path::Path) -> Result<Self, Error> {
        let (objects, prefix): (Arc<dyn ObjectStore>, _) = match &config.s3 {
            None => (Arc::new(LocalFileSystem::new_with_prefix(dir)?.with_fsync(true)), ""),
            Some(s3) => {
                let reveal = |secret: &notation::Secret| {
                    secret
                        .reveal()
                        .map_err(|error| Error::Config { store: store.to_owned(), cause: error.to_string() })
                };
                let keys = (reveal(&s3.access_key)?, reveal(&s3.secret_key)?);
                let prefix = s3.prefix.as_ref().map_or("", |prefix| prefix.as_str());
                (Arc::new(s3::bucket(store, s3, keys)?), prefix)
            }
        };
        Ok(Self {
            store: store.to_owned(),
            objects,
            prefix: Path::from(prefix),
            is_remote: config.s3.is_some(),
            remembered: Mutex::default(),
        })
    }

    pub(super) fn at(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    fn blob_at(&self, hash: &Hash) -> Path {
        self.at(&format!("blobs/{}", Shelf::name(hash)))
    }

    /// Whether a bucket has a blob.
    pub(super) async fn has(&self, blob: &Blob) -> Result<bool, Error> {
        match self.objects.head(&self.blob_at(&blob.hash)).await {
            Ok(found) => Ok(found.size == blob.size_bytes),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies a blob of the shelf to the bucket.
    pub(super) async fn send(&self, shelf: &Arc<Shelf>, blob: Blob) -> Result<(), Error> {
        let at = self.blob_at(&blob.hash);
        if blob.size_bytes <= PART_BYTES {
            let shelf = shelf.clone();
            let bytes = blocking(move || shelf.read(&blob.hash)).await?;
            self.objects.put(&at, PutPayload::from(bytes)).await?;
            return Ok(());
        }
        let upload = self.objects.put_multipart(&at).await?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES as usize);
        let mut file = shelf.file(&blob.hash)?;
        loop {
            let path = shelf.blobs().to_owned();
            let (read, same) = blocking(move || {
                let mut part = Vec::with_capacity(PART_BYTES as usize);
                file.by_ref().take(PART_BYTES).read_to_end(&mut part).map_err(Error::disk(path))?;
                Ok((part, file))
            })
            .await?;
            if read.is_empty() {
                parts.finish().await?;
                return Ok(());
            }
            file = same;
            parts.wait_for_capacity(2).await?;
            parts.put(read.into());
        }
    }

    /// Has these blobs of the shelf in the bucket, each sent at `fresh_since` or later: what is older is sent again, so
    /// that no other node throws it away as old before a manifest names it.
    pub(super) async fn renew(
        &self,
        shelf: &Arc<Shelf>,
        blobs: impl IntoIterator<Item = Blob>,
        fresh_since: SystemTime,
    ) -> Result<(), Error> {
        let renew = |blob: Blob| async move {
            match self.objects.head(&self.blob_at(&blob.hash)).await {
                Ok(found) if found.size == blob.size_bytes && !is_older(&found, fresh_since) => Ok(()),
                Ok(_) | Err(object_store::Error::NotFound { .. }) => self.send(shelf, blob).await,
                Err(error) => Err(error.into()),
            }
        };
        // Each is its own future before any is asked for: a closure that borrows would not be sent between threads.
        let all: Vec<_> = blobs.into_iter().map(renew).collect();
        stream::iter(all).buffer_unordered(BLOBS_AT_ONCE).try_collect().await
    }

    /// Copies a blob of the bucket to the shelf. `false`: the bucket has none, or another than its name says.
    pub(super) async fn fetch(&self, shelf: &Arc<Shelf>, blob: Blob) -> Result<bool, Error> {
        let at = self.blob_at(&blob.hash);
        let mut is_begun_again = false;
        loop {
            let here = shelf.clone();
            let offset = blocking(move || Ok(here.uploaded(&blob))).await?;
            let end = blob.size_bytes.min(offset + PART_BYTES);
            // All may be here already, and only its name be missing.
            let bytes = if offset == end {
                Bytes::new()
            } else {
                match self.objects.get_range(&at, offset..end).await {
                    Ok(bytes) => bytes,
                    Err(object_store::Error::NotFound { .. }) => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
            };
            let here = shelf.clone();
            match blocking(move || here.append(blob, offset, &bytes)).await {
                Ok(Uploaded::Whole) => return Ok(true),
                Ok(Uploaded::Partly(at)) if at > offset => {}
                // The first part may be of somebody else's upload, and not what it was said to be.
                Err(Error::WrongHash { .. }) if offset > 0 && !is_begun_again => is_begun_again = true,
                Ok(Uploaded::Partly(_)) | Err(Error::WrongHash { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes blobs of the bucket that nothing needs, neither now nor the last time, and that are older than `before`.
    /// Returns how many went, and what else would go if it is not needed the next time either.
    pub(super) async fn sweep(
        &self,
        before: SystemTime,
        was_unneeded: &HashSet<Hash>,
        needed: &HashSet<Hash>,
    ) -> Result<(usize, HashSet<Hash>), Error> {
        let listed: Vec<_> = self.objects.list(Some(&self.at("blobs"))).try_collect().await?;
        let (mut gone, mut unneeded) = (0, HashSet::new());
        for object in listed {
            let hash: Option<Hash> = object.location.filename().and_then(|name| name.parse().ok());
            let is_swept = |hash: &Hash| is_older(&object, before) && !needed.contains(hash);
            let Some(hash) = hash.filter(is_swept) else { continue };
            // Another node may be about to make a release of it.
            if !was_unneeded.contains(&hash) {
                unneeded.insert(hash);
                continue;
            }
            match self.objects.head(&object.location).await {
                // It was sent again since it was listed.
                Ok(found) if !is_older(&found, before) => {}
                Ok(_) => {
                    self.objects.delete(&object.location).await?;
                    gone += 1;
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((gone, unneeded))
    }
}

fn is_older(object: &ObjectMeta, moment: SystemTime) -> bool {
    let moment = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    u64::try_from(object.last_modified.timestamp()).unwrap_or(0) < moment
}

/// Does what may wait for the disk on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // The runtime is shutting down.
        Err(_) => Err(Error::Busy),
    })
}
