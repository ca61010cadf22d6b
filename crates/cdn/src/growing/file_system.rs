//! What a file that grows asks of the operating system, step by step: what may fail, or take its time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Who does it. Each step is what the [`Host`] does, unless another says so.
pub(crate) trait FileSystem: Send + Sync {
    /// An empty file that is appended to.
    fn create(&self, path: &Path) -> io::Result<File> {
        File::create(path)?;
        File::options().append(true).open(path)
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// The operating system.
pub(crate) struct Host;

impl FileSystem for Host {}

/// Whether a name leads to a file: of a rename that failed half way, nobody else knows.
pub(super) fn leads_to(path: &Path, file: &File) -> bool {
    let same = || {
        let (named, file) = (fs::metadata(path)?, file.metadata()?);
        Ok::<_, io::Error>((named.dev(), named.ino()) == (file.dev(), file.ino()))
    };
    same().unwrap_or(false)
}
