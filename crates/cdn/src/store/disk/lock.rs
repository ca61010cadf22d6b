//! Who uses a folder.

use crate::Error;
use std::fs::{self, File};
use std::path::Path;

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
        file.try_lock().map_err(|error| named(error.into()))?;
        Ok(Self { _file: file })
    }
}
