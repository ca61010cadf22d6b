//! A text file that is read again when it has changed.

use crate::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// No list is longer: a million networks, one a line.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a file says, as of when it was last read well.
#[derive(Debug)]
pub(crate) struct Followed<T> {
    path: PathBuf,
    /// The file as it was last read, well or not; `None` when it was not there.
    read: Option<Stamp>,
    /// The file as it was at the last look.
    seen: Option<Stamp>,
    says: T,
}

/// What a file's change is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    bytes: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: (found.mtime(), found.mtime_nsec()),
            bytes: found.len(),
            inode: (found.dev(), found.ino()),
        })
    }
}

impl<T> Followed<T> {
    /// Reads it for the first time.
    pub(crate) fn open(
        path: PathBuf,
        parse: impl Fn(&Path, &str) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        // Before it is read: what changes meanwhile is read again.
        let stamp = Stamp::of(&path);
        let says = parse(&path, &text_of(&path)?)?;
        Ok(Self { path, read: stamp, seen: stamp, says })
    }

    /// Reads it again once it has changed and then stayed the same from one call to the next: a list that is being
    /// written has a beginning that reads well, and is not all of it. Says whether it says something new. What
    /// cannot be read changes nothing, and is told once.
    pub(crate) fn refresh(&mut self, parse: impl Fn(&Path, &str) -> Result<T, Error>) -> Result<bool, Error> {
        let stamp = Stamp::of(&self.path);
        let is_settled = stamp == std::mem::replace(&mut self.seen, stamp);
        if stamp == self.read || !is_settled {
            return Ok(false);
        }
        self.read = stamp;
        self.says = parse(&self.path, &text_of(&self.path)?)?;
        Ok(true)
    }

    pub(crate) fn says(&self) -> &T {
        &self.says
    }
}

fn text_of(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLong { path: path.to_owned(), max_bytes: FILE_BYTES_MAX });
    }
    String::from_utf8(bytes).map_err(|_| Error::NotText { path: path.to_owned() })
}

/// The lines of a file that say something, counted from 1: neither blank nor, by a `#`, a comment.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let numbered = (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines());
    numbered
        .map(|(number, line)| (number, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
