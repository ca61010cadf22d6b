//! What is to be pushed: a folder, rewritten where that is wished for, as a draft of a release.

use super::found::Found;
use crate::error::Error;
use crate::hash::Hash;
use crate::manifest::{Draft, DraftEntry, ReleaseName};
use crate::path::AssetPath;
use crate::rewrite;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::SystemTime;

/// What a folder is to become.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The release's name.
    pub release: Option<ReleaseName>,
    /// Point references to fingerprinted names, where the release is served at this path of the URL: `/assets/`.
    pub rewrite_at: Option<String>,
    /// When what begins with a path ends, from now on; with nothing to begin with the whole release.
    pub expire: Vec<(String, notation::Duration)>,
}

/// A draft, and where the contents of its files come from.
#[derive(Debug)]
pub struct Plan {
    /// The release as it is wanted.
    pub draft: Draft,
    /// By their hashes, so that what two paths have is sent once.
    pub contents: BTreeMap<Hash, Content>,
    /// Which file is referred to by which further name.
    pub map: BTreeMap<AssetPath, AssetPath>,
}

/// One content.
#[derive(Debug)]
pub struct Content {
    /// A path that has it.
    pub path: AssetPath,
    /// How long it is.
    pub size_bytes: u64,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    File(PathBuf),
    Here(Vec<u8>),
}

impl Plan {
    /// The plan for the files of a folder.
    ///
    /// # Errors
    /// A page or a style sheet cannot be read.
    pub fn new(folder: BTreeMap<AssetPath, Found>, wishes: &Wishes, now: SystemTime) -> Result<Self, Error> {
        let rewritten = match &wishes.rewrite_at {
            Some(at) => rewritten(&folder, at)?,
            None => rewrite::Rewritten::default(),
        };
        let rewrite::Rewritten { map, mut changed } = rewritten;
        let ends = |path: &str| {
            // The longest beginning that is named says when; the release as a whole has none.
            let named =
                wishes.expire.iter().filter(|(prefix, _)| !prefix.is_empty() && path.starts_with(prefix));
            named.max_by_key(|(prefix, _)| prefix.len()).map(|(_, time)| after(now, *time))
        };
        let mut plan = Self { draft: Draft::default(), contents: BTreeMap::new(), map };
        plan.draft.release = wishes.release.clone();
        let whole = wishes.expire.iter().rev().find(|(prefix, _)| prefix.is_empty());
        plan.draft.expires_unix_ms = whole.map(|(_, time)| after(now, *time));
        for (path, found) in folder {
            let (hash, size_bytes, bytes) = match changed.remove(&path) {
                Some(new) => (Hash::of(&new), new.len() as u64, Bytes::Here(new)),
                None => (found.hash, found.size_bytes, Bytes::File(found.file)),
            };
            let expires_unix_ms = ends(path.as_str());
            plan.contents.entry(hash).or_insert_with(|| Content { path: path.clone(), size_bytes, bytes });
            let entry = DraftEntry { hash, size_bytes, media_type: None, expires_unix_ms };
            plan.draft.files.insert(path, entry);
        }
        Ok(plan)
    }
}

impl Content {
    /// A part of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn part(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        match &self.bytes {
            Bytes::Here(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes[from..bytes.len().min(from + bytes_max)].to_vec())
            }
            Bytes::File(path) => {
                let (mut file, mut part) = (File::open(path)?, Vec::new());
                file.seek(SeekFrom::Start(offset))?;
                file.take(bytes_max as u64).read_to_end(&mut part)?;
                Ok(part)
            }
        }
    }
}

fn rewritten(folder: &BTreeMap<AssetPath, Found>, at: &str) -> Result<rewrite::Rewritten, Error> {
    let hashes = folder.iter().map(|(path, found)| (path.clone(), (found.hash, found.size_bytes))).collect();
    let mut failed = PathBuf::new();
    rewrite::plan(&hashes, at, |path| {
        let file = folder.get(path).map(|found| found.file.clone()).unwrap_or_default();
        fs::read(&file).inspect_err(|_| failed = file)
    })
    .map_err(|source| Error::Disk { path: failed, source })
}

fn after(now: SystemTime, time: notation::Duration) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + time.get();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn plan(files: &[(&str, &str)], wishes: &Wishes) -> Plan {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let folder = super::super::read(dir.path()).unwrap();
        Plan::new(folder, wishes, SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn what_two_paths_have_is_sent_once() {
        let plan = plan(&[("a.txt", "same"), ("b.txt", "same")], &Wishes::default());
        assert_eq!((plan.draft.files.len(), plan.contents.len()), (2, 1));
    }

    #[test]
    fn a_path_ends_when_the_longest_beginning_that_is_named_does() {
        let expire = [("", 10), ("a", 5), ("ab", 2)];
        let expire = expire.map(|(path, secs)| (path.to_owned(), notation::Duration::secs(secs)));
        let wishes = Wishes { expire: expire.into(), ..Wishes::default() };
        let plan = plan(&[("a.txt", "a"), ("ab.txt", "b"), ("c.txt", "c")], &wishes);
        let ends = |path: &str| plan.draft.files[path].expires_unix_ms;
        assert_eq!(plan.draft.expires_unix_ms, Some(11_000));
        assert_eq!((ends("a.txt"), ends("ab.txt"), ends("c.txt")), (Some(6_000), Some(3_000), None));
    }

    #[test]
    fn a_rewritten_page_is_sent_as_it_has_become() {
        let wishes = Wishes { rewrite_at: Some("/x/".into()), ..Wishes::default() };
        let plan = plan(&[("index.html", "<img src=/x/a.png>"), ("a.png", "png")], &wishes);
        let entry = &plan.draft.files["index.html"];
        let content = &plan.contents[&entry.hash];
        let text = String::from_utf8(content.part(0, 100).unwrap()).unwrap();
        assert_eq!(text, format!("<img src=/x/{}>", plan.map["a.png"]));
        assert_eq!(content.part(5, 4).unwrap(), &text.as_bytes()[5..9]);
    }
}
