//! Releases: made, switched to, removed.

use super::kept::{Kept, Pointer};
use super::{Assets, blocking};
use crate::error::Error;
use crate::hash::Hash;
use crate::manifest::{Blob, Draft, Entry, FILES_MAX, Manifest, ReleaseName, VERSION};
use crate::path::AssetPath;
use crate::served::{time, unix_ms};
use files::MediaType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

/// Numbers that are tried for a release: so many nodes may be pushed to at the same moment.
const NUMBERS_TRIED_MAX: usize = 16;

/// The files of a release.
type Files = BTreeMap<AssetPath, Entry>;

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
    /// acknowledged is served after any restart. A release of this name and these files that is there, but is not
    /// served, is: somebody was cut off who made it.
    ///
    /// # Errors
    /// [`Error::NotStored`]: upload those, and try again. The name is taken, the draft is none, or the storage fails.
    pub async fn release(&self, draft: Draft, now: SystemTime) -> Result<ReleaseSeen, Error> {
        check(&draft, now)?;
        // What takes long is done before anybody is kept waiting.
        self.until_stored(&draft).await?;
        let files = self.entries(&draft).await?;
        let mut sent = HashSet::new();
        self.send(&files, &mut sent, now).await?;
        let _one_at_a_time = self.changing.lock().await;
        let mut tries = 0;
        loop {
            tries += 1;
            // Another node may have made a release of this bucket, or removed one and thrown away what that needed.
            let kept = self.send(&files, &mut sent, now).await?;
            let made = match draft.release.as_ref().and_then(|name| kept.find(name)) {
                Some(same) if !kept.is_current(&same.release) && same.is_of(&draft) => Ok(same.clone()),
                _ => self.write(&kept, &draft, files.clone(), now).await,
            };
            match made {
                Ok(manifest) => return self.served_as_new(kept, manifest, now).await,
                // Another node was faster, and the next number is free.
                Err(Error::Exists(_)) if draft.release.is_none() && tries < NUMBERS_TRIED_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the manifest of a release, once everything that it names is.
    async fn write(
        &self,
        kept: &Kept,
        draft: &Draft,
        files: Files,
        now: SystemTime,
    ) -> Result<Arc<Manifest>, Error> {
        let sequence = kept.next_sequence();
        let manifest = Arc::new(Manifest {
            version: VERSION,
            release: draft.release.clone().unwrap_or_else(|| ReleaseName::numbered(sequence)),
            sequence,
            created_unix_ms: unix_ms(now),
            expires_unix_ms: draft.expires_unix_ms,
            files,
        });
        if kept.unreadable.contains(&manifest.release) {
            return Err(Error::Exists(manifest.release.clone()));
        }
        let (shelf, blobs): (_, Vec<Blob>) = (self.shelf.clone(), manifest.blobs().collect());
        // What was stored when it was looked for may have been thrown away since.
        blocking(move || {
            let gone: Vec<Blob> = blobs.iter().filter(|blob| !shelf.has(blob)).copied().collect();
            if gone.is_empty() { shelf.sync(&blobs) } else { Err(Error::NotStored(gone)) }
        })
        .await?;
        self.storage.add(&manifest).await?;
        Ok(manifest)
    }

    /// Serves what was made, and takes away what is too old.
    async fn served_as_new(
        &self,
        mut kept: Kept,
        manifest: Arc<Manifest>,
        now: SystemTime,
    ) -> Result<ReleaseSeen, Error> {
        if kept.find(&manifest.release).is_none() {
            kept.releases.push(manifest.clone());
        }
        let pointer = self.point_to(&kept, &manifest, now).await?;
        let gone = prune(&mut kept.releases, &manifest.release, self.config.keep as usize, now);
        let whole = self.whole(&kept.releases).await?;
        self.serve(whole, Some(pointer)).await?;
        self.forget_codings();
        self.events.released();
        for release in gone {
            if let Err(error) = self.storage.remove_unserved(&release).await {
                // It is tried again with the next release.
                tracing::warn!(target: "push", store = self.name, release = %release.release, %error, "an old release cannot be removed");
            }
        }
        Ok(seen(&manifest, true))
    }

    /// Makes a release the one that is served, wherever the storage is.
    async fn point_to(
        &self,
        kept: &Kept,
        release: &Arc<Manifest>,
        now: SystemTime,
    ) -> Result<Pointer, Error> {
        let pointer = kept.pointer_to(release, now);
        self.storage.point_to(&pointer).await?;
        // Another node may have removed it since it was looked for.
        if self.storage.has_release(&release.release).await? {
            return Ok(pointer);
        }
        if let Some(before) = &kept.pointer {
            self.storage.point_to(before).await?;
        }
        Err(Error::Unknown(release.release.clone()))
    }

    /// Serves the release before the one that is served and has not ended, or this one.
    ///
    /// # Errors
    /// There is none such, it has ended, or the storage fails or has not all of it.
    pub async fn roll_back(&self, to: Option<&ReleaseName>, now: SystemTime) -> Result<ReleaseSeen, Error> {
        let _one_at_a_time = self.changing.lock().await;
        let kept = self.storage.kept().await?;
        let target = match to {
            Some(name) => match kept.find(name) {
                Some(found) if found.has_ended(now) => return Err(Error::Ended(name.clone())),
                found => found.ok_or_else(|| Error::Unknown(name.clone()))?,
            },
            None => {
                let current = kept.current().ok_or(Error::NothingBefore)?;
                let is_before = |one: &&Arc<Manifest>| one.sequence < current.sequence && !one.has_ended(now);
                kept.releases.iter().rev().find(is_before).ok_or(Error::NothingBefore)?
            }
        };
        let whole = self.whole(&kept.releases).await?;
        if !whole.iter().any(|one| Arc::ptr_eq(one, target)) {
            return Err(Error::NotStored(self.not_here(target.blobs().collect()).await?));
        }
        let pointer = self.point_to(&kept, target, now).await?;
        self.serve(whole, Some(pointer)).await?;
        Ok(seen(target, true))
    }

    /// Removes a release that is not served. What only it needed goes after the grace time.
    ///
    /// # Errors
    /// There is none such, it is served, or the storage fails.
    pub async fn delete(&self, name: &ReleaseName) -> Result<ReleaseSeen, Error> {
        let _one_at_a_time = self.changing.lock().await;
        let mut kept = self.storage.kept().await?;
        if kept.is_current(name) {
            return Err(Error::Current(name.clone()));
        }
        if kept.unreadable.contains(name) {
            self.storage.remove(name).await?;
            // All that is known of it is its name.
            let seen = ReleaseSeen {
                release: name.clone(),
                sequence: 0,
                is_current: false,
                created_unix_ms: 0,
                expires_unix_ms: None,
                files: 0,
                size_bytes: 0,
            };
            return Ok(seen);
        }
        let found = kept.find(name).cloned().ok_or_else(|| Error::Unknown(name.clone()))?;
        self.storage.remove_unserved(&found).await?;
        kept.releases.retain(|release| release.release != *name);
        let whole = self.whole(&kept.releases).await?;
        let has_current =
            kept.current().is_none_or(|current| whole.iter().any(|one| Arc::ptr_eq(one, current)));
        // What another node has just switched to is followed once it is here.
        if has_current {
            self.serve(whole, kept.pointer).await?;
        }
        Ok(seen(&found, false))
    }

    /// That everything a draft names is on the shelf.
    async fn until_stored(&self, draft: &Draft) -> Result<(), Error> {
        let wanted: BTreeSet<Blob> =
            draft.files.values().map(|file| Blob { hash: file.hash, size_bytes: file.size_bytes }).collect();
        let missing = self.not_here(wanted.into_iter().collect()).await?;
        if missing.is_empty() {
            Ok(())
        } else if self.storage.is_remote {
            self.until_here(missing).await
        } else {
            Err(Error::NotStored(missing))
        }
    }

    /// The files of a draft, each with its codings.
    async fn entries(&self, draft: &Draft) -> Result<Files, Error> {
        let mut files = BTreeMap::new();
        for (path, wanted) in &draft.files {
            let media_type = wanted.media_type(path);
            let own = Blob { hash: wanted.hash, size_bytes: wanted.size_bytes };
            let coded = self.encode(own, &media_type).await?;
            files.insert(path.clone(), Entry::of(path, wanted, media_type, coded));
        }
        Ok(files)
    }

    /// That a bucket has what these files need: what a release needs that is kept stays there, and all else is sent,
    /// but for what was `sent` already.
    async fn send(&self, files: &Files, sent: &mut HashSet<Hash>, now: SystemTime) -> Result<Kept, Error> {
        let kept = self.storage.kept().await?;
        if !self.storage.is_remote {
            return Ok(kept);
        }
        let stays: HashSet<Hash> =
            kept.releases.iter().flat_map(|release| release.blobs()).map(|blob| blob.hash).collect();
        let wanted: BTreeSet<Blob> = files.values().flat_map(Entry::blobs).collect();
        let wanted: Vec<Blob> = wanted
            .into_iter()
            .filter(|blob| !stays.contains(&blob.hash) && !sent.contains(&blob.hash))
            .collect();
        let fresh_since = now.checked_sub(self.config.grace.get() / 2).unwrap_or(SystemTime::UNIX_EPOCH);
        self.storage.renew(&self.shelf, wanted.iter().copied(), fresh_since).await?;
        sent.extend(wanted.iter().map(|blob| blob.hash));
        Ok(kept)
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

/// Takes away those that have ended, and then the oldest above those that are kept.
fn prune(
    releases: &mut Vec<Arc<Manifest>>,
    current: &ReleaseName,
    keep: usize,
    now: SystemTime,
) -> Vec<Arc<Manifest>> {
    let is_current = |release: &Manifest| release.release == *current;
    let mut gone: Vec<_> =
        releases.extract_if(.., |release| !is_current(release) && release.has_ended(now)).collect();
    let mut above = releases.len().saturating_sub(keep);
    gone.extend(releases.extract_if(.., |release| {
        let is_gone = above > 0 && !is_current(release);
        above -= usize::from(is_gone);
        is_gone
    }));
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
