//! Opening names for one request.

use crate::folder::{Entry, Failure, Folder, FoundFile, Patience};
use crate::recent::Recent;
use std::time::SystemTime;

/// A folder as one request looks into it.
pub(crate) struct Opener<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) patience: Patience,
    /// What was opened a moment ago.
    pub(crate) recent: Option<&'a Recent>,
    pub(crate) now: SystemTime,
}

impl Opener<'_> {
    /// The file or folder of this name, which is relative; empty is the folder itself.
    pub(crate) fn entry(&self, name: &[u8]) -> Result<Entry, Failure> {
        let open = || self.folder.entry(name, self.patience);
        match self.recent {
            Some(recent) => recent.entry(self.folder, name, self.now, open),
            None => open(),
        }
    }

    /// The file of this name; a folder is [`Failure::Missing`].
    pub(crate) fn file(&self, name: &[u8]) -> Result<FoundFile, Failure> {
        match self.entry(name)? {
            Entry::File(found) => Ok(found),
            Entry::Folder(_) => Err(Failure::Missing),
        }
    }
}
