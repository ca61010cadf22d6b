//! Files that are replaced whole or not at all.

use crate::Error;
use rand::RngExt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The largest file of a store.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What a file is called while it is written, before a random text.
const TEMPORARY: &str = ".nines-";

/// A temporary file this old was left by a process that was killed.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(3600);

/// Makes a folder that only its owner may look into, and those above it.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::store(path))
}

/// The file's text; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::store(path)(error)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(Error::store(path))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::content(path, format!("is above the limit of {FILE_BYTES_MAX} bytes")));
    }
    Ok(Some(text))
}

/// Puts `text` where the file was; whoever reads sees the old one or the new one. Only the owner may read it.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = write_beside(path, text)?;
    fs::rename(&temporary, path)
        .and_then(|()| flush_folder_of(path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .map_err(Error::store(path))
}

/// Puts the file there if there is none, and says whether it did. As safe on NFS as a link is.
pub(super) fn create(path: &Path, text: &str) -> Result<bool, Error> {
    let temporary = write_beside(path, text)?;
    let linked = fs::hard_link(&temporary, path);
    drop(fs::remove_file(&temporary));
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::store(path)(error)),
    }
}

/// Takes the file away, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::store(path)(error)),
        _ => Ok(()),
    }
}

/// Renames a file of a folder into its final place, for good.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).and_then(|()| flush_folder_of(to)).map_err(Error::store(to))
}

/// Takes away what processes that were killed have left half written.
pub(super) fn sweep(folder: &Path, now: SystemTime) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::store(folder))? {
        let entry = entry.map_err(Error::store(folder))?;
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let written = entry.metadata().and_then(|data| data.modified());
        let is_old = written.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > TEMPORARY_AGE_MAX));
        if is_temporary && is_old {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// A text that no other call returns.
pub(super) fn random_text() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

fn write_beside(path: &Path, text: &str) -> Result<PathBuf, Error> {
    let temporary = folder_of(path).join(format!("{TEMPORARY}{}", random_text()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).map_err(Error::store(path))?;
    Ok(temporary)
}

fn flush_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_the_first_creates() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(create(&path, "one").unwrap());
        assert!(!create(&path, "two").unwrap());
        assert_eq!(read(&path).unwrap().as_deref(), Some("one"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_above_the_limit_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, vec![b'a'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(read(&path), Err(Error::Content { .. })));
    }

    #[test]
    fn what_a_killed_process_left_goes_after_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let left = write_beside(&dir.path().join("a"), "half").unwrap();
        replace(&dir.path().join("b"), "whole").unwrap();
        sweep(dir.path(), SystemTime::now()).unwrap();
        assert!(left.exists());
        sweep(dir.path(), SystemTime::now() + TEMPORARY_AGE_MAX * 2).unwrap();
        assert!(!left.exists());
        assert!(dir.path().join("b").exists());
    }
}
