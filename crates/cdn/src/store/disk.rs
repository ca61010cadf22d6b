//! Responses on the disk, behind those in memory.
//!
//! Records are appended to segments, files of a bounded length; the oldest segment goes where there is no room, and what was read from
//! it is written again. What is where says an index in memory, which is made from the records at the start. Reads and writes
//! happen on threads of their own; whoever waits does so for a message.
//!
//! What is replaced, removed or purged is marked as gone where it stands, by a thread that does nothing else and so does not wait for
//! bodies: it is not found again by the next start, also if what takes its place is never written. Where the process is killed, a
//! mark is missing of what was replaced in the moment before.
//!
//! Nothing here is synced: after a crash of the machine, what is not whole is not served, for each record is checked when it is read.
//! A disk that fails or is full is counted, and costs hits.

mod figures;
mod files;
mod finding;
mod holding;
mod index;
mod lock;
mod reading;
mod segments;
#[cfg(test)]
mod tests;
mod writing;

use super::record::{At, Fate};
use super::{Object, memory::VARIANTS_MAX};
use crate::Error;
use crate::key::{Key, KeyHasher};
use crate::purge::Purges;
use crate::rules::Stored;
use figures::Counts;
pub use figures::DiskFigures;
use files::Files;
use index::{ENTRY_BYTES, Entry, Index, Variant};
pub(crate) use lock::Lock;
use segments::Segments;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// Reads that wait for a thread. Where there are more, what is asked for counts as missing.
const READS_MAX: usize = 1024;
/// Responses that wait to be written. What exceeds them is not.
const WRITES_MAX: usize = 4096;
/// Their bytes, however much memory there is.
const QUEUED_BYTES_MAX: u64 = 64 << 20;
/// And not less: some large responses come at once, however small the memory is.
const QUEUED_BYTES_MIN: u64 = 16 << 20;
/// Marks that wait. Whoever brings more writes them itself.
const MARKS_MAX: usize = 4096;
const READERS: usize = 4;

/// Where responses are kept on the disk, and how many.
#[derive(Debug, Clone)]
pub struct DiskConfig {
    /// A folder that belongs to this cache.
    pub folder: PathBuf,
    /// Bytes that its segments take, never exceeded.
    pub bytes_max: u64,
    /// Responses that can be found; each takes some memory.
    pub objects_max: u64,
    /// Bytes of responses that wait to be written. What exceeds them is not.
    pub queued_bytes_max: u64,
}

impl DiskConfig {
    /// A disk behind so much memory: what is known of responses takes up to an eighth as much, and those that wait to be written
    /// another.
    pub fn behind(memory_bytes: u64, folder: PathBuf, bytes_max: u64) -> Self {
        let (objects_max, queued_bytes_max) = bounds_behind(memory_bytes);
        Self { folder, bytes_max, objects_max, queued_bytes_max }
    }
}

/// How many responses can be found, and bytes of those that wait.
fn bounds_behind(memory_bytes: u64) -> (u64, u64) {
    let eighth = memory_bytes / 8;
    (eighth / ENTRY_BYTES, eighth.clamp(QUEUED_BYTES_MIN, QUEUED_BYTES_MAX))
}

/// Responses on the disk. Where it is dropped, what waits is written first: by a thread of its own, if that happens on one that must
/// not wait.
pub struct Disk {
    shared: Arc<Shared>,
    /// `None` once it is closed.
    senders: RwLock<Option<Senders>>,
    ending: Mutex<Option<Ending>>,
}

/// Who works.
struct Senders {
    reads: SyncSender<Read>,
    writes: SyncSender<Write>,
    marks: SyncSender<Mark>,
}

/// Who has to end before the folder is another's.
#[derive(Default)]
struct Ending {
    threads: Vec<JoinHandle<()>>,
    lock: Option<Lock>,
}

/// What all threads share.
struct Shared {
    index: Index,
    files: Files,
    hasher: KeyHasher,
    purges: Arc<Purges>,
    bytes_max: u64,
    objects_max: AtomicU64,
    queued_bytes_max: AtomicU64,
    is_closed: AtomicBool,
    counts: Counts,
}

