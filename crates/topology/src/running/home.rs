//! The data folder: who owns it, and what is kept in it.

use super::StartError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The data folder of a node. One process owns it at a time, by a lock on `nines.lock`, which holds the
/// owner's process number; the lock goes with its process, however that ends.
pub(super) struct Home {
    dir: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Home {
    /// Makes the folder if there is none, for its owner alone.
    pub(super) fn open(dir: PathBuf) -> Result<Self, StartError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|source| StartError::Data { path: dir.clone(), source })?;
        Ok(Self { dir, lock: Mutex::default() })
    }

    /// The socket over which a new process takes over.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("nines.sock")
    }

    /// Takes the lock, or says who has it.
    pub(super) fn lock(&self) -> Result<(), StartError> {
        let path = self.dir.join("nines.lock");
        let failed = |source| StartError::Data { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::Locked { data: self.dir.clone(), pid: pid_in(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        *self.held() = Some(file);
        Ok(())
    }

    /// Gives the lock to whoever wants it next.
    pub(super) fn unlock(&self) {
        self.held().take();
    }

    /// What sticky cookies are made with where nodes share no secret: made once, so that cookies outlive restarts.
    pub(super) fn sticky_secret(&self) -> Result<[u8; 16], StartError> {
        let path = self.dir.join("sticky.key");
        read_or_make_secret(&path).map_err(|source| StartError::Data { path, source })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pid_in(file: &mut File) -> Option<u32> {
    const PID_BYTES_MAX: u64 = 32;
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn read_or_make_secret(path: &Path) -> io::Result<[u8; 16]> {
    match fs::read(path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(secret) => return Ok(secret),
            // A crash while it was first written; the cost is one more choice of endpoint for each client.
            Err(_) => fs::remove_file(path)?,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret: [u8; 16] = rand::random();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    Ok(secret)
}
