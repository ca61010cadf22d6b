//! Blobs on the local disk, each named by its hash, and uploads that are not whole yet. Everything here may wait for the
//! disk.
//!
//! Invariant: what has a blob's name has its content: a file gets its name once all of it was hashed and written down.

use crate::error::Error;
use crate::hash::{Hash, Hasher};
use crate::manifest::Blob;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Bytes that are read at once where a file is hashed.
const READ_BYTES: usize = 256 << 10;

/// The blobs of a store on this machine.
#[derive(Debug)]
pub(super) struct Shelf {
    blobs: PathBuf,
    partial: PathBuf,
    used_bytes: AtomicU64,
    total_bytes_max: u64,
    /// What is being written to.
    busy: Mutex<HashSet<Hash>>,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// It goes on at this byte.
    Partly(u64),
    /// It is stored.
    Whole,
}

impl Shelf {
    pub(super) fn open(dir: &Path, total_bytes_max: u64) -> Result<Self, Error> {
        let (blobs, partial) = (dir.join("blobs"), dir.join("partial"));
        for folder in [&blobs, &partial] {
            fs::create_dir_all(folder).map_err(Error::disk(folder))?;
        }
        let shelf =
            Self { blobs, partial, used_bytes: AtomicU64::new(0), total_bytes_max, busy: Mutex::default() };
        let mut used = 0;
        shelf.each(|_, _, size, _| used += size)?;
        shelf.used_bytes.store(used, Ordering::Relaxed);
        Ok(shelf)
    }

    /// The folder of whole blobs.
    pub(super) fn blobs(&self) -> &Path {
        &self.blobs
    }

    /// Bytes of all blobs and uploads.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Where a blob is, below the folder of blobs.
    pub(super) fn name(hash: &Hash) -> String {
        format!("{}/{hash}", hash.digits(2))
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.blobs.join(Self::name(hash))
    }

    /// Whether a blob is there, whole.
    pub(super) fn has(&self, blob: &Blob) -> bool {
        fs::metadata(self.path(&blob.hash))
            .is_ok_and(|found| found.is_file() && found.len() == blob.size_bytes)
    }

    /// As [`Shelf::has`], and it counts as if it had come just now.
    pub(super) fn touch(&self, blob: &Blob, now: SystemTime) -> bool {
        let touched = File::options().append(true).open(self.path(&blob.hash));
        self.has(blob) && touched.and_then(|file| file.set_modified(now)).is_ok()
    }

    /// Where the upload of a blob goes on: at its beginning, if more is here than it has.
    pub(super) fn uploaded(&self, blob: &Blob) -> u64 {
        let here = fs::metadata(self.partial.join(blob.hash.to_string())).map_or(0, |found| found.len());
        if here > blob.size_bytes { 0 } else { here }
    }

    /// Throws away what is here of an upload.
    fn discard(&self, hash: &Hash) -> Result<(), Error> {
        let path = self.partial.join(hash.to_string());
        let Ok(stale) = fs::metadata(&path) else { return Ok(()) };
        fs::remove_file(&path).map_err(Error::disk(&path))?;
        self.release(stale.len());
        Ok(())
    }

    /// The bytes of a blob.
    pub(super) fn read(&self, hash: &Hash) -> Result<Vec<u8>, Error> {
        let path = self.path(hash);
        fs::read(&path).map_err(Error::disk(&path))
    }

    /// A blob, open.
    pub(super) fn file(&self, hash: &Hash) -> Result<File, Error> {
        let path = self.path(hash);
        File::open(&path).map_err(Error::disk(&path))
    }

    /// Takes the next bytes of an upload; with the last ones it becomes a blob.
    pub(super) fn append(&self, blob: Blob, offset: u64, bytes: &[u8]) -> Result<Uploaded, Error> {
        if self.has(&blob) {
            return Ok(Uploaded::Whole);
        }
        let _mine = Busy::of(self, blob.hash)?;
        let at = self.uploaded(&blob);
        if at != offset {
            return Err(Error::Offset { at, offset });
        }
        if at == 0 {
            self.discard(&blob.hash)?;
        }
        let end = offset + bytes.len() as u64;
        if end > blob.size_bytes {
            let max = format!("the {} that were announced", blob.size_bytes);
            return Err(Error::TooLarge { what: "the upload", bytes: end, max });
        }
        self.reserve(bytes.len() as u64)?;
        let path = self.partial.join(blob.hash.to_string());
        let file = self.write_at_end(&path, offset, bytes).inspect_err(|_| {
            self.release(bytes.len() as u64);
        })?;
        if end < blob.size_bytes {
            return Ok(Uploaded::Partly(end));
        }
        self.finish(&path, &file, blob)?;
        Ok(Uploaded::Whole)
    }

