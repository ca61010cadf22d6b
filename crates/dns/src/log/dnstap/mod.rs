//! dnstap (dnstap.info): queries and answers as they are, in frames, for a reader that keeps up or misses some.
//!
//! Each core appends frames to a buffer of its own, under a mutex that only the writer thread ever contends for; ten times a second, or as
//! soon as a buffer is full enough, the writer takes what it finds and sends it. A buffer at its bound drops whole frames, and counts them.

mod frames;
mod message;
#[cfg(test)]
mod tests;
mod writer;

use super::Record;
use super::config::DnstapConfig;
use crate::error::Error;
use message::{Direction, Event};
use std::fs::{File, remove_file};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, SystemTime};
use sys::PerCore;

/// A buffer this long is written without waiting for the next tick.
const HAND_OVER_BYTES: usize = 64 << 10;
/// A buffer never grows beyond this; a frame that does not fit is dropped.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// How long an end waits for the reader.
const END_WAIT: Duration = Duration::from_secs(1);

/// A tap. When it is dropped its thread sends what is left, for a second at most; whoever drops it, which may be a core, does not wait.
pub(super) struct Tap {
    shared: Arc<Shared>,
    writer: Thread,
    /// Identity and version, as every frame has them.
    head: Box<[u8]>,
    queries: bool,
    responses: bool,
}

/// Where frames go.
enum Target {
    Socket(PathBuf),
    File(Option<File>),
}

struct Shared {
    buffers: PerCore<Mutex<Vec<u8>>>,
    dropped: AtomicU64,
    is_nudged: AtomicBool,
    order: Mutex<Order>,
    ended: Condvar,
}

/// How far it is on the way to its end.
#[derive(PartialEq)]
enum Order {
    Run,
    End,
    Ended,
}

impl Tap {
    /// Sends what is left, and waits for that, for two seconds at most. Whatever it is told from here on is lost.
    pub(super) fn end(&self) {
        let order = self.order_end();
        let waited =
            self.shared.ended.wait_timeout_while(order, 2 * END_WAIT, |order| *order != Order::Ended);
        drop(waited);
    }

    fn order_end(&self) -> MutexGuard<'_, Order> {
        let mut order = lock(&self.shared.order);
        if *order == Order::Run {
            *order = Order::End;
        }
        self.writer.unpark();
        order
    }

    /// Begins. A reader need not be there yet, but a file must be writable.
    pub(super) fn open(config: &DnstapConfig, identity: Option<&str>) -> Result<Self, Error> {
        let target = match (&config.socket, &config.file) {
            (Some(path), _) => Target::Socket(path.clone()),
            (None, Some(path)) => {
                let file = begun_anew(path).map_err(|source| Error::Log { path: path.clone(), source })?;
                Target::File(Some(file))
            }
            (None, None) => unreachable!("a tap that was checked goes somewhere"),
        };
        let shared = Arc::new(Shared {
            buffers: PerCore::new(Mutex::default),
            dropped: AtomicU64::new(0),
            is_nudged: AtomicBool::new(false),
            order: Mutex::new(Order::Run),
            ended: Condvar::new(),
        });
        let for_writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("dnstap".into())
            .spawn(move || writer::run(&for_writer, target))
            .map_err(|source| Error::Log { path: "dnstap".into(), source })?;
        // Not joined: its end is awaited through `Order::Ended`, which can time out.
        let writer = thread.thread().clone();
        let head = message::head(identity.unwrap_or_default(), concat!("nines ", env!("CARGO_PKG_VERSION")));
        Ok(Self { shared, writer, head: head.into(), queries: config.queries, responses: config.responses })
    }

    /// Tells a query, and its answer if there is one.
    pub(super) fn tell(&self, record: &Record<'_>, received: SystemTime, answered: SystemTime) {
        let event = |direction| Event {
            direction,
            client: record.client,
            transport: record.transport,
            received,
            answered,
            query: record.message,
            answer: record.answer,
        };
        let mut buffer = lock(self.shared.buffers.mine());
        if self.queries {
            self.append(&mut buffer, &event(Direction::Query));
        }
        if self.responses && !record.answer.is_empty() {
            self.append(&mut buffer, &event(Direction::Response));
        }
        let is_enough = buffer.len() >= HAND_OVER_BYTES;
        drop(buffer);
        if is_enough && !self.shared.is_nudged.swap(true, Ordering::AcqRel) {
            self.writer.unpark();
        }
    }

    fn append(&self, buffer: &mut Vec<u8>, event: &Event<'_>) {
        let whole = buffer.len();
        frames::append(buffer, |out| message::write(&self.head, event, out));
        if buffer.len() > BUFFER_BYTES_MAX {
            buffer.truncate(whole);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frames that nobody got.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        drop(self.order_end());
    }
}

/// Whoever still writes into the file of before keeps it: after a takeover that is the process before.
fn begun_anew(path: &Path) -> io::Result<File> {
    match remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().write(true).create_new(true).open(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
