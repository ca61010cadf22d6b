//! A store of releases that runs: what is pushed, which release is served, what is thrown away.
//!
//! A blob comes in parts to the shelf (`shelf`), where it is hashed before it has its name; is encoded once (`coded`);
//! and goes to the storage (`storage`, `s3`) if that is not the same disk. A release is a manifest there, written once
//! all its blobs are stored, and then a pointer is moved (`releases`, `kept`). What other nodes make
//! of a bucket is followed (`following`). What no release needs goes after a grace time
//! (`keeping`).
//!
//! Invariants:
//! - What was acknowledged is on the disk: a release survives any end of the process from that moment on.
//! - A manifest is written after all that it names, and the pointer after the manifest.
//! - A snapshot holds releases whose blobs are on the shelf.

mod coded;
mod following;
mod keeping;
mod kept;
mod releases;
mod s3;
mod shelf;
mod storage;
#[cfg(test)]
mod tests;

pub use keeping::{Collected, Keeper};
pub(crate) use kept::Pointer;
pub use releases::ReleaseSeen;
pub use shelf::Uploaded;

use crate::config::PushConfig;
use crate::error::Error;
use crate::events::Events;
use crate::hash::Hash;
use crate::manifest::{Blob, Manifest, ReleaseName};
use crate::served::Served;
use arc_swap::ArcSwap;
use bytes::Bytes;
use coded::Coded;
use files::{Answer, Recent, Request, Vault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shelf::Shelf;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use storage::Storage;
pub(crate) use storage::blocking;
use telemetry::Registry;

/// The largest part of an upload that is taken at once.
pub const PART_BYTES_MAX: usize = 4 << 20;

/// A store of releases.
pub struct Assets {
    name: String,
    config: PushConfig,
    /// The folder of the file.
    dir: PathBuf,
    token: Option<String>,
    shelf: Arc<Shelf>,
    vault: Vault,
    storage: Storage,
    served: ArcSwap<Served>,
    coded: Arc<Coded>,
    /// Held while the releases change: one at a time.
    changing: tokio::sync::Mutex<()>,
    /// What nothing needed when it was looked for the last time.
    unneeded: Mutex<HashSet<Hash>>,
    /// The same, of the bucket.
    unneeded_objects: Mutex<HashSet<Hash>>,
    /// Releases that are not served as the bucket has not all of them.
    left_out: Mutex<HashSet<ReleaseName>>,
    events: Events,
}

/// A blob that is to be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// Its hash.
    pub hash: Hash,
    /// The first byte to be sent: so many are here from an upload that was broken off.
    pub offset: u64,
}

impl Assets {
    /// Opens a store, and with S3 copies to this machine what it does not have yet. `dir` is the folder of the file,
    /// `data` that of the node.
    ///
    /// # Errors
    /// The folder, the bucket or what is in it cannot be used, or a secret cannot be read.
    pub async fn open(
        name: &str,
        config: &PushConfig,
        dir: &Path,
        data: &Path,
        registry: &Registry,
    ) -> Result<Arc<Self>, Error> {
        let folder = Self::folder(name, config, dir, data);
        let total = config.total_max.get();
        let at = folder.clone();
        let shelf = Arc::new(blocking(move || Shelf::open(&at, total)).await?);
        let reveal = |token: &notation::Secret| {
            let cause = |error: notation::SecretError| error.to_string();
            token.reveal().map_err(|error| Error::Config { store: name.to_owned(), cause: cause(error) })
        };
        let assets = Self {
            name: name.to_owned(),
            config: config.clone(),
            dir: dir.to_owned(),
            token: config.token.as_ref().map(reveal).transpose()?,
            vault: Vault::open(shelf.blobs().to_owned())?,
            storage: Storage::open(name, config, &folder)?,
            shelf,
            served: ArcSwap::default(),
            coded: Arc::default(),
            changing: tokio::sync::Mutex::default(),
            unneeded: Mutex::default(),
            unneeded_objects: Mutex::default(),
            left_out: Mutex::default(),
            events: Events::new(registry, name),
        };
        assets.follow().await?;
        Ok(Arc::new(assets))
    }

