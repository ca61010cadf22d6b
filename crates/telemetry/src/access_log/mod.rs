//! One line a request, written by a thread of its own.
//!
//! Each core appends to its own buffer, under a mutex that only the writer thread ever contends for. Ten
//! times a second, or as soon as a buffer is full enough, the writer swaps every buffer for an empty one and
//! writes what it found. So an idle core's last line comes out as soon as a busy core's, and a slow or full
//! disk holds up the writer alone: a buffer at its bound drops lines, whole, and counts them.

mod sink;
#[cfg(test)]
mod tests;
mod writer;

use sink::Sink;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use sys::PerCore;

/// A buffer this long is written without waiting for the next tick.
const HAND_OVER_BYTES: usize = 32 << 10;
/// A buffer never grows beyond this; a line that does not fit is dropped.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// The longest that a line waits for its buffer to fill.
const TICK: Duration = Duration::from_millis(100);
/// How long a flush waits for a disk or a reader that has stopped.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The end of this file, which is created if need be.
    File(PathBuf),
}

/// A log of lines. Clones write to the same one; dropping the last flushes it, for at most a second.
#[derive(Debug, Clone)]
pub struct AccessLog(Arc<Handle>);

/// What all clones share; the writer thread has the `Shared` only, so that it ends with the last clone.
#[derive(Debug)]
struct Handle {
    target: Target,
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    buffers: PerCore<Mutex<Buffer>>,
    /// Whether the writer has been told that a buffer is full enough.
    is_nudged: AtomicBool,
    lines_dropped: AtomicU64,
    orders: Mutex<Orders>,
    progress: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Up to here, lines are complete.
    whole: usize,
}

/// What the writer is asked to do, and how far it is.
#[derive(Debug, Default)]
struct Orders {
    rounds_wanted: u64,
    rounds_done: u64,
    reopened: Option<File>,
    stop: bool,
    stopped: bool,
}

impl AccessLog {
    /// Opens the target and starts the writer.
    pub fn open(target: Target) -> io::Result<Self> {
        let file = match &target {
            Target::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Target::Stderr => File::from(io::stderr().as_fd().try_clone_to_owned()?),
            Target::File(path) => append_to(path)?,
        };
        Self::start(target, Sink::new(file))
    }

    fn start(target: Target, sink: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            buffers: PerCore::new(Mutex::default),
            is_nudged: AtomicBool::new(false),
            lines_dropped: AtomicU64::new(0),
            orders: Mutex::default(),
            progress: Condvar::new(),
        });
        let for_writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer::run(&for_writer, sink))?;
        // Not joined: its end is awaited through `Orders::stopped`, which can time out.
        let writer = thread.thread().clone();
        Ok(Self(Arc::new(Handle { target, shared, writer })))
    }

    /// Appends one line, which `write` puts at the end of the buffer, without a line break.
    /// What `write` finds in the buffer belongs to others. It must not write to the same log.
    #[inline]
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let shared = &self.0.shared;
        let mut buffer = lock(shared.buffers.mine());
        let is_enough = buffer.append(write, &shared.lines_dropped);
        drop(buffer);
        if is_enough && !shared.is_nudged.swap(true, Ordering::AcqRel) {
            self.0.writer.unpark();
        }
    }

    /// Opens the file anew, after it was renamed for rotation; on an error the old one stays in use.
    /// Standard output and error stay what they are.
    pub fn reopen(&self) -> io::Result<()> {
        if let Target::File(path) = &self.0.target {
            let file = append_to(path)?;
            lock(&self.0.shared.orders).reopened = Some(file);
            self.0.writer.unpark();
        }
        Ok(())
    }

    /// Waits until every line written before is handed to the system, for at most a second; `false` when
    /// that was not enough.
    pub fn flush(&self) -> bool {
        let shared = &self.0.shared;
        let mut orders = lock(&shared.orders);
        orders.rounds_wanted += 1;
        let wanted = orders.rounds_wanted;
        self.0.writer.unpark();
        shared.wait_for(orders, |orders| orders.rounds_done >= wanted)
    }

    /// How many lines were lost, because the target was too slow or failed.
    pub fn lines_dropped(&self) -> u64 {
        self.0.shared.lines_dropped.load(Ordering::Relaxed)
    }
}

impl Buffer {
    /// Appends a line, or drops it whole; `true` when it is time to write.
    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>), lines_dropped: &AtomicU64) -> bool {
        // A `write` that panicked left half a line behind.
        self.bytes.truncate(self.whole);
        write(&mut self.bytes);
        self.bytes.push(b'\n');
        if self.bytes.len() > BUFFER_BYTES_MAX {
            self.bytes.truncate(self.whole);
            lines_dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.whole = self.bytes.len();
        self.whole >= HAND_OVER_BYTES
    }

    /// Leaves `empty` in place of what was gathered.
    fn take(&mut self, empty: &mut Vec<u8>) {
        self.bytes.truncate(self.whole);
        std::mem::swap(&mut self.bytes, empty);
        self.bytes.clear();
        self.whole = 0;
    }
}

impl Shared {
    fn wait_for(&self, orders: MutexGuard<'_, Orders>, is_done: impl Fn(&Orders) -> bool) -> bool {
        let waited = self.progress.wait_timeout_while(orders, FLUSH_WAIT, |orders| !is_done(orders));
        let (orders, _) = waited.unwrap_or_else(PoisonError::into_inner);
        is_done(&orders)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut orders = lock(&self.shared.orders);
        orders.stop = true;
        self.writer.unpark();
        self.shared.wait_for(orders, |orders| orders.stopped);
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
