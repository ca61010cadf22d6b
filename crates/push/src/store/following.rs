//! What other nodes make of a shared bucket: its releases, and the copies that are served of them.

use super::kept::{Kept, Pointer};
use super::{Assets, blocking};
use crate::error::Error;
use crate::manifest::{Blob, Manifest};
use crate::served::Served;
use std::sync::{Arc, PoisonError};

/// How often a look is begun anew as the release that is served became another one meanwhile.
const LOOKS_MAX: usize = 5;

impl Assets {
    /// Looks for what other nodes have made of a shared bucket, copies what it needs, and serves that. Returns whether
    /// something was new. A release of which the bucket has not all is left out, unless it is the one that is served.
    ///
    /// # Errors
    /// The storage fails, or has not what the release needs that is served; then what was served goes on being served.
    pub async fn follow(&self) -> Result<bool, Error> {
        let mut left = LOOKS_MAX;
        loop {
            left -= 1;
            let kept = self.storage.kept().await?;
            if self.served.load().is_of(&kept.releases, kept.pointer.as_ref()) {
                return Ok(false);
            }
            // Copies take long, and nobody who pushes or goes back waits for them.
            self.copy(&kept).await?;
            let _one_at_a_time = self.changing.lock().await;
            let kept = self.storage.kept().await?;
            let whole = self.whole(&kept.releases).await?;
            if let Some(current) = kept.current()
                && !whole.iter().any(|one| Arc::ptr_eq(one, current))
            {
                if left > 0 {
                    continue;
                }
                return Err(Error::NotStored(self.not_here(current.blobs().collect()).await?));
            }
            if self.served.load().is_of(&whole, kept.pointer.as_ref()) {
                return Ok(false);
            }
            self.serve(whole, kept.pointer).await?;
            return Ok(true);
        }
    }

    /// Serves these from now on.
    pub(super) async fn serve(
        &self,
        releases: Vec<Arc<Manifest>>,
        pointer: Option<Pointer>,
    ) -> Result<(), Error> {
        let served = blocking(move || Ok(Arc::new(Served::new(releases, pointer)))).await?;
        let before = self.served.swap(served);
        // To take apart what many files were in takes a while too.
        blocking(move || {
            drop(before);
            Ok(())
        })
        .await
    }

    /// Those of a bucket's releases of which everything is on the shelf.
    pub(super) async fn whole(&self, releases: &[Arc<Manifest>]) -> Result<Vec<Arc<Manifest>>, Error> {
        let mut whole = releases.to_vec();
        if !self.storage.is_remote {
            return Ok(whole);
        }
        let (shelf, served) = (self.shelf.clone(), self.served.load_full());
        blocking(move || {
            whole.retain(|release| served.has(release) || release.blobs().all(|blob| shelf.has(&blob)));
            Ok(whole)
        })
        .await
    }

    /// Copies what a bucket's releases need: the one that is served or an error, the others as far as the bucket has
    /// what they need.
    async fn copy(&self, kept: &Kept) -> Result<(), Error> {
        if !self.storage.is_remote {
            return Ok(());
        }
        let served = self.served.load_full();
        if let Some(current) = kept.current().filter(|current| !served.has(current)) {
            self.until_here(current.blobs().collect()).await?;
        }
        for release in kept.releases.iter().rev() {
            if served.has(release) || kept.is_current(&release.release) {
                continue;
            }
            let copied = self.copy_release(release).await;
            let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
            match copied {
                Ok(()) => _ = left_out.remove(&release.release),
                // It is tried again with each look, and said once.
                Err(error) if left_out.insert(release.release.clone()) => {
                    tracing::warn!(target: "push", store = self.name, release = %release.release, %error, "a release is left out until all of it is in the bucket");
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Copies a release up to the first blob that the bucket has not.
    async fn copy_release(&self, release: &Manifest) -> Result<(), Error> {
        for blob in self.not_here(release.blobs().collect()).await? {
            if !self.storage.fetch(&self.shelf, blob).await? {
                return Err(Error::NotStored(vec![blob]));
            }
        }
        Ok(())
    }

    /// Copies blobs of the bucket to the shelf.
    pub(super) async fn until_here(&self, blobs: Vec<Blob>) -> Result<(), Error> {
        let mut missing = Vec::new();
        for blob in self.not_here(blobs).await? {
            if !self.storage.fetch(&self.shelf, blob).await? {
                missing.push(blob);
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::NotStored(missing)) }
    }

    /// Those of these that are not on the shelf.
    pub(super) async fn not_here(&self, blobs: Vec<Blob>) -> Result<Vec<Blob>, Error> {
        let shelf = self.shelf.clone();
        blocking(move || Ok(blobs.into_iter().filter(|blob| !shelf.has(blob)).collect())).await
    }
}
