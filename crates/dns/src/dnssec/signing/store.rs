//! A zone's keys and what is known of them, in a folder: files are replaced whole (written beside, flushed, renamed), so that whoever
//! is killed leaves the old ones or the new ones.

use super::bind;
use super::key::Key;
use super::rollover::{KeyState, KeyTimes};
use crate::error::Error;
use crate::protocol::Name;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Held while any of it is changed.
const LOCK: &str = "lock";
/// What is known of keys and of what was served.
const STATE: &str = "state.toml";
const STATE_NOTE: &str =
    "# What nines knows of the keys beside this file, and the serial number that was served last.\n";
/// A larger file is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// More keys are a mistake.
const KEYS_MAX: usize = 32;

/// A key of a zone, and what it does.
#[derive(Debug, Clone)]
pub(crate) struct HeldKey {
    pub(crate) key: Arc<Key>,
    /// Its files, without their endings.
    pub(crate) stem: String,
    pub(crate) state: KeyState,
    /// Since when, in seconds since 1970.
    pub(crate) since: u64,
    /// If it is submitted, and the zone above points to it: from when on nobody remembers that it did not.
    pub(crate) trusted: Option<u64>,
}

/// All keys of a zone, and the serial number that was served last.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) keys: Vec<HeldKey>,
    pub(crate) serial: Option<u32>,
    /// The files of keys that went, without their endings.
    pub(crate) gone: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StateFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    file: String,
    state: KeyState,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted: Option<u64>,
}

impl HeldKey {
    pub(crate) fn times(&self) -> KeyTimes {
        KeyTimes {
            is_entry: self.key.is_entry(),
            state: self.state,
            since: self.since,
            trusted: self.trusted,
        }
    }
}

/// The folder of a zone's keys.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) folder: PathBuf,
    apex: Name,
}

impl Store {
    /// That of a zone, below the folder of all zones'.
    pub(crate) fn new(folder: &Path, apex: &Name) -> Self {
        let name = bind::file_name(apex);
        // The root's would be this folder itself.
        let name = if apex.labels() == 0 { "root" } else { name.trim_end_matches('.') };
        Self { folder: folder.join(name), apex: apex.clone() }
    }

    /// Lets no other process change anything until it is dropped: while one takes over from another, both sign.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let path = self.folder.join(LOCK);
        let locked = self.make_folder().and_then(|()| {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|error| fault(&path, &error.to_string()))
    }

    fn make_folder(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    /// Reads what is there. Keys that were put there by somebody else sign from now on.
    pub(crate) fn read(&self, now: u64) -> Result<State, Error> {
        let path = self.folder.join(STATE);
        let text = self.text(&path)?;
        let file: StateFile = match &text {
            Some(text) => toml::from_str(text).map_err(|error| fault(&path, error.message()))?,
            None => StateFile::default(),
        };
        let mut stems = self.stems()?;
        let mut keys = Vec::new();
        for entry in file.key {
            let Some(found) = stems.iter().position(|stem| *stem == entry.file) else {
                if entry.state == KeyState::Retired {
                    continue;
                }
                // A new key in its place would make the zone bogus for all who trust this one.
                let why = format!(
                    "the files of the key {} are gone: put them back, or, if it is not needed any more, delete its entry here",
                    entry.file
                );
                return Err(fault(&path, &why));
            };
            let stem = stems.swap_remove(found);
            let KeyEntry { state, since, trusted, .. } = entry;
            keys.push(HeldKey { key: self.key(&stem)?, stem, state, since, trusted });
        }
        stems.sort_unstable();
        for stem in stems {
            keys.push(HeldKey {
                key: self.key(&stem)?,
                stem,
                state: KeyState::Active,
                since: now,
                trusted: None,
            });
        }
        Ok(State { keys, serial: file.serial, gone: Vec::new() })
    }

    /// Keeps what is known. The files of keys that went are taken away afterwards.
    pub(crate) fn write(&self, state: &State) -> Result<(), Error> {
        for held in &state.keys {
            let (public, private) = self.paths(&held.stem);
            if !public.exists() {
                let secret = held.key.private().map_err(|_| fault(&private, "the key cannot be written"))?;
                self.replace(&private, &bind::private_text(&held.key, &secret))?;
                self.replace(&public, &bind::public_text(&self.apex, &held.key))?;
            }
        }
        let entry = |held: &HeldKey| KeyEntry {
            file: held.stem.clone(),
            state: held.state,
            since: held.since,
            trusted: held.trusted,
        };
        let file = StateFile { serial: state.serial, key: state.keys.iter().map(entry).collect() };
        let path = self.folder.join(STATE);
        let text = toml::to_string(&file).map_err(|error| fault(&path, &error.to_string()))?;
        self.replace(&path, &format!("{STATE_NOTE}{text}"))?;
        for stem in &state.gone {
            let (public, private) = self.paths(stem);
            for path in [public, private] {
                fs::remove_file(&path).map_err(|error| fault(&path, &error.to_string()))?;
            }
        }
        Ok(())
    }

    fn key(&self, stem: &str) -> Result<Arc<Key>, Error> {
        let (public, private) = self.paths(stem);
        let read = |path: &Path| {
            self.text(path)?.ok_or_else(|| fault(path, "a key has two files, and this one is missing"))
        };
        let key =
            bind::key(&self.apex, &read(&public)?, &read(&private)?).map_err(|why| fault(&public, &why))?;
        Ok(Arc::new(key))
    }

    fn paths(&self, stem: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{stem}.key")), self.folder.join(format!("{stem}.private")))
    }

    /// What keys there are. One without a `.key` was never used: that is written last.
    fn stems(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fault(&self.folder, &error.to_string())),
        };
        let mut stems = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| fault(&self.folder, &error.to_string()))?;
            let name = entry.file_name();
            if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".key"))
                && stem.starts_with('K')
            {
                stems.push(stem.to_owned());
            }
            if stems.len() > KEYS_MAX {
                return Err(fault(&self.folder, &format!("there are more than {KEYS_MAX} keys")));
            }
        }
        Ok(stems)
    }

    /// The text of a file; `None` if there is none.
    fn text(&self, path: &Path) -> Result<Option<String>, Error> {
        let length = match fs::metadata(path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(path, &error.to_string())),
        };
        if length > FILE_BYTES_MAX {
            return Err(fault(path, &format!("it has {length} bytes (max {FILE_BYTES_MAX})")));
        }
        fs::read_to_string(path).map(Some).map_err(|error| fault(path, &error.to_string()))
    }

    /// Puts a text where the file was, for its owner alone.
    fn replace(&self, path: &Path, text: &str) -> Result<(), Error> {
        // Two processes may write at once while one takes over from the other.
        let temporary = path.with_extension(format!("{}.next", std::process::id()));
        let written = self.make_folder().and_then(|()| {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(&self.folder)?.sync_all()
        });
        written.map_err(|error| fault(path, &error.to_string()))
    }
}

