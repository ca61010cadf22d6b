//! What goes on beside pushing: other nodes' releases are followed, and what nothing needs is thrown away.

use super::{Assets, blocking};
use crate::error::Error;
use crate::hash::Hash;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How often the storage is asked for releases of other nodes, or of the process that this one has taken over from.
const FOLLOW_EVERY: Duration = Duration::from_secs(5);
/// After how many of these is looked for what nothing needs: ten minutes.
const COLLECT_EVERY_LOOKS: u32 = 120;

/// What was thrown away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files of this machine, uploads that were broken off among them.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of the bucket.
    pub objects: usize,
}

/// The task that keeps a store.
#[derive(Debug)]
pub struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Ends it. What it was doing is begun again by the next one.
    pub async fn stop(self) {
        self.0.abort();
        // Aborted is what it ends as.
        let _aborted = self.0.await;
    }
}

impl Assets {
    /// Keeps a store from now on. To be called within a runtime.
    pub fn keep(self: &Arc<Self>) -> Keeper {
        let assets = Arc::clone(self);
        Keeper(tokio::spawn(async move {
            let mut looks = 0_u32;
            let mut every = interval(FOLLOW_EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                if let Err(error) = assets.follow().await {
                    tracing::warn!(target: "push", store = assets.name, %error, "releases of others cannot be followed");
                }
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(COLLECT_EVERY_LOOKS)
                    && let Err(error) = assets.collect(SystemTime::now()).await
                {
                    tracing::warn!(target: "push", store = assets.name, %error, "what nothing needs cannot be thrown away");
                }
            }
        }))
    }

    /// Throws away what no release needs: files, and objects of a bucket, that were not needed the last time either, and
    /// have not changed for the grace time; and uploads that have not gone on for it.
    ///
    /// # Errors
    /// The disk or the storage fails. What is gone by then is gone.
    pub async fn collect(&self, now: SystemTime) -> Result<Collected, Error> {
        let _one_at_a_time = self.changing.lock().await;
        let before = now.checked_sub(self.config.grace.get()).unwrap_or(SystemTime::UNIX_EPOCH);
        let kept = self.storage.kept().await?;
        if let Some(release) = kept.unreadable.first() {
            // Nobody knows what it needs.
            tracing::warn!(target: "push", store = self.name, %release, "nothing is thrown away while a manifest cannot be read");
            return Ok(Collected::default());
        }
        let mut needed = self.served.load().needed();
        // Releases of other nodes that are not followed yet need theirs.
        needed.extend(kept.releases.iter().flat_map(|release| release.blobs()).map(|blob| blob.hash));
        let mut objects = 0;
        if self.storage.is_remote {
            let was_unneeded = take(&self.unneeded_objects);
            let (gone, unneeded) = self.storage.sweep(before, &was_unneeded, &needed).await?;
            objects = gone;
            *self.unneeded_objects.lock().unwrap_or_else(PoisonError::into_inner) = unneeded;
        }
        let shelf = self.shelf.clone();
        let was_unneeded = take(&self.unneeded);
        let swept =
            blocking(move || shelf.sweep(before, &was_unneeded, |hash| needed.contains(hash))).await?;
        *self.unneeded.lock().unwrap_or_else(PoisonError::into_inner) = swept.unneeded;
        self.events.stored(self.shelf.used_bytes());
        Ok(Collected { files: swept.files, bytes: swept.bytes, objects })
    }
}

fn take(unneeded: &Mutex<HashSet<Hash>>) -> HashSet<Hash> {
    std::mem::take(&mut *unneeded.lock().unwrap_or_else(PoisonError::into_inner))
}
