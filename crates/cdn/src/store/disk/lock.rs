//! Who uses a folder.

use crate::Error;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A process that was forked while the folder was in use has it too, until it becomes another program.
const FORK_WAIT: Duration = Duration::from_millis(200);

/// Makes sure that nobody else uses a folder, as long as it is there.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the folder its own; "would block" where another has it.
    pub(crate) fn take(folder: &Path) -> Result<Self, Error> {
        let named = |source| Error::Disk { folder: folder.into(), source };
        fs::create_dir_all(folder).map_err(named)?;
        let path = folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(named)?;
        let end = Instant::now() + FORK_WAIT;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if Instant::now() < end => thread::sleep(Duration::from_millis(1)),
                error => return Err(named(error.into())),
            }
        }
        Ok(Self { _file: file })
    }
}