    /// Where a store keeps its files.
    pub fn folder(name: &str, config: &PushConfig, dir: &Path, data: &Path) -> PathBuf {
        match &config.dir {
            Some(own) => dir.join(own),
            None => data.join("push").join(name),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the file says of it.
    pub fn config(&self) -> &PushConfig {
        &self.config
    }

    /// A folder that the file names, with its whole path.
    pub(crate) fn beside_the_file(&self, folder: &str) -> PathBuf {
        self.dir.join(folder)
    }

    /// The token that pushing demands.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The answer to a request for a file, if the kernel has what it takes in memory. `None`: let a thread that may
    /// wait for the disk call [`Assets::answer`]. The path of the request begins where the release does.
    pub fn answer_now(&self, request: &Request<'_>, now: SystemTime, recent: &Recent) -> Option<Answer> {
        self.answer_by(request, now, |document| self.vault.answer_now(document, request, now, recent))
    }

    /// The answer to a request for a file.
    pub fn answer(&self, request: &Request<'_>, now: SystemTime) -> Answer {
        self.answer_by(request, now, |document| Some(self.vault.answer(document, request, now)))
            .unwrap_or_else(|| unreachable!("who may wait for the disk is not told to ask it"))
    }

    fn answer_by(
        &self,
        request: &Request<'_>,
        now: SystemTime,
        answer: impl FnOnce(&files::Document<'_>) -> Option<Answer>,
    ) -> Option<Answer> {
        let served = self.served.load();
        let max_age = self.config.max_age.map(notation::Duration::get);
        let accept_encoding = request.fields.accept_encoding.as_deref();
        match served.find(&request.path, accept_encoding, max_age, now) {
            Some(found) => answer(&found.document()),
            None => Some(Vault::nothing(request.method)),
        }
    }

    /// Which of these are to be uploaded, and from where on. Those that are here stay for the grace time at least.
    ///
    /// # Errors
    /// The storage fails; or there are more than a release may have.
    pub async fn missing(&self, wanted: Vec<Blob>, now: SystemTime) -> Result<Vec<Missing>, Error> {
        let shelf = self.shelf.clone();
        blocking(move || {
            let missing = wanted.iter().filter(|blob| !shelf.touch(blob, now));
            Ok(missing.map(|blob| Missing { hash: blob.hash, offset: shelf.uploaded(blob) }).collect())
        })
        .await
    }

    /// Takes a part of an upload, at most [`PART_BYTES_MAX`]. With the last one the content is held against its hash,
    /// encoded if `media_type` is worth it, and stored.
    ///
    /// # Errors
    /// It is too large, not the next part, or not what was announced; the disk or the storage fails.
    pub async fn upload(
        &self,
        blob: Blob,
        offset: u64,
        media_type: Option<&str>,
        bytes: Bytes,
    ) -> Result<Uploaded, Error> {
        let file_max = self.config.file_max;
        if blob.size_bytes > file_max.get() {
            let max = format!("the {file_max} of `file_max`");
            return Err(Error::TooLarge { what: "the file", bytes: blob.size_bytes, max });
        }
        let (shelf, sent) = (self.shelf.clone(), bytes.len());
        let uploaded = blocking(move || shelf.append(blob, offset, &bytes)).await?;
        self.events.uploaded_bytes.add(sent as u64);
        if uploaded == Uploaded::Whole {
            if self.storage.is_remote && !self.storage.has(&blob).await? {
                self.storage.send(&self.shelf, blob).await?;
            }
            if let Some(media_type) = media_type {
                self.encode(blob, media_type).await?;
            }
        }
        self.events.stored(self.shelf.used_bytes());
        Ok(uploaded)
    }

    /// A release: the one of this name, or the one that is served.
    pub fn manifest(&self, release: Option<&ReleaseName>) -> Option<Arc<Manifest>> {
        let served = self.served.load();
        match release {
            None => served.current.clone(),
            Some(name) => served.releases.iter().find(|release| release.release == *name).cloned(),
        }
    }

    /// The release that was made last, whether it is served or not.
    pub fn newest(&self) -> Option<Arc<Manifest>> {
        self.served.load().releases.last().cloned()
    }

    /// Bytes of all that is stored here.
    pub fn stored_bytes(&self) -> u64 {
        self.shelf.used_bytes()
    }
}

/// Where a blob is, below the folder of blobs.
pub(crate) fn blob_name(hash: &Hash) -> String {
    Shelf::name(hash)
}
