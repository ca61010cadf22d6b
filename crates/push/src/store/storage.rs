//! The object store that releases are kept in: the local disk, or a bucket that several nodes may share.

use super::s3;
use super::shelf::{Shelf, Uploaded};
use crate::config::PushConfig;
use crate::error::Error;
use crate::hash::Hash;
use crate::manifest::{Blob, Manifest, ReleaseName};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;
use std::time::SystemTime;

/// What is read or sent of an object at once.
const PART_BYTES: u64 = 8 << 20;

/// Where releases are kept.
#[derive(Debug)]
pub(super) struct Storage {
    store: String,
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// It is elsewhere, and its blobs are copied to the shelf to be served.
    pub(super) is_remote: bool,
}

/// Which release is served.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    release: ReleaseName,
}

/// The releases that are kept, and which is served.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By their sequence.
    pub(super) releases: Vec<Arc<Manifest>>,
    pub(super) current: Option<ReleaseName>,
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
        })
    }

    fn at(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    fn release_at(&self, release: &ReleaseName) -> Path {
        self.at(&format!("releases/{release}.json"))
    }

    fn blob_at(&self, hash: &Hash) -> Path {
        self.at(&format!("blobs/{}", Shelf::name(hash)))
    }

    async fn read(&self, at: &Path) -> Result<Option<Bytes>, Error> {
        match self.objects.get(at).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The releases, `known` ones as they are: a manifest never changes. One that cannot be read is left out, unless it
    /// is the one that is served.
    pub(super) async fn kept(&self, known: &[Arc<Manifest>]) -> Result<Kept, Error> {
        match self.kept_now(known).await {
            // Another node may have moved the pointer and removed that release between two looks.
            Err(Error::Document { .. }) => self.kept_now(known).await,
            other => other,
        }
    }

    async fn kept_now(&self, known: &[Arc<Manifest>]) -> Result<Kept, Error> {
        let wrong = |what: &str, cause: String| Error::Document {
            store: self.store.clone(),
            what: what.to_owned(),
            cause,
        };
        let current = match self.read(&self.at("current.json")).await? {
            None => None,
            Some(bytes) => {
                let pointer: Pointer = serde_json::from_slice(&bytes)
                    .map_err(|error| wrong("current.json", error.to_string()))?;
                Some(pointer.release)
            }
        };
        let listed: Vec<_> = self.objects.list(Some(&self.at("releases"))).try_collect().await?;
        let mut kept = Kept { releases: Vec::new(), current };
        for object in listed {
            let Some(name) = object.location.filename().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            if let Some(known) = known.iter().find(|known| known.release.as_str() == name) {
                kept.releases.push(known.clone());
                continue;
            }
            let Some(bytes) = self.read(&object.location).await? else { continue };
            match Manifest::parse(&bytes) {
                Ok(manifest) => kept.releases.push(Arc::new(manifest)),
                Err(cause) => {
                    tracing::warn!(target: "push", store = self.store, release = name, cause, "a manifest cannot be read");
                }
            }
        }
        kept.releases.sort_by_key(|release| release.sequence);
        match &kept.current {
            Some(current) if !kept.releases.iter().any(|release| release.release == *current) => Err(wrong(
                &format!("release {current}"),
                "it is served, and its manifest cannot be read".into(),
            )),
            _ => Ok(kept),
        }
    }

    /// Writes a manifest; its name must be new.
    pub(super) async fn add(&self, manifest: &Manifest) -> Result<(), Error> {
        let json = serde_json::to_vec(manifest).expect("a manifest always serializes to JSON");
        let options = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&self.release_at(&manifest.release), json.into(), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => Err(Error::Exists(manifest.release.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a release the one that is served.
    pub(super) async fn point_to(&self, release: &ReleaseName) -> Result<(), Error> {
        let json = serde_json::to_vec(&Pointer { release: release.clone() });
        let json = json.expect("a pointer always serializes to JSON");
        self.objects.put(&self.at("current.json"), json.into()).await?;
        Ok(())
    }

    /// Removes a manifest.
    pub(super) async fn remove(&self, release: &ReleaseName) -> Result<(), Error> {
        match self.objects.delete(&self.release_at(release)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
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

    /// Copies a blob of the bucket to the shelf. `false`: the bucket has none, or another than its name says.
    pub(super) async fn fetch(&self, shelf: &Arc<Shelf>, blob: Blob) -> Result<bool, Error> {
        let at = self.blob_at(&blob.hash);
        loop {
            let (here, hash) = (shelf.clone(), blob.hash);
            let offset = blocking(move || Ok(here.uploaded(&hash))).await?;
            let end = blob.size_bytes.min(offset + PART_BYTES);
            let bytes = match blob.size_bytes {
                0 => Bytes::new(),
                _ => match self.objects.get_range(&at, offset..end).await {
                    Ok(bytes) => bytes,
                    Err(object_store::Error::NotFound { .. }) => return Ok(false),
                    Err(error) => return Err(error.into()),
                },
            };
            let here = shelf.clone();
            match blocking(move || here.append(blob, offset, &bytes)).await {
                Ok(Uploaded::Whole) => return Ok(true),
                Ok(Uploaded::Partly(at)) if at > offset => {}
                Ok(Uploaded::Partly(_)) | Err(Error::WrongHash { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes blobs of the bucket that nothing needs and that are older than `before`.
    pub(super) async fn sweep(&self, before: SystemTime, needed: &HashSet<Hash>) -> Result<usize, Error> {
        let before = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let listed: Vec<_> = self.objects.list(Some(&self.at("blobs"))).try_collect().await?;
        let mut gone = 0;
        for object in listed {
            let hash: Option<Hash> = object.location.filename().and_then(|name| name.parse().ok());
            let is_old = u64::try_from(object.last_modified.timestamp()).unwrap_or(0) < before;
            if is_old && hash.is_some_and(|hash| !needed.contains(&hash)) {
                self.objects.delete(&object.location).await?;
                gone += 1;
            }
        }
        Ok(gone)
    }
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
