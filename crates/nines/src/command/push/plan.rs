//! What is to be pushed: a folder, rewritten where that is wished for, as a draft of a release.

use super::folder::Found;
use crate::cli::PushArgs;
use crate::failure::Failure;
use push::{AssetPath, Draft, DraftEntry, Hash, rewrite};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::SystemTime;

/// A draft, and where the contents of its files come from.
pub(super) struct Plan {
    pub(super) draft: Draft,
    /// By their hashes, so that what two paths have is sent once.
    pub(super) contents: BTreeMap<Hash, Content>,
    /// Which file is referred to by which further name.
    pub(super) map: BTreeMap<AssetPath, AssetPath>,
}

/// One content.
pub(super) struct Content {
    /// A path that has it.
    pub(super) path: AssetPath,
    pub(super) size_bytes: u64,
    bytes: Bytes,
}

enum Bytes {
    File(PathBuf),
    Here(Vec<u8>),
}

impl Plan {
    pub(super) fn new(
        folder: BTreeMap<AssetPath, Found>,
        args: &PushArgs,
        now: SystemTime,
    ) -> Result<Self, Failure> {
        let rewritten =
            if args.rewrite { rewritten(&folder, &args.at)? } else { rewrite::Rewritten::default() };
        let rewrite::Rewritten { map, mut changed } = rewritten;
        let ends = |path: &str| {
            // The longest beginning that is named says when; the release as a whole has none.
            let named =
                args.expire.iter().filter(|(prefix, _)| !prefix.is_empty() && path.starts_with(prefix));
            named.max_by_key(|(prefix, _)| prefix.len()).map(|(_, time)| after(now, *time))
        };
        let mut plan = Self { draft: Draft::default(), contents: BTreeMap::new(), map };
        plan.draft.release = args.release.clone();
        let whole = args.expire.iter().rev().find(|(prefix, _)| prefix.is_empty());
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
    pub(super) fn part(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
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

fn rewritten(folder: &BTreeMap<AssetPath, Found>, at: &str) -> Result<rewrite::Rewritten, Failure> {
    let hashes = folder.iter().map(|(path, found)| (path.clone(), (found.hash, found.size_bytes))).collect();
    rewrite::plan(&hashes, at, |path| match folder.get(path) {
        Some(found) => fs::read(&found.file),
        None => Err(io::ErrorKind::NotFound.into()),
    })
    .map_err(|error| Failure::Failed(format!("cannot rewrite: {error}")))
}

fn after(now: SystemTime, time: notation::Duration) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + time.get();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use std::time::Duration;

    fn plan(files: &[(&str, &str)], typed: &str) -> Plan {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let Ok(folder) = super::super::folder::read(dir.path()) else { panic!("it can be read") };
        let typed = format!("nines push dist assets {typed}");
        let Command::Push(args) = Cli::parse_from(typed.split_whitespace()).command else {
            panic!("{typed}")
        };
        let Ok(plan) = Plan::new(folder, &args, SystemTime::UNIX_EPOCH + Duration::from_secs(1)) else {
            panic!("it can be planned")
        };
        plan
    }

    #[test]
    fn what_two_paths_have_is_sent_once() {
        let plan = plan(&[("a.txt", "same"), ("b.txt", "same")], "");
        assert_eq!((plan.draft.files.len(), plan.contents.len()), (2, 1));
    }

    #[test]
    fn a_path_ends_when_the_longest_beginning_that_is_named_does() {
        let plan = plan(
            &[("a.txt", "a"), ("ab.txt", "b"), ("c.txt", "c")],
            "--expire 10s --expire a=5s --expire ab=2s",
        );
        let ends = |path: &str| plan.draft.files[path].expires_unix_ms;
        assert_eq!(plan.draft.expires_unix_ms, Some(11_000));
        assert_eq!((ends("a.txt"), ends("ab.txt"), ends("c.txt")), (Some(6_000), Some(3_000), None));
    }

    #[test]
    fn a_rewritten_page_is_sent_as_it_has_become() {
        let plan = plan(&[("index.html", "<img src=/x/a.png>"), ("a.png", "png")], "--rewrite --at /x");
        let entry = &plan.draft.files["index.html"];
        let content = &plan.contents[&entry.hash];
        let text = String::from_utf8(content.part(0, 100).unwrap()).unwrap();
        assert_eq!(text, format!("<img src=/x/{}>", plan.map["a.png"]));
        assert_eq!(content.part(5, 4).unwrap(), &text.as_bytes()[5..9]);
    }
}
