//! Responses on the disk, behind those in memory.
//!
//! Records are appended to segments, files of a bounded length; the oldest segment goes where there is no room, and what was read from
//! it is written again. What is where says an index in memory, which is made from the records at the start. Reads and writes
//! happen on threads of their own; whoever waits does so for a message.
//!
//! Nothing here is synced: after a crash of the machine, what is not whole is not served, for each record is checked when it is read.
//! A disk that fails or is full is counted, and costs hits.

mod index;
mod reading;
mod segments;
#[cfg(test)]
mod tests;
mod writing;

use super::{Object, memory::VARIANTS_MAX};
use crate::Error;
use crate::key::{Key, KeyHasher};
use crate::purge::Purges;
use crate::rules::Stored;
use index::Index;
use segments::Segments;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// Reads that wait for a thread. Where there are more, what is asked for counts as missing.
const READS_MAX: usize = 1024;
/// Responses that wait to be written. What exceeds them is not.
const WRITES_MAX: usize = 4096;
/// Their bytes.
const WRITE_BYTES_MAX: u64 = 64 << 20;
const READERS: usize = 4;

/// Where responses are kept on the disk, and how many.
#[derive(Debug, Clone)]
pub struct DiskConfig {
    /// A folder that belongs to this cache.
    pub folder: PathBuf,
    /// Bytes that its segments take, never exceeded.
    pub bytes_max: u64,
}

/// Responses on the disk. Where it is dropped, what waits is written first: not on a thread of the data plane.
pub struct Disk {
    shared: Arc<Shared>,
    reads: Option<SyncSender<Read>>,
    writes: Option<SyncSender<Write>>,
    threads: Vec<JoinHandle<()>>,
    _lock: File,
}

/// What all threads share.
struct Shared {
    index: Index,
    hasher: KeyHasher,
    purges: Arc<Purges>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    segments: AtomicU64,
    queued_bytes: AtomicU64,
    written: AtomicU64,
    unwritten: AtomicU64,
    failed: AtomicU64,
    read: AtomicU64,
    unread: AtomicU64,
    damaged: AtomicU64,
    evicted: AtomicU64,
    rewritten: AtomicU64,
}

/// How full it is, and what has happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskFigures {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Responses that can be found.
    pub objects: u64,
    /// Bytes that wait to be written.
    pub queued_bytes: u64,
    /// Responses that were written.
    pub written: u64,
    /// Responses that were not, because too many waited or they are too large.
    pub unwritten: u64,
    /// Writes that failed: the disk is full, or broken.
    pub failed: u64,
    /// Responses that were read.
    pub read: u64,
    /// Reads that found no thread.
    pub unread: u64,
    /// Records that were not whole.
    pub damaged: u64,
    /// Responses that had to go with their segment.
    pub evicted: u64,
    /// Responses that were written again, as they were in use.
    pub rewritten: u64,
}

type Choose = Box<dyn FnMut(&Stored) -> bool + Send>;

struct Read {
    key: Key,
    choose: Choose,
    reply: oneshot::Sender<Option<Object>>,
}

enum Write {
    Object(Arc<Object>),
    /// All that was sent before is on its way to the disk once this is answered.
    Flush(SyncSender<()>),
}

impl Disk {
    /// Opens a folder, and finds what is there. Returned too is the highest number of a purge that a record was held against.
    pub fn open(config: &DiskConfig, hasher: KeyHasher, purges: Arc<Purges>) -> Result<(Self, u64), Error> {
        Self::open_with(config, hasher, purges, |path| {
            File::options().read(true).write(true).create(true).truncate(true).open(path)
        })
    }

    /// With another way to come by the file of a new segment.
    fn open_with(
        config: &DiskConfig,
        hasher: KeyHasher,
        purges: Arc<Purges>,
        create: fn(&Path) -> std::io::Result<File>,
    ) -> Result<(Self, u64), Error> {
        let lock = lock(&config.folder)?;
        let shared = Arc::new(Shared { index: Index::default(), hasher, purges, counts: Counts::default() });
        let (segments, asked) =
            Segments::open(config, create, &shared).map_err(|source| failed(config, source))?;
        let (writes, to_write) = sync_channel(WRITES_MAX);
        let (reads, to_read) = sync_channel(READS_MAX);
        let to_read = Arc::new(Mutex::new(to_read));
        let mut disk =
            Self { shared, reads: Some(reads), writes: Some(writes), threads: Vec::new(), _lock: lock };
        disk.spawn(config, "cdn-write", move |shared| segments.run(&to_write, shared))?;
        for number in 0..READERS {
            let to_read = Arc::clone(&to_read);
            disk.spawn(config, &format!("cdn-read-{number}"), move |shared| run_reads(&to_read, shared))?;
        }
        Ok((disk, asked))
    }

