//! Releases: made, switched to, removed.

use super::{Assets, blocking};
use crate::error::Error;
use crate::manifest::{Blob, Draft, Entry, FILES_MAX, Manifest, ReleaseName, VERSION};
use crate::served::{Served, time, unix_ms};
use files::MediaType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

/// A release in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseSeen {
    /// Its name.
    pub release: ReleaseName,
    /// Which release of its store it is, counted from 1.
    pub sequence: u64,
    /// Whether plain names lead to it.
    pub is_current: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When all of it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
    /// How many files it has.
    pub files: usize,
    /// How long they are, as they are.
    pub size_bytes: u64,
}

impl Assets {
    /// The releases that are kept, the newest first.
    pub fn releases(&self) -> Vec<ReleaseSeen> {
        let served = self.served.load();
        let is_current = |release: &Arc<Manifest>| {
            served.current.as_ref().is_some_and(|current| current.release == release.release)
        };
        served.releases.iter().rev().map(|release| seen(release, is_current(release))).collect()
    }

    /// Makes a release of what is stored, and serves it from then on: every plain name leads to it at once. What was
    /// acknowledged is served after any restart.
    ///
    /// # Errors
    /// [`Error::NotStored`]: upload those, and try again. The name is taken, the draft is none, or the storage fails.
    pub async fn release(&self, draft: Draft, now: SystemTime) -> Result<ReleaseSeen, Error> {
        check(&draft, now)?;
        // What takes long is done before anybody is kept waiting.
        self.until_stored(&draft).await?;
        let mut files = BTreeMap::new();
        for (path, wanted) in &draft.files {
            let media_type = match &wanted.media_type {
                Some(given) => given.clone(),
                None => MediaType::of_name(path.as_str().as_bytes()).to_string(),
            };
            let own = Blob { hash: wanted.hash, size_bytes: wanted.size_bytes };
            let coded = self.encode(own, &media_type).await?;
            files.insert(path.clone(), Entry::of(path, wanted, media_type, coded));
        }
        let _one_at_a_time = self.changing.lock().await;
        // Another node may have made a release of this bucket.
        let mut kept = self.storage.kept(&self.served.load().releases).await?;
        self.until_all_here(&kept.releases).await?;
        let sequence = kept.releases.last().map_or(1, |last| last.sequence + 1);
        let taken: BTreeSet<&ReleaseName> = kept.releases.iter().map(|release| &release.release).collect();
        let numbered = (sequence..).map(ReleaseName::numbered).find(|name| !taken.contains(name));
        let manifest = Arc::new(Manifest {
            version: VERSION,
            release: draft.release.or(numbered).expect("there are more numbers than releases"),
            sequence,
            created_unix_ms: unix_ms(now),
            expires_unix_ms: draft.expires_unix_ms,
            files,
        });
        let (shelf, blobs): (_, Vec<Blob>) = (self.shelf.clone(), manifest.blobs().collect());
        // What was stored when it was looked for may have been thrown away since.
        blocking(move || {
            let gone: Vec<Blob> = blobs.iter().filter(|blob| !shelf.has(blob)).copied().collect();
            if gone.is_empty() { shelf.sync(&blobs) } else { Err(Error::NotStored(gone)) }
        })
        .await?;
        self.storage.add(&manifest).await?;
        self.storage.point_to(&manifest.release).await?;
        kept.releases.push(manifest.clone());
        kept.current = Some(manifest.release.clone());
        let gone = prune(&mut kept.releases, &manifest.release, self.config.keep as usize, now);
        self.served.store(Arc::new(Served::new(kept.releases, Some(manifest.clone()))));
        self.forget_codings();
        self.events.released();
        for release in gone {
            if let Err(error) = self.storage.remove(&release.release).await {
                // It is tried again with the next release.
                tracing::warn!(target: "push", store = self.name, release = %release.release, %error, "an old release cannot be removed");
            }
        }
        Ok(seen(&manifest, true))
    }

    /// Serves the release before the one that is served, or this one.
    ///
    /// # Errors
    /// There is none such, or the storage fails.
    pub async fn roll_back(&self, to: Option<&ReleaseName>) -> Result<ReleaseSeen, Error> {
        let _one_at_a_time = self.changing.lock().await;
        let served = self.served.load_full();
        let before = |current: &Arc<Manifest>| {
            let earlier = served.releases.iter().rev().find(|release| release.sequence < current.sequence);
            earlier.cloned()
        };
        let target = match to {
            Some(name) => {
                let found = served.releases.iter().find(|release| release.release == *name);
                found.cloned().ok_or_else(|| Error::Unknown(name.clone()))?
            }
            None => served.current.as_ref().and_then(before).ok_or(Error::NothingBefore)?,
        };
        self.storage.point_to(&target.release).await?;
        self.served.store(Arc::new(Served::new(served.releases.clone(), Some(target.clone()))));
        Ok(seen(&target, true))
    }