type Choose = Box<dyn FnMut(&Stored) -> bool + Send>;
/// Whether a body of this length is to come to memory; it stays where it is otherwise.
type Takes = Box<dyn Fn(u64) -> bool + Send>;

struct Read {
    key: Key,
    choose: Choose,
    takes: Takes,
    reply: oneshot::Sender<Option<(Object, At)>>,
}

enum Write {
    Change(Change),
    /// All before a place was held against purges up to a number.
    HeldBefore(At, u64),
    /// All that was sent before is on its way to the disk once this is answered.
    Flush(SyncSender<()>),
}

/// A response that is to be written.
struct Change {
    object: Arc<Object>,
    ticket: u64,
    /// The record of the response that it confirms, whose body is the same.
    base: Option<Entry>,
}

enum Mark {
    Gone(At),
    /// As with [`Write`].
    Flush(SyncSender<()>),
}

impl Disk {
    /// Opens a folder that nobody else uses, and finds what is there. Returned too is the highest number of a purge that a record was
    /// held against.
    pub(crate) fn open(
        config: &DiskConfig,
        lock: Lock,
        hasher: KeyHasher,
        purges: Arc<Purges>,
    ) -> Result<(Self, u64), Error> {
        Self::open_with(config, lock, hasher, purges, |path| {
            File::options().read(true).write(true).create(true).truncate(true).open(path)
        })
    }

    /// With another way to come by the file of a new segment.
    fn open_with(
        config: &DiskConfig,
        lock: Lock,
        hasher: KeyHasher,
        purges: Arc<Purges>,
        create: fn(&Path) -> std::io::Result<File>,
    ) -> Result<(Self, u64), Error> {
        let shared = Arc::new(Shared::new(config, hasher, purges));
        let (segments, asked) =
            Segments::open(config, create, &shared).map_err(|source| failed(config, source))?;
        let (writes, to_write) = sync_channel(WRITES_MAX);
        let (marks, to_mark) = sync_channel(MARKS_MAX);
        let (reads, to_read) = sync_channel(READS_MAX);
        let to_read = Arc::new(Mutex::new(to_read));
        let mut ending = Ending { threads: Vec::new(), lock: Some(lock) };
        ending.spawn(config, &shared, "cdn-write", move |shared| segments.run(&to_write, shared))?;
        ending.spawn(config, &shared, "cdn-mark", move |shared| run_marks(&to_mark, shared))?;
        for number in 0..READERS {
            let to_read = Arc::clone(&to_read);
            ending.spawn(config, &shared, &format!("cdn-read-{number}"), move |shared| {
                run_reads(&to_read, shared);
            })?;
        }
        let disk = Self {
            shared,
            senders: RwLock::new(Some(Senders { reads, writes, marks })),
            ending: Mutex::new(Some(ending)),
        };
        Ok((disk, asked))
    }

    /// Writes a response when its turn comes. What it replaces is found no longer, from now on.
    pub fn write(&self, object: &Arc<Object>) {
        let variant = Variant::of(&object.stored);
        let (ticket, gone) = self.shared.index.begin(hash(&object.key), variant, variant);
        self.mark_gone(&gone);
        self.send(Change { object: Arc::clone(object), ticket, base: None });
    }

    /// Writes a response in place of the one that it confirms: without its body, where that is there and long.
    pub fn update(&self, old: &Object, object: &Arc<Object>) {
        let old = Variant::of(&old.stored);
        let (ticket, gone) = self.shared.index.begin(hash(&object.key), Variant::of(&object.stored), old);
        self.mark_gone(&gone);
        let base = gone.into_iter().find(|entry| entry.variant == old);
        self.send(Change { object: Arc::clone(object), ticket, base });
    }

    /// Whether a response is there, or waits to be written: this one, or another for the same request.
    pub fn knows(&self, object: &Object) -> bool {
        self.shared.index.knows(hash(&object.key), Variant::of(&object.stored))
    }