    fn spawn(
        &mut self,
        config: &DiskConfig,
        name: &str,
        run: impl FnOnce(&Shared) + Send + 'static,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.into()).spawn(move || run(&shared));
        self.threads.push(thread.map_err(|source| failed(config, source))?);
        Ok(())
    }

    /// Writes a response when its turn comes. What it replaces is found no longer, from now on.
    pub fn write(&self, object: &Arc<Object>) {
        self.shared.index.remove(object.key.hash, |entry| entry.is_replaced_by(&object.stored));
        let counts = &self.shared.counts;
        let weight = object.weight();
        let waiting = counts.queued_bytes.fetch_add(weight, Ordering::Relaxed);
        let has_room = waiting + weight <= WRITE_BYTES_MAX || waiting == 0;
        let sender = self.writes.as_ref().filter(|_| has_room);
        if sender.is_none_or(|sender| sender.try_send(Write::Object(Arc::clone(object))).is_err()) {
            counts.queued_bytes.fetch_sub(weight, Ordering::Relaxed);
            counts.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there may be a response for a key: if not, a read is not worth while.
    pub fn may_have(&self, key: &Key) -> bool {
        self.shared.index.has(key.hash)
    }

    /// Reads the newest response of a key that is chosen, and checks all of it.
    pub async fn read(
        &self,
        key: &Key,
        choose: impl FnMut(&Stored) -> bool + Send + 'static,
    ) -> Option<Object> {
        if !self.may_have(key) {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let read = Read { key: key.clone(), choose: Box::new(choose), reply };
        if self.reads.as_ref().is_none_or(|reads| reads.try_send(read).is_err()) {
            self.shared.counts.unread.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        answer.await.ok().flatten()
    }

    /// All records of a key that are whole up to their bodies, the newest first, each as an object without its body, and that
    /// body's length. Nothing counts as read. Waits for the disk.
    pub fn see(&self, key: &Key) -> Vec<(Object, u64)> {
        self.shared.see(key)
    }

    /// Forgets all responses of a key.
    pub fn remove_key(&self, key: &Key) {
        self.shared.index.remove(key.hash, |_| true);
    }

    /// Forgets one response.
    pub fn remove(&self, object: &Object) {
        self.shared.index.remove(object.key.hash, |entry| entry.is_replaced_by(&object.stored));
    }

    /// Waits until all is written that was sent before.
    pub fn flush(&self) {
        let (reply, answer) = sync_channel(1);
        if self.writes.as_ref().is_some_and(|writes| writes.send(Write::Flush(reply)).is_ok()) {
            // Where the thread has ended, nothing is written any longer.
            let _ = answer.recv();
        }
    }

    /// How full it is, and what has happened.
    pub fn figures(&self) -> DiskFigures {
        let counts = &self.shared.counts;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskFigures {
            bytes: count(&counts.bytes),
            segments: count(&counts.segments),
            objects: self.shared.index.len(),
            queued_bytes: count(&counts.queued_bytes),
            written: count(&counts.written),
            unwritten: count(&counts.unwritten),
            failed: count(&counts.failed),
            read: count(&counts.read),
            unread: count(&counts.unread),
            damaged: count(&counts.damaged),
            evicted: count(&counts.evicted),
            rewritten: count(&counts.rewritten),
        }
    }

    /// Removes all segments of a folder: without its log of purges, nobody knows what of them was purged.
    pub(crate) fn clear(folder: &Path) -> Result<(), Error> {
        let _lock = lock(folder)?;
        let named = |source| Error::Disk { folder: folder.into(), source };
        for (_, path) in segments::paths(folder).map_err(named)? {
            fs::remove_file(path).map_err(named)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        (self.reads, self.writes) = (None, None);
        for thread in self.threads.drain(..) {
            // One that has panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}

/// Makes sure that nobody else uses the folder, as long as the file is open.
fn lock(folder: &Path) -> Result<File, Error> {
    let named = |source| Error::Disk { folder: folder.into(), source };
    fs::create_dir_all(folder).map_err(named)?;
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(named)?;
    file.try_lock().map_err(|error| named(error.into()))?;
    Ok(file)
}

fn failed(config: &DiskConfig, source: std::io::Error) -> Error {
    Error::Disk { folder: config.folder.clone(), source }
}

fn run_reads(reads: &Mutex<Receiver<Read>>, shared: &Shared) {
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Read { key, choose, reply }) = next else { return };
        if !reply.is_closed() {
            // Whoever asked may be gone by now.
            let _ = reply.send(shared.read(&key, choose));
        }
    }
}