fn fault(path: &Path, why: &str) -> Error {
    Error::Keys { path: path.to_owned(), why: why.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::config::Algorithm;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn held(store: &Store, is_entry: bool) -> HeldKey {
        let key = Arc::new(Key::generate(Algorithm::Ed25519, is_entry).unwrap());
        HeldKey { stem: bind::stem(&store.apex, &key), key, state: KeyState::Active, since: 7, trusted: None }
    }

    #[test]
    fn what_is_written_is_read_again_and_only_its_owner_can() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), &"shop.test".parse().unwrap());
        assert_eq!(store.read(1).unwrap().keys.len(), 0);
        let mut state =
            State { keys: vec![held(&store, true), held(&store, false)], serial: Some(9), gone: Vec::new() };
        state.keys[1].state = KeyState::Retired;
        store.write(&state).unwrap();
        let read = store.read(100).unwrap();
        assert_eq!(read.serial, Some(9));
        let shown = |state: &State| -> Vec<_> {
            state.keys.iter().map(|held| (held.key.tag(), held.state, held.since)).collect()
        };
        assert_eq!(shown(&read), shown(&state));
        for entry in fs::read_dir(&store.folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        }
        // A key that is removed takes its files with it.
        state.gone.extend(state.keys.pop().map(|held| held.stem));
        store.write(&state).unwrap();
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 3);
    }

    #[test]
    fn one_process_at_a_time_changes_what_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), &"shop.test".parse().unwrap());
        let locked = store.lock().unwrap();
        let other = File::options().write(true).open(store.folder.join(LOCK)).unwrap();
        assert!(other.try_lock().is_err());
        drop(locked);
        other.try_lock().unwrap();
        // What another one is writing stays its own.
        let beside = store.folder.join("state.next");
        fs::write(&beside, "half").unwrap();
        store.write(&State { keys: vec![held(&store, true)], serial: Some(9), gone: Vec::new() }).unwrap();
        assert_eq!(fs::read(beside).unwrap(), b"half");
    }

    #[test]
    fn keys_that_somebody_puts_there_sign_and_those_that_are_gone_are_missed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), &"shop.test".parse().unwrap());
        let (one, other) = (held(&store, true), held(&store, true));
        store
            .write(&State { keys: vec![one.clone(), other.clone()], serial: None, gone: Vec::new() })
            .unwrap();
        fs::remove_file(store.folder.join(STATE)).unwrap();
        let read = store.read(50).unwrap();
        assert_eq!(read.keys.len(), 2);
        assert!(read.keys.iter().all(|held| held.state == KeyState::Active && held.since == 50));
        store.write(&read).unwrap();
        fs::remove_file(store.paths(&one.stem).0).unwrap();
        let said = store.read(60).unwrap_err().to_string();
        assert!(said.contains("put them back"), "{said}");
        fs::write(store.folder.join(STATE), "what = 1").unwrap();
        assert!(store.read(60).is_err());
    }

    #[test]
    fn half_of_a_key_that_a_killed_process_left_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), &Name::root());
        let held = held(&store, true);
        store.write(&State { keys: vec![held.clone()], serial: None, gone: Vec::new() }).unwrap();
        fs::remove_file(store.folder.join(STATE)).unwrap();
        let (public, private) = store.paths(&held.stem);
        fs::remove_file(public).unwrap();
        assert_eq!(store.read(1).unwrap().keys.len(), 0);
        assert!(private.exists());
    }
}