    /// Removes a release that is not served. What only it needed goes after the grace time.
    ///
    /// # Errors
    /// There is none such, it is served, or the storage fails.
    pub async fn delete(&self, name: &ReleaseName) -> Result<ReleaseSeen, Error> {
        let _one_at_a_time = self.changing.lock().await;
        let served = self.served.load_full();
        let found = served.releases.iter().find(|release| release.release == *name);
        let found = found.cloned().ok_or_else(|| Error::Unknown(name.clone()))?;
        if served.current.as_ref().is_some_and(|current| current.release == *name) {
            return Err(Error::Current(name.clone()));
        }
        self.storage.remove(name).await?;
        let left = served.releases.iter().filter(|release| release.release != *name).cloned().collect();
        self.served.store(Arc::new(Served::new(left, served.current.clone())));
        Ok(seen(&found, false))
    }

    /// Looks for what other nodes have made of a shared bucket, copies what it needs, and serves that. Returns whether
    /// something was new.
    ///
    /// # Errors
    /// The storage fails, or has not what a release needs; then what was served goes on being served.
    pub async fn follow(&self) -> Result<bool, Error> {
        let _one_at_a_time = self.changing.lock().await;
        let served = self.served.load_full();
        let kept = self.storage.kept(&served.releases).await?;
        let current = kept.current.as_ref();
        let current = current.and_then(|name| kept.releases.iter().find(|one| one.release == *name)).cloned();
        let is_same = kept.releases.len() == served.releases.len()
            && kept.releases.iter().zip(&served.releases).all(|(one, other)| Arc::ptr_eq(one, other))
            && current.as_ref().map(|one| &one.release) == served.current.as_ref().map(|one| &one.release);
        if is_same {
            return Ok(false);
        }
        self.until_all_here(&kept.releases).await?;
        self.served.store(Arc::new(Served::new(kept.releases, current)));
        Ok(true)
    }

    /// That everything a draft names is stored; with S3, in the bucket too.
    async fn until_stored(&self, draft: &Draft) -> Result<(), Error> {
        let wanted: BTreeSet<Blob> =
            draft.files.values().map(|file| Blob { hash: file.hash, size_bytes: file.size_bytes }).collect();
        let missing = self.not_here(wanted.iter().copied().collect()).await?;
        if !missing.is_empty() && self.storage.is_remote {
            self.until_here(missing).await?;
        } else if !missing.is_empty() {
            return Err(Error::NotStored(missing));
        }
        if self.storage.is_remote {
            let needed = self.served.load().needed();
            for blob in wanted.into_iter().filter(|blob| !needed.contains(&blob.hash)) {
                if !self.storage.has(&blob).await? {
                    self.storage.send(&self.shelf, blob).await?;
                }
            }
        }
        Ok(())
    }

    /// Copies what releases of a bucket need to the shelf, those aside that are served already.
    async fn until_all_here(&self, releases: &[Arc<Manifest>]) -> Result<(), Error> {
        let served = self.served.load_full();
        let is_here = |release: &Arc<Manifest>| served.releases.iter().any(|one| Arc::ptr_eq(one, release));
        for release in releases.iter().filter(|release| self.storage.is_remote && !is_here(release)) {
            self.until_here(release.blobs().collect()).await?;
        }
        Ok(())
    }

    /// Copies blobs of the bucket to the shelf.
    async fn until_here(&self, blobs: Vec<Blob>) -> Result<(), Error> {
        let mut missing = Vec::new();
        for blob in self.not_here(blobs).await? {
            if !self.storage.fetch(&self.shelf, blob).await? {
                missing.push(blob);
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::NotStored(missing)) }
    }

    async fn not_here(&self, blobs: Vec<Blob>) -> Result<Vec<Blob>, Error> {
        let shelf = self.shelf.clone();
        blocking(move || Ok(blobs.into_iter().filter(|blob| !shelf.has(blob)).collect())).await
    }
}

/// What of a draft can be judged without the store.
fn check(draft: &Draft, now: SystemTime) -> Result<(), Error> {
    let bad = |message: String| Err(Error::BadDraft(message));
    if draft.files.is_empty() {
        return bad("a release has at least one file".into());
    }
    if draft.files.len() > FILES_MAX {
        return bad(format!("the release has {} files, more than {FILES_MAX}", draft.files.len()));
    }
    if draft.expires_unix_ms.is_some_and(|end| time(end) <= now) {
        return bad("the release would have ended already".into());
    }
    for (path, file) in &draft.files {
        if file.media_type.as_ref().is_some_and(|given| MediaType::given(given).is_none()) {
            return bad(format!("{path}: its media type can be no `Content-Type`"));
        }
    }
    Ok(())
}

/// Takes away the oldest releases above those that are kept, and those that have ended.
fn prune(
    releases: &mut Vec<Arc<Manifest>>,
    current: &ReleaseName,
    keep: usize,
    now: SystemTime,
) -> Vec<Arc<Manifest>> {
    let mut above = releases.len().saturating_sub(keep);
    let mut gone = Vec::new();
    releases.retain(|release| {
        let has_ended = release.expires_unix_ms.is_some_and(|end| time(end) <= now);
        if release.release == *current || (above == 0 && !has_ended) {
            return true;
        }
        above = above.saturating_sub(1);
        gone.push(release.clone());
        false
    });
    gone
}

fn seen(release: &Manifest, is_current: bool) -> ReleaseSeen {
    ReleaseSeen {
        release: release.release.clone(),
        sequence: release.sequence,
        is_current,
        created_unix_ms: release.created_unix_ms,
        expires_unix_ms: release.expires_unix_ms,
        files: release.files.len(),
        size_bytes: release.files.values().map(|entry| entry.size_bytes).sum(),
    }
}