    fn write_at_end(&self, path: &Path, offset: u64, bytes: &[u8]) -> Result<File, Error> {
        let open = OpenOptions::new().append(true).read(true).create(true).open(path);
        let mut file = open.map_err(Error::disk(path))?;
        if let Err(source) = file.write_all(bytes) {
            // What is half written is not counted: the upload goes on where it was.
            file.set_len(offset).map_err(Error::disk(path))?;
            return Err(Error::Disk { path: path.to_owned(), source });
        }
        Ok(file)
    }

    /// Gives an upload its name, if it is what was announced.
    fn finish(&self, path: &Path, file: &File, blob: Blob) -> Result<(), Error> {
        let found = hash_of(path).map_err(Error::disk(path))?;
        if found != blob.hash {
            fs::remove_file(path).map_err(Error::disk(path))?;
            self.release(blob.size_bytes);
            return Err(Error::WrongHash { wanted: blob.hash, found });
        }
        file.sync_all().map_err(Error::disk(path))?;
        let target = self.path(&blob.hash);
        let folder = self.blobs.join(blob.hash.digits(2));
        fs::create_dir_all(&folder).map_err(Error::disk(&folder))?;
        // One that is there has another length, which no blob of this name may have.
        let replaced = fs::metadata(&target).map_or(0, |found| found.len());
        fs::rename(path, &target).map_err(Error::disk(&target))?;
        self.release(replaced);
        Ok(())
    }

    /// Keeps these bytes.
    pub(super) fn keep(&self, bytes: &[u8]) -> Result<Blob, Error> {
        let blob = Blob { hash: Hash::of(bytes), size_bytes: bytes.len() as u64 };
        if !self.has(&blob) {
            self.discard(&blob.hash)?;
            self.append(blob, 0, bytes)?;
        }
        Ok(blob)
    }

    /// Writes down that these blobs are there: their contents were before they got their names.
    pub(super) fn sync(&self, blobs: &[Blob]) -> Result<(), Error> {
        let folders: BTreeSet<String> = blobs.iter().map(|blob| blob.hash.digits(2)).collect();
        let folders = folders.iter().map(|folder| self.blobs.join(folder));
        for folder in folders.chain([self.blobs.clone()]) {
            File::open(&folder).and_then(|folder| folder.sync_all()).map_err(Error::disk(&folder))?;
        }
        Ok(())
    }

    /// Removes what `is_needed` does not ask for and has not changed since `before`. Returns how many files and bytes
    /// went, and what else would go if it is not needed the next time either.
    pub(super) fn sweep(
        &self,
        before: SystemTime,
        was_unneeded: &HashSet<Hash>,
        is_needed: impl Fn(&Hash) -> bool,
    ) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let mut gone = Vec::new();
        self.each(|path, hash, size, changed| {
            let is_blob = path.starts_with(&self.blobs);
            if changed >= before || (is_blob && is_needed(&hash)) {
                return;
            }
            // A request may still be answered by a snapshot that needs it.
            if is_blob && !was_unneeded.contains(&hash) {
                swept.unneeded.insert(hash);
                return;
            }
            gone.push((path.to_owned(), size));
        })?;
        for (path, size) in gone {
            fs::remove_file(&path).map_err(Error::disk(&path))?;
            self.release(size);
            swept.files += 1;
            swept.bytes += size;
        }
        Ok(swept)
    }

    /// Calls with each blob and upload: its path, hash, size, and when it was changed.
    fn each(&self, mut see: impl FnMut(&Path, Hash, u64, SystemTime)) -> Result<(), Error> {
        let mut folders = vec![self.blobs.clone(), self.partial.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(Error::disk(&folder))? {
                let entry = entry.map_err(Error::disk(&folder))?;
                let Ok(about) = entry.metadata() else { continue };
                if about.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                // What is no blob is not ours.
                let Some(hash) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                see(&entry.path(), hash, about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            }
        }
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> Result<(), Error> {
        let fits = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.total_bytes_max);
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|used| Error::Full { used, bytes })
    }

    fn release(&self, bytes: u64) {
        // Somebody may have changed a file by hand: what is counted is then too much, never less than nothing.
        let left = |used: u64| Some(used.saturating_sub(bytes));
        let _counted = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    }
}

/// What a sweep did.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) files: usize,
    pub(super) bytes: u64,
    pub(super) unneeded: HashSet<Hash>,
}

fn hash_of(path: &Path) -> io::Result<Hash> {
    let (mut file, mut hasher) = (File::open(path)?, Hasher::default());
    let mut part = vec![0; READ_BYTES];
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// That a hash is written to by one at a time.
struct Busy<'s>(&'s Shelf, Hash);

impl<'s> Busy<'s> {
    fn of(shelf: &'s Shelf, hash: Hash) -> Result<Self, Error> {
        let is_free = shelf.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
        if is_free { Ok(Self(shelf, hash)) } else { Err(Error::Busy) }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
