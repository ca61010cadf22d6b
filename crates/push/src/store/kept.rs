//! What is written down of releases: a manifest for each, and which of them is served.

use super::storage::{PART_BYTES, Storage, blocking};
use crate::error::Error;
use crate::manifest::{Manifest, ReleaseName};
use crate::served::unix_ms;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

/// The largest manifest that is written, and read again.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// Which release is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pointer {
    pub(crate) release: ReleaseName,
    /// Since when, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since_unix_ms: Option<u64>,
    /// The highest number of a release so far: none is given twice, whatever was removed.
    #[serde(default)]
    pub(crate) sequence_max: u64,
}

/// The releases that are kept, and which is served.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By their sequence.
    pub(super) releases: Vec<Arc<Manifest>>,
    pub(super) pointer: Option<Pointer>,
    /// Those whose manifests cannot be read.
    pub(super) unreadable: BTreeSet<ReleaseName>,
}

/// A manifest as it was found the last time; `None` where it could not be read.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    mark: Mark,
    manifest: Option<Arc<Manifest>>,
}

/// What tells one object from the next of its name.
#[derive(Debug, Clone)]
struct Mark {
    e_tag: Option<String>,
    size_bytes: u64,
    /// Not known of what was just written.
    modified_ms: Option<i64>,
}

impl Mark {
    fn of(object: &ObjectMeta) -> Self {
        let modified_ms = Some(object.last_modified.timestamp_millis());
        Self { e_tag: object.e_tag.clone(), size_bytes: object.size, modified_ms }
    }

    fn is_of(&self, object: &ObjectMeta) -> bool {
        let tags = self.e_tag.as_ref().zip(object.e_tag.as_ref());
        let times =
            self.modified_ms.map(|modified_ms| (modified_ms, object.last_modified.timestamp_millis()));
        // Either must tell, and neither deny.
        (tags.is_some() || times.is_some())
            && self.size_bytes == object.size
            && tags.is_none_or(|(one, other)| one == other)
            && times.is_none_or(|(one, other)| one == other)
    }
}

impl Kept {
    pub(super) fn find(&self, name: &ReleaseName) -> Option<&Arc<Manifest>> {
        self.releases.iter().find(|release| release.release == *name)
    }

    /// The release that is served.
    pub(super) fn current(&self) -> Option<&Arc<Manifest>> {
        self.find(&self.pointer.as_ref()?.release)
    }

    pub(super) fn is_current(&self, name: &ReleaseName) -> bool {
        self.pointer.as_ref().is_some_and(|pointer| pointer.release == *name)
    }

    /// The number of the next release. No release has had it, nor has one the name that is made of it.
    pub(super) fn next_sequence(&self) -> u64 {
        let highest = self.releases.iter().map(|release| release.sequence);
        let highest = highest.chain(self.pointer.iter().map(|pointer| pointer.sequence_max)).max();
        let is_free = |sequence: &u64| {
            let name = ReleaseName::numbered(*sequence);
            self.find(&name).is_none() && !self.unreadable.contains(&name)
        };
        let mut numbers = highest.unwrap_or(0).saturating_add(1)..;
        numbers.find(is_free).expect("there are more numbers than releases")
    }

    /// What makes this release the one that is served from now on.
    pub(super) fn pointer_to(&self, release: &Manifest, now: SystemTime) -> Pointer {
        let before = self.pointer.as_ref();
        let since = before.and_then(|pointer| pointer.since_unix_ms);
        let since = since.or_else(|| self.current().map(|current| current.created_unix_ms));
        // Dates of HTTP have whole seconds: the next switch has another one, and never an earlier.
        let since = since.map_or(0, |since| since.saturating_add(1000)).max(unix_ms(now));
        let highest = self.releases.iter().map(|release| release.sequence).max().unwrap_or(0);
        let before = before.map_or(0, |pointer| pointer.sequence_max);
        Pointer {
            release: release.release.clone(),
            since_unix_ms: Some(since),
            sequence_max: before.max(highest).max(release.sequence),
        }
    }
}

impl Storage {
    /// The releases. One that cannot be read is left out, unless it is the one that is served.
    pub(super) async fn kept(&self) -> Result<Kept, Error> {
        match self.kept_now().await {
            // Another node may have moved the pointer and removed that release between two looks.
            Err(Error::Document { .. }) => self.kept_now().await,
            other => other,
        }
    }

    async fn kept_now(&self) -> Result<Kept, Error> {
        let pointer = self.pointer().await?;
        let listed: Vec<_> = self.objects.list(Some(&self.at("releases"))).try_collect().await?;
        let before = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = HashMap::new();
        for object in listed {
            let Some(name) = name_of(&object.location) else { continue };
            let known = before.get(&name);
            let read = match known.filter(|known| known.mark.is_of(&object)) {
                Some(same) => Some(same.clone()),
                None => self.look(&name, &object, known).await?,
            };
            found.extend(read.map(|read| (name, read)));
        }
        {
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.retain(|name, _| found.contains_key(name) || !before.contains_key(name));
            remembered.extend(found.clone());
        }
        let mut kept = Kept { pointer, ..Kept::default() };
        for (name, read) in found {
            match read.manifest {
                Some(manifest) => kept.releases.push(manifest),
                None => _ = kept.unreadable.insert(name),
            }
        }
        kept.releases
            .sort_by(|one, other| (one.sequence, &one.release).cmp(&(other.sequence, &other.release)));
        match &kept.pointer {
            Some(pointer) if kept.current().is_none() => {
                let what = format!("release {}", pointer.release);
                Err(self.wrong(&what, "it is served, and its manifest cannot be read".into()))
            }
            _ => Ok(kept),
        }
    }