    fn send(&self, change: Change) {
        let counts = &self.shared.counts;
        let (hash, ticket, weight) = (hash(&change.object.key), change.ticket, change.object.weight());
        let waiting = counts.queued_bytes.fetch_add(weight, Ordering::Relaxed);
        let has_room =
            waiting + weight <= self.shared.queued_bytes_max.load(Ordering::Relaxed) || waiting == 0;
        let is_sent = has_room && self.with(|senders| senders.writes.try_send(Write::Change(change)).is_ok());
        if !is_sent {
            self.shared.index.cancel(hash, ticket);
            counts.queued_bytes.fetch_sub(weight, Ordering::Relaxed);
            counts.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there may be a response for a key: if not, a read is not worth while.
    pub fn may_have(&self, key: &Key) -> bool {
        !self.shared.is_closed.load(Ordering::Relaxed) && self.shared.index.has(hash(key))
    }

    /// Reads the newest response of a key that is chosen, and checks all of it. Returned too is where it was.
    pub(crate) async fn read(
        &self,
        key: &Key,
        choose: impl FnMut(&Stored) -> bool + Send + 'static,
        takes: impl Fn(u64) -> bool + Send + 'static,
    ) -> Option<(Object, At)> {
        if !self.may_have(key) {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let read = Read { key: key.clone(), choose: Box::new(choose), takes: Box::new(takes), reply };
        if !self.with(|senders| senders.reads.try_send(read).is_ok()) {
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

    /// Whether nothing has replaced or removed what was read.
    pub(crate) fn still_has(&self, key: &Key, at: At) -> bool {
        self.shared.index.at(hash(key), at).is_some()
    }

    /// Forgets all responses of a key.
    pub fn remove_key(&self, key: &Key) {
        self.remove_hash(hash(key));
    }

    /// The same by what the index goes by.
    pub(crate) fn remove_hash(&self, hash: u64) {
        self.mark_gone(&self.shared.index.remove_key(hash));
    }

    /// Forgets all that is there.
    pub(crate) fn remove_all(&self) {
        self.mark_gone(&self.shared.index.remove_all());
    }

    /// Forgets one response.
    pub fn remove(&self, object: &Object) {
        let variant = Variant::of(&object.stored);
        self.mark_gone(&self.shared.index.remove_variant(hash(&object.key), variant));
    }

    /// Forgets what was read, unless something has replaced it.
    pub(crate) fn remove_at(&self, key: &Key, at: At) {
        self.mark_gone(&self.shared.index.remove(hash(key), |entry| entry.at() == at));
    }

    /// Holds all that is there against all purges; what is purged goes. Reads the head of each record. Says whether that was done
    /// before it was closed.
    pub fn hold(&self, upto: u64) -> bool {
        let Some(end) = self.shared.hold() else { return false };
        // Without this, the next start takes all of it for purged.
        end.segment == 0 || self.with(|senders| senders.writes.send(Write::HeldBefore(end, upto)).is_ok())
    }

    /// Sets the bounds of a disk behind so much memory. Where too many responses are there, the oldest go with the next that is written.
    pub fn resize(&self, memory_bytes: u64) {
        let (objects_max, queued_bytes_max) = bounds_behind(memory_bytes);
        self.shared.objects_max.store(objects_max, Ordering::Relaxed);
        self.shared.queued_bytes_max.store(queued_bytes_max, Ordering::Relaxed);
    }

    /// Waits until all is written that was sent before.
    pub fn flush(&self) {
        let (written, answer) = sync_channel(2);
        let is_sent = self.with(|senders| {
            let is_sent = senders.writes.send(Write::Flush(written.clone())).is_ok();
            is_sent && senders.marks.send(Mark::Flush(written)).is_ok()
        });
        // Where a thread has ended, nothing is written any longer.
        let _ = is_sent.then(|| answer.iter().count());
    }

    /// Writes what waits, and lets go of the folder. From then on nothing is there. Not for a thread of the data plane.
    pub fn close(&self) {
        drop(self.close_for_another());
    }

    /// The same, but the folder is another's only once what is returned is dropped.
    pub(crate) fn close_for_another(&self) -> Option<Lock> {
        self.begin_to_close()?.wait()
    }

    fn begin_to_close(&self) -> Option<Ending> {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.senders.write().unwrap_or_else(PoisonError::into_inner).take();
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn with(&self, send: impl FnOnce(&Senders) -> bool) -> bool {
        self.senders.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(send)
    }

    /// Marks records as gone, without waiting for the disk.
    fn mark_gone(&self, gone: &[Entry]) {
        for entry in gone {
            let is_left = self.with(|senders| {
                matches!(senders.marks.try_send(Mark::Gone(entry.at())), Err(TrySendError::Full(_)))
            });
            if is_left {
                self.shared.mark(entry.at(), Fate::Gone);
            }
        }
    }

    /// How full it is, and what has happened.
    pub fn figures(&self) -> DiskFigures {
        let mut figures = self.shared.counts.figures(self.shared.index.len());
        figures.bytes += self.shared.files.held_bytes();
        figures
    }

    /// Removes all responses of a folder that is this process's: nobody knows what of them was purged.
    pub(crate) fn clear(folder: &Path, _lock: &Lock) -> Result<(), Error> {
        let named = |source| Error::Disk { folder: folder.into(), source };
        for (_, path) in segments::paths(folder).map_err(named)? {
            fs::remove_file(path).map_err(named)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let Some(ending) = self.begin_to_close() else { return };
        if tokio::runtime::Handle::try_current().is_err() {
            return drop(ending.wait());
        }
        // A core may be the last to let go. Where no thread can be had, what waits is written by those that are there all the same.
        let _ = thread::Builder::new().name("cdn-close".into()).spawn(move || ending.wait());
    }
}

impl Ending {
    fn spawn(
        &mut self,
        config: &DiskConfig,
        shared: &Arc<Shared>,
        name: &str,
        run: impl FnOnce(&Shared) + Send + 'static,
    ) -> Result<(), Error> {
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new().name(name.into()).spawn(move || run(&shared));
        self.threads.push(thread.map_err(|source| failed(config, source))?);
        Ok(())
    }

    fn wait(self) -> Option<Lock> {
        for thread in self.threads {
            // One that has panicked has nothing left to write.
            let _ = thread.join();
        }
        self.lock
    }
}

impl Shared {
    fn new(config: &DiskConfig, hasher: KeyHasher, purges: Arc<Purges>) -> Self {
        Self {
            index: Index::default(),
            files: Files::default(),
            hasher,
            purges,
            objects_max: AtomicU64::new(config.objects_max),
            bytes_max: config.bytes_max,
            queued_bytes_max: AtomicU64::new(config.queued_bytes_max),
            is_closed: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key) as u64
    }

    /// Marks records as gone, at once.
    fn mark_gone(&self, gone: &[Entry]) {
        gone.iter().for_each(|entry| self.mark(entry.at(), Fate::Gone));
    }

    fn mark(&self, at: At, fate: Fate) {
        if self.files.mark(at, fate).is_err() {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the index goes by.
fn hash(key: &Key) -> u64 {
    key.hash as u64
}

fn failed(config: &DiskConfig, source: std::io::Error) -> Error {
    Error::Disk { folder: config.folder.clone(), source }
}

fn run_marks(marks: &Receiver<Mark>, shared: &Shared) {
    for mark in marks {
        match mark {
            Mark::Gone(at) => shared.mark(at, Fate::Gone),
            // Whoever waits may have gone.
            Mark::Flush(reply) => drop(reply.send(())),
        }
    }
}

fn run_reads(reads: &Mutex<Receiver<Read>>, shared: &Shared) {
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Read { key, choose, takes, reply }) = next else { return };
        if !reply.is_closed() {
            // Whoever asked may be gone by now.
            let _ = reply.send(shared.read(&key, choose, &takes));
        }
    }
}
