//! A folder that the file names, taken in by the store itself: what `nines push` would send.

use super::{Content, Plan, Wishes, read};
use crate::config::FromConfig;
use crate::difference::Difference;
use crate::error::Error;
use crate::manifest::{Blob, Draft, Manifest};
use crate::store::{Assets, Missing, PART_BYTES_MAX, Uploaded, blocking};
use files::MediaType;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::time::SystemTime;

/// Files that are taken in at once.
const FILES_AT_ONCE: usize = 8;

impl Assets {
    /// Takes in what the folder of `from` has, and returns the release that is to be made of it. `None`: there is no such
    /// folder, or the newest release is the same. A release that was gone back from stays the newest, so that going
    /// back lasts until the folder changes.
    ///
    /// # Errors
    /// The folder is none that could be pushed, or changes meanwhile; what it has is too much, or cannot be stored.
    pub async fn take_in(&self, now: SystemTime) -> Result<Option<Draft>, Error> {
        let Some(from) = self.config().from.as_ref().map(FromConfig::of) else { return Ok(None) };
        let taken = self.take_in_from(from, now).await;
        taken.map_err(|cause| Error::From { store: self.name().to_owned(), cause: Box::new(cause) })
    }

    async fn take_in_from(&self, from: FromConfig, now: SystemTime) -> Result<Option<Draft>, Error> {
        let wishes = Wishes { rewrite_at: from.rewrite.map(|at| at.to_string()), ..Wishes::default() };
        let dir = self.beside_the_file(&from.dir);
        let plan = blocking(move || Plan::new(read(&dir)?, &wishes, now)).await?;
        if self.newest().is_some_and(|newest| is_same(&newest, &plan.draft)) {
            return Ok(None);
        }
        let Plan { draft, mut contents, .. } = plan;
        let blobs =
            contents.iter().map(|(hash, content)| Blob { hash: *hash, size_bytes: content.size_bytes });
        let missing = self.missing(blobs.collect(), now).await?;
        let mut content = |missing: Missing| Some((missing, Arc::new(contents.remove(&missing.hash)?)));
        let wanted: Vec<(Missing, Arc<Content>)> = missing.into_iter().filter_map(&mut content).collect();
        stream::iter(wanted)
            .map(|(missing, content)| self.take(missing, content))
            .buffer_unordered(FILES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(Some(draft))
    }

    /// Takes one content in, from where an earlier upload of it ended.
    async fn take(&self, missing: Missing, content: Arc<Content>) -> Result<(), Error> {
        let blob = Blob { hash: missing.hash, size_bytes: content.size_bytes };
        let media_type = MediaType::of_name(content.path.as_str().as_bytes()).to_string();
        let mut offset = missing.offset;
        loop {
            let from = Arc::clone(&content);
            let part =
                blocking(move || from.part(offset, PART_BYTES_MAX).map_err(Error::disk(from.path.as_str())));
            let part = part.await?;
            let sent = part.len() as u64;
            if sent == 0 && offset < content.size_bytes {
                return Err(Error::Changed(content.path.clone()));
            }
            match self.upload(blob, offset, Some(&media_type), part.into()).await {
                Ok(Uploaded::Whole) => return Ok(()),
                Ok(Uploaded::Partly(next)) => offset = next,
                Err(Error::WrongHash { .. }) => return Err(Error::Changed(content.path.clone())),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a release has the files of a draft, and as long.
fn is_same(release: &Manifest, draft: &Draft) -> bool {
    let has_end = release.expires_unix_ms.is_some()
        || release.files.values().any(|entry| entry.expires_unix_ms.is_some());
    !has_end && Difference::between(Some(release), draft).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PushConfig;
    use crate::hash::Hash;
    use std::fs;
    use std::path::Path;
    use telemetry::Registry;

    async fn open(dir: &Path, from: &str) -> Arc<Assets> {
        let config: PushConfig = toml::from_str(from).unwrap();
        Assets::open("assets", &config, dir, dir, &Registry::new()).await.unwrap()
    }

    async fn deploy(assets: &Assets) -> Result<Option<String>, Error> {
        let now = SystemTime::now();
        let Some(draft) = assets.take_in(now).await? else { return Ok(None) };
        Ok(Some(assets.release(draft, now).await?.release.to_string()))
    }

    fn text(assets: &Assets, path: &str) -> Option<Hash> {
        assets.manifest(None)?.files.get(path).map(|entry| entry.hash)
    }

    #[tokio::test]
    async fn a_folder_is_pushed_once_and_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let dist = dir.path().join("dist");
        fs::create_dir(&dist).unwrap();
        fs::write(dist.join("app.css"), "a{}").unwrap();
        let assets = open(dir.path(), "from = 'dist'").await;
        assert_eq!(deploy(&assets).await.unwrap().as_deref(), Some("r1"));
        assert_eq!(text(&assets, "app.css"), Some(Hash::of(b"a{}")));
        assert_eq!(deploy(&assets).await.unwrap(), None, "it is the same");
        fs::write(dist.join("app.css"), "b{}").unwrap();
        assert_eq!(deploy(&assets).await.unwrap().as_deref(), Some("r2"));
        assert_eq!(text(&assets, "app.css"), Some(Hash::of(b"b{}")));
        assets.roll_back(None, SystemTime::now()).await.unwrap();
        assert_eq!(deploy(&assets).await.unwrap(), None, "going back lasts");
        assert_eq!(text(&assets, "app.css"), Some(Hash::of(b"a{}")));
    }

    #[tokio::test]
    async fn style_sheets_are_rewritten_where_that_is_wished_for() {
        let dir = tempfile::tempdir().unwrap();
        let dist = dir.path().join("dist");
        fs::create_dir(&dist).unwrap();
        fs::write(dist.join("app.css"), "a{b:url(/assets/i.svg)}").unwrap();
        fs::write(dist.join("i.svg"), "<svg/>").unwrap();
        let assets = open(dir.path(), "from = { dir = 'dist', rewrite = '/assets/' }").await;
        deploy(&assets).await.unwrap();
        let name = crate::fingerprinted(&"i.svg".parse().unwrap(), &Hash::of(b"<svg/>")).unwrap();
        let rewritten = format!("a{{b:url(/assets/{name})}}");
        assert_eq!(text(&assets, "app.css"), Some(Hash::of(rewritten.as_bytes())));
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_or_has_nothing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dist = dir.path().join("dist");
        let assets = open(dir.path(), "from = 'dist'").await;
        let error = deploy(&assets).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("push assets: {}: No such file", dist.display())), "{error}");
        fs::create_dir(&dist).unwrap();
        let error = deploy(&assets).await.unwrap_err().to_string();
        assert_eq!(error, format!("push assets: {}: it has no files", dist.display()));
        assert!(assets.manifest(None).is_none());
    }

    #[tokio::test]
    async fn a_store_without_a_folder_takes_nothing_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(deploy(&*open(dir.path(), "").await).await.unwrap(), None);
    }
}
