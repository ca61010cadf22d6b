//! What is loaded from files, and loaded again when one of them changes.

use crate::error::Error;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// No certificate, key or list of authorities is longer: the list of all public ones has a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A `T` that was loaded from files; whoever reads it takes no lock.
pub(crate) struct Watched<T> {
    live: ArcSwap<T>,
    state: Mutex<State>,
    load: Box<Load<T>>,
}

type Load<T> = dyn Fn(&mut Files) -> Result<T, Error> + Send + Sync;

struct State {
    seen: Stamps,
    /// Why the files as they were last seen could not be loaded, until it is told.
    untold: Option<Error>,
    /// What was told of loading the same files once more.
    told: Option<String>,
}

/// What a file's change is told by; `None` for a file that is not there.
type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    bytes: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found: Metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: (found.mtime(), found.mtime_nsec()),
            bytes: found.len(),
            inode: (found.dev(), found.ino()),
        })
    }
}

/// Reads files, and notes which.
#[derive(Default)]
pub(crate) struct Files(Stamps);

impl Files {
    /// The bytes of a file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<u8>, Error> {
        // Before it is read: what changes meanwhile is read again.
        self.0.insert(path.to_owned(), Stamp::of(path));
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(Error::io(path))?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Error::TooLong { path: path.to_owned(), max_bytes: FILE_BYTES_MAX });
        }
        Ok(bytes)
    }
}

impl<T> Watched<T> {
    /// Loads it for the first time.
    pub(crate) fn new(
        load: impl Fn(&mut Files) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let mut files = Files::default();
        let live = load(&mut files)?;
        Ok(Self {
            live: ArcSwap::from_pointee(live),
            state: Mutex::new(State { seen: files.0, untold: None, told: None }),
            load: Box::new(load),
        })
    }

    /// What was loaded last.
    pub(crate) fn get(&self) -> arc_swap::Guard<Arc<T>> {
        self.live.load()
    }

    /// Loads it again if a file has changed, or when `anyway`; says whether it is another now. What cannot be
    /// loaded changes nothing, and is told once: not before the next call, because whoever replaces a
    /// certificate and then its key may be between the two.
    pub(crate) fn refresh(&self, anyway: bool) -> Result<bool, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = state.seen.iter().all(|(path, stamp)| Stamp::of(path) == *stamp);
        if is_same && !anyway {
            return state.untold.take().map_or(Ok(false), Err);
        }
        let mut files = Files::default();
        let loaded = (self.load)(&mut files);
        state.seen.extend(files.0);
        match loaded {
            Ok(new) => {
                self.live.store(Arc::new(new));
                (state.untold, state.told) = (None, None);
                Ok(true)
            }
            Err(error) if is_same => {
                let said = Some(error.to_string());
                if state.told == said {
                    return Ok(false);
                }
                state.told = said;
                Err(error)
            }
            Err(error) => {
                state.untold = Some(error);
                Ok(false)
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("live", &self.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(path: PathBuf) -> Result<Watched<u32>, Error> {
        Watched::new(move |files| {
            let text = String::from_utf8(files.read(&path)?).unwrap();
            text.parse().map_err(|_| Error::Nothing { path: path.clone(), what: "number" })
        })
    }

    #[test]
    fn it_is_loaded_again_when_its_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        std::fs::write(&path, "7").unwrap();
        let watched = number(path.clone()).unwrap();
        assert!(!watched.refresh(false).unwrap(), "nothing has changed");
        std::fs::write(&path, "11").unwrap();
        assert!(watched.refresh(false).unwrap());
        assert_eq!(**watched.get(), 11);
        assert!(watched.refresh(true).unwrap(), "when it is told to");
    }

    #[test]
    fn a_broken_file_changes_nothing_and_is_told_once_it_stays_broken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        std::fs::write(&path, "7").unwrap();
        let watched = number(path.clone()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!watched.refresh(false).unwrap(), "it may be about to come back");
        let told = watched.refresh(false).unwrap_err().to_string();
        assert!(told.starts_with(&path.display().to_string()), "{told}");
        assert!(!watched.refresh(false).unwrap(), "told once");
        assert_eq!(**watched.get(), 7);
        std::fs::write(&path, "eleven").unwrap();
        assert!(!watched.refresh(false).unwrap());
        std::fs::write(&path, "12").unwrap();
        assert!(watched.refresh(false).unwrap(), "repaired before anybody was told");
        assert_eq!(**watched.get(), 12);
    }

    #[test]
    fn what_fails_with_the_same_files_is_told_once_until_it_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        std::fs::write(&path, "7").unwrap();
        let refuses = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let watched = Watched::new({
            let (path, refuses) = (path.clone(), Arc::clone(&refuses));
            move |files| match refuses.load(std::sync::atomic::Ordering::Relaxed) {
                false => files.read(&path),
                true => Err(Error::Nothing { path: path.clone(), what: "patience" }),
            }
        })
        .unwrap();
        for _ in 0..2 {
            refuses.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(watched.refresh(true).is_err());
            assert!(!watched.refresh(true).unwrap(), "told once");
            refuses.store(false, std::sync::atomic::Ordering::Relaxed);
            assert!(watched.refresh(true).unwrap());
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        assert!(matches!(number("/dev/zero".into()), Err(Error::TooLong { .. })));
    }
}