    fn wrong(&self, what: &str, cause: String) -> Error {
        Error::Document { store: self.store.clone(), what: what.to_owned(), cause }
    }

    /// Which release is served.
    pub(super) async fn pointer(&self) -> Result<Option<Pointer>, Error> {
        let bytes = match self.objects.get(&self.at("current.json")).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let pointer = serde_json::from_slice(&bytes);
        pointer.map(Some).map_err(|error| self.wrong("current.json", error.to_string()))
    }

    /// Reads a manifest. `None`: it is gone again.
    async fn look(
        &self,
        name: &ReleaseName,
        object: &ObjectMeta,
        known: Option<&Remembered>,
    ) -> Result<Option<Remembered>, Error> {
        let parsed = if object.size > MANIFEST_BYTES_MAX {
            Err(format!("it has {} bytes, more than {MANIFEST_BYTES_MAX}", object.size))
        } else {
            let Some(bytes) = self.read_parts(object).await? else { return Ok(None) };
            blocking(move || Ok(Manifest::parse(&bytes))).await?
        };
        let parsed = parsed.and_then(|manifest| match manifest.release == *name {
            true => Ok(manifest),
            false => Err(format!("it is that of release {}", manifest.release)),
        });
        let manifest = match parsed {
            // What has not changed stays what everybody knows it as.
            Ok(read) => match known.and_then(|known| known.manifest.as_ref()) {
                Some(known) if **known == read => Some(Arc::clone(known)),
                _ => Some(Arc::new(read)),
            },
            Err(cause) => {
                tracing::warn!(target: "push", store = self.store, release = %name, cause, "a manifest cannot be read");
                None
            }
        };
        Ok(Some(Remembered { mark: Mark::of(object), manifest }))
    }

    /// All of an object that has been listed, in parts that an answer may have. `None`: it is gone.
    async fn read_parts(&self, object: &ObjectMeta) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        let mut if_match = None;
        while (bytes.len() as u64) < object.size {
            let offset = bytes.len() as u64;
            let range = Some((offset..object.size.min(offset + PART_BYTES)).into());
            // All parts are of one object, whatever comes by its name meanwhile.
            let options = GetOptions { range, if_match: if_match.clone(), ..GetOptions::default() };
            let part = match self.objects.get_opts(&object.location, options).await {
                Ok(found) => {
                    if_match.clone_from(&found.meta.e_tag);
                    found.bytes().await?
                }
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }

    /// Writes a manifest; its name must be new.
    pub(super) async fn add(&self, manifest: &Arc<Manifest>) -> Result<(), Error> {
        let written = Arc::clone(manifest);
        let json =
            blocking(
                move || Ok(serde_json::to_vec(&*written).expect("a manifest always serializes to JSON")),
            );
        let json = json.await?;
        let size_bytes = json.len() as u64;
        if size_bytes > MANIFEST_BYTES_MAX {
            let max =
                format!("the {MANIFEST_BYTES_MAX} that one may have: push fewer files, or shorter paths");
            return Err(Error::TooLarge { what: "the release's manifest", bytes: size_bytes, max });
        }
        let options = PutOptions::from(PutMode::Create);
        let put = self.objects.put_opts(&self.release_at(&manifest.release), json.into(), options).await;
        let e_tag = match put {
            Ok(put) => put.e_tag,
            Err(object_store::Error::AlreadyExists { .. }) => {
                return Err(Error::Exists(manifest.release.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        let mark = Mark { e_tag, size_bytes, modified_ms: None };
        let read = Remembered { mark, manifest: Some(Arc::clone(manifest)) };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.insert(manifest.release.clone(), read);
        Ok(())
    }

    /// Makes a release the one that is served.
    pub(super) async fn point_to(&self, pointer: &Pointer) -> Result<(), Error> {
        let json = serde_json::to_vec(pointer).expect("a pointer always serializes to JSON");
        self.objects.put(&self.at("current.json"), json.into()).await?;
        Ok(())
    }

    /// Whether there is a manifest of this name.
    pub(super) async fn has_release(&self, release: &ReleaseName) -> Result<bool, Error> {
        match self.objects.head(&self.release_at(release)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a manifest.
    pub(super) async fn remove(&self, release: &ReleaseName) -> Result<(), Error> {
        match self.objects.delete(&self.release_at(release)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a release, or puts it back if another node has made it the one that is served meanwhile.
    pub(super) async fn remove_unserved(&self, release: &Arc<Manifest>) -> Result<(), Error> {
        self.remove(&release.release).await?;
        if self.pointer().await?.is_some_and(|pointer| pointer.release == release.release) {
            match self.add(release).await {
                Ok(()) | Err(Error::Exists(_)) => return Err(Error::Current(release.release.clone())),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn release_at(&self, release: &ReleaseName) -> Path {
        self.at(&format!("releases/{release}.json"))
    }
}

fn name_of(location: &Path) -> Option<ReleaseName> {
    location.filename()?.strip_suffix(".json")?.parse().ok()
}
