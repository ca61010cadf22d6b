//! A file that grows by records, and is written anew now and then while others append to it.
//!
//! Whoever writes it anew notes first what is appended from then on, and writes the new file beside the old one; then what was noted, and from there on
//! whoever appends writes to both, until the name leads to the new one. So nobody who appends waits for the disk, and at each step all that was
//! appended is in the file that the name leads to, also if the process is killed; what was synced, also if the machine loses power.

mod file_system;
#[cfg(test)]
pub(crate) mod staged;
#[cfg(test)]
mod tests;

pub(crate) use file_system::{FileSystem, Host};

use std::fs::{self, File};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// It is written anew only if it is longer than this.
const REWRITE_BYTES_MIN: u64 = 256 << 10;
/// What is noted while the new file is written. Where more comes, that one is given up.
const NOTED_BYTES_MAX: usize = 16 << 20;

/// A file that grows.
pub(crate) struct Growing {
    file_system: Arc<dyn FileSystem>,
    path: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    file: Arc<File>,
    bytes: u64,
    /// Its length when it was written anew last, or opened.
    rewritten_bytes: u64,
    state: State,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// The disk has failed. An error of fsync is told once, and what of the file is on the disk is not known: it goes on, but is not synced any more.
    Unsure,
    /// A write has failed, and how much of it is in the file is not known: nothing can follow.
    Torn,
}

/// The file that will take its place.
enum Next {
    None,
    /// It is being written. This was appended since.
    Noted(Vec<u8>),
    /// What is appended goes there as well.
    Both {
        file: Arc<File>,
        bytes: u64,
        is_torn: bool,
    },
    /// It cannot be finished.
    Lost,
}

impl Growing {
    /// Goes on with a file of which `bytes` can be read; where there is more, it is to be written anew first.
    pub(crate) fn open(file_system: Arc<dyn FileSystem>, path: &Path, bytes: u64) -> io::Result<Self> {
        let file = Arc::new(File::options().create(true).append(true).open(path)?);
        let inner = Inner { file, bytes, rewritten_bytes: bytes, state: State::Whole, next: Next::None };
        Ok(Self { file_system, path: path.into(), inner: Mutex::new(inner) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends, without waiting for the disk. Where this fails, what takes the file's place may have it all the same.
    pub(crate) fn append(&self, records: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.take_along(records, &*self.file_system);
        if inner.state == State::Torn {
            return Err(failed_before());
        }
        if let Err(error) = self.file_system.write(&inner.file, records) {
            inner.state = State::Torn;
            return Err(error);
        }
        inner.bytes += records.len() as u64;
        Ok(())
    }

    /// Waits until all is on the disk that was appended. Once it has failed, it fails until the file is written anew.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = {
            let inner = self.inner();
            if inner.state != State::Whole {
                return Err(failed_before());
            }
            Arc::clone(&inner.file)
        };
        self.file_system.sync(&file).inspect_err(|_| {
            let mut inner = self.inner();
            if inner.state == State::Whole {
                inner.state = State::Unsure;
            }
        })
    }

    /// Whether a write or a sync has failed, and it was not written anew since.
    pub(crate) fn is_broken(&self) -> bool {
        self.inner().state != State::Whole
    }

    /// Whether it is to be written anew: it is broken, or has doubled.
    pub(crate) fn is_due(&self) -> bool {
        let inner = self.inner();
        inner.state != State::Whole || inner.bytes > REWRITE_BYTES_MIN.max(2 * inner.rewritten_bytes)
    }

    /// Puts a new file in place of the old one, on the disk by the time that this returns. `all` says what is in it: all that was appended before
    /// it is called. Where this fails, the old one stays in use. By one at a time.
    pub(crate) fn rewrite(&self, all: impl FnOnce() -> Vec<u8>) -> io::Result<()> {
        self.inner().next = Next::Noted(Vec::new());
        let new = self.path.with_extension("new");
        let rewritten = self.write_anew(&new, &all());
        self.inner().next = Next::None;
        if rewritten.is_err() {
            // It takes room, which may be what is missing.
            let _ = fs::remove_file(new);
        }
        rewritten
    }

    fn write_anew(&self, new: &Path, all: &[u8]) -> io::Result<()> {
        let file = Arc::new(self.file_system.create(new)?);
        self.file_system.write(&file, all)?;
        // First without what was noted, so that little is left to write while others wait.
        self.file_system.sync(&file)?;
        self.inner().lead_to_both(&file, all.len() as u64, &*self.file_system)?;
        self.file_system.sync(&file)?;
        if self.inner().is_next_torn() {
            return Err(failed_before());
        }
        let renamed = self.file_system.rename(new, &self.path);
        if renamed.is_err() && !file_system::leads_to(&self.path, &file) {
            return renamed;
        }
        let placed = renamed.and_then(|()| self.file_system.sync_folder_of(&self.path));
        self.inner().go_on_with_next(placed.is_ok())?;
        placed
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take_along(&mut self, records: &[u8], file_system: &dyn FileSystem) {
        match &mut self.next {
            Next::Noted(noted) if noted.len() + records.len() <= NOTED_BYTES_MAX => {
                noted.extend_from_slice(records);
            }
            Next::Noted(_) => self.next = Next::Lost,
            Next::Both { file, bytes, is_torn: is_torn @ false } => {
                *is_torn = file_system.write(file, records).is_err();
                *bytes += records.len() as u64;
            }
            Next::Both { .. } | Next::None | Next::Lost => {}
        }
    }

    fn lead_to_both(&mut self, file: &Arc<File>, bytes: u64, file_system: &dyn FileSystem) -> io::Result<()> {
        let Next::Noted(noted) = mem::replace(&mut self.next, Next::Lost) else {
            return Err(io::Error::other("more came meanwhile than can be noted"));
        };
        file_system.write(file, &noted)?;
        let bytes = bytes + noted.len() as u64;
        self.next = Next::Both { file: Arc::clone(file), bytes, is_torn: false };
        Ok(())
    }

    fn is_next_torn(&self) -> bool {
        !matches!(self.next, Next::Both { is_torn: false, .. })
    }

    /// The name leads to the new one. `is_sure`: it will, also after the machine loses power.
    fn go_on_with_next(&mut self, is_sure: bool) -> io::Result<()> {
        let Next::Both { file, bytes, is_torn } = mem::replace(&mut self.next, Next::None) else {
            return Err(failed_before());
        };
        (self.file, self.bytes, self.rewritten_bytes) = (file, bytes, bytes);
        self.state = match (is_torn, is_sure) {
            (true, _) => State::Torn,
            (false, true) => State::Whole,
            (false, false) => State::Unsure,
        };
        if is_torn { Err(failed_before()) } else { Ok(()) }
    }
}

fn failed_before() -> io::Error {
    io::Error::other("an earlier write has failed")
}
