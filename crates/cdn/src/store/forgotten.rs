//! What is on the disk misses purges: files beside its folder say so, and whoever opens it next begins with nothing.

use crate::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// For whoever opens the folder next.
const FOR_GOOD: &str = "forgotten";
/// Until the process that takes over has the folder, and has written there what was purged meanwhile.
const HANDED_OVER: &str = "handed-over";

/// Has whoever uses the folder next begin with nothing. Nothing of it is removed now: another process may still use it.
pub fn forget_later(folder: &Path) -> Result<(), Error> {
    if !folder.exists() {
        return Ok(());
    }
    mark(folder, FOR_GOOD)
}

/// The same, unless the process that takes over opens it: that one knows what was purged meanwhile.
pub(crate) fn hand_over(folder: &Path) -> Result<(), Error> {
    mark(folder, HANDED_OVER)
}

/// Whoever has the folder has written all purges there.
pub(crate) fn taken_over(folder: &Path) -> Result<(), Error> {
    unmark(folder, HANDED_OVER)
}

/// Whether a start begins with nothing.
pub(crate) fn is_forgotten(folder: &Path) -> bool {
    is_forgotten_for_good(folder) || path(folder, HANDED_OVER).exists()
}

/// Whether the process that takes over begins with nothing, too.
pub(crate) fn is_forgotten_for_good(folder: &Path) -> bool {
    path(folder, FOR_GOOD).exists()
}

/// Nothing is there any more that misses anything.
pub(crate) fn is_empty_now(folder: &Path) -> Result<(), Error> {
    unmark(folder, FOR_GOOD)?;
    unmark(folder, HANDED_OVER)
}

fn path(folder: &Path, what: &str) -> PathBuf {
    folder.with_extension(what)
}

/// On the disk by the time that this returns.
fn mark(folder: &Path, what: &str) -> Result<(), Error> {
    let written = || -> io::Result<()> {
        File::create(path(folder, what))?.sync_all()?;
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    written().map_err(|source| Error::Disk { folder: folder.into(), source })
}

fn unmark(folder: &Path, what: &str) -> Result<(), Error> {
    match fs::remove_file(path(folder, what)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Disk { folder: folder.into(), source })
        }
        _ => Ok(()),
    }
}
