//! The other process of the same node, for the time of a takeover: a purge at one holds at both, and the disk goes from the old one
//! to the new one.
//!
//! The two speak over a socket of their own, from before the new one keeps anything until the old one ends. Whoever purges waits until the
//! other has acknowledged it, for a moment at most; an unsafe method does not wait. What comes from the other is purged as if it had begun here, told to a third
//! process, if this one is taken over in turn, and not sent back.
//!
//! Three threads a process do it, so that a core only queues: one writes, one reads, and one purges what was read, so that
//! acknowledgements are read meanwhile.
//!
//! Invariant: what the new process asks an origin for, it asks for after the old one has said that it tells of each purge. What was
//! purged before is older, and is in the log on the disk.

mod message;
mod outbox;
#[cfg(test)]
mod tests;

use crate::Engine;
use crate::purge::Entry;
use message::{Malformed, Message, PAYLOAD_BYTES_MAX};
pub(crate) use message::{Told, check_any};
use outbox::{Heard, Outbox};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long whoever purges waits for the other process.
pub const TOLD_WAIT: Duration = Duration::from_secs(2);
/// How long the old process may take to say that it tells of purges.
const WELCOME_WAIT: Duration = Duration::from_secs(2);
/// Purges of the other process that wait to be purged here.
const UNDONE_MAX: usize = 1024;
/// No process purges so often while another takes over from it: numbers that are this much higher are its successor's alone.
pub(crate) const NUMBERS_BETWEEN: u64 = 1 << 32;

/// Which of the two a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Another takes over from it.
    Old,
    /// It takes over.
    New,
}

/// What whoever runs a node is told.
#[derive(Debug)]
pub enum TwinEvent {
    /// The other process has not acknowledged a purge in time.
    Late,
    /// It has ended, or nobody speaks with it any longer.
    Gone,
    /// What it says is no message: nobody speaks with it any longer.
    Malformed,
    /// Its disk is used here now, with so many responses.
    DiskTaken(u64),
    /// Its disk cannot be used.
    DiskLost(crate::Error),
}

/// Who is told of events.
pub type OnEvent = Arc<dyn Fn(TwinEvent) + Send + Sync>;

/// The other process.
pub(crate) struct Twin {
    side: Side,
    stream: UnixStream,
    outbox: Outbox,
    wait: Duration,
    on_event: OnEvent,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Twin {
    fn start(
        engine: &Arc<Engine>,
        side: Side,
        stream: UnixStream,
        wait: Duration,
        on_event: OnEvent,
    ) -> std::io::Result<Arc<Self>> {
        let (reads, writes) = (stream.try_clone()?, stream.try_clone()?);
        let (outbox, threads) = (Outbox::default(), Mutex::default());
        let twin = Arc::new(Self { side, stream, outbox, wait, on_event, threads });
        let (undone, to_do) = sync_channel(UNDONE_MAX);
        let weak = Arc::downgrade(engine);
        let (writer, purger, reader) = (Arc::clone(&twin), Arc::clone(&twin), Arc::clone(&twin));
        let purging = Weak::clone(&weak);
        // Whoever cannot have all of them has none: with the stream's end the others end.
        let started = twin
            .spawn("cdn-twin-write", move || writer.write_all(writes))
            .and_then(|()| twin.spawn("cdn-twin-purge", move || purger.purge_all(&to_do, &purging)))
            .and_then(|()| twin.spawn("cdn-twin-read", move || reader.read_all(reads, &undone, &weak)));
        started.inspect_err(|_| {
            twin.outbox.end();
            twin.hang_up();
        })?;
        Ok(twin)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = thread::Builder::new().name(name.into()).spawn(run)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Whether it is the process that takes over from this one, and keeps something by now.
    fn is_successor(&self) -> bool {
        self.side == Side::Old && self.outbox.is_listening()
    }

    fn write_all(&self, mut stream: UnixStream) {
        while let Some(bytes) = self.outbox.next() {
            if stream.write_all(&bytes).is_err() {
                // Who reads finds the end, and says so.
                return self.hang_up();
            }
        }
    }

    fn read_all(self: &Arc<Self>, stream: UnixStream, undone: &SyncSender<Told>, engine: &Weak<Engine>) {
        let is_malformed = self.read_until_end(stream, undone, engine).is_err();
        // Before anybody who waits hears that nobody else has what is purged here.
        if let (Side::New, Some(engine)) = (self.side, engine.upgrade()) {
            engine.before_twin_ends();
        }
        self.outbox.end();
        self.hang_up();
        if let Some(engine) = engine.upgrade() {
            engine.twins.remove(self);
            (self.on_event)(if is_malformed { TwinEvent::Malformed } else { TwinEvent::Gone });
            if self.side == Side::New {
                engine.disk_may_be_free(&self.on_event);
            }
        }
    }

    fn read_until_end(
        &self,
        mut stream: UnixStream,
        undone: &SyncSender<Told>,
        engine: &Weak<Engine>,
    ) -> Result<(), Malformed> {
        let mut bytes = Vec::new();
        let mut chunk = vec![0; PAYLOAD_BYTES_MAX];
        let mut last = 0;
        loop {
            let mut rest = &bytes[..];
            while let Some((message, after)) = message::read(rest)? {
                rest = after;
                if let Message::Purge(told) = &message {
                    // Each is told once, in turn; but those that were taken together count as many.
                    if told.number <= last {
                        return Err(Malformed);
                    }
                    last = told.number;
                }
                if !self.take(message, undone, engine)? {
                    return Ok(());
                }
            }
            let done = bytes.len() - rest.len();
            bytes.drain(..done);
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(more) => bytes.extend_from_slice(&chunk[..more]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// False where there is nobody any longer whom it is about.
    fn take(
        &self,
        message: Message,
        undone: &SyncSender<Told>,
        engine: &Weak<Engine>,
    ) -> Result<bool, Malformed> {
        let Some(engine) = engine.upgrade() else { return Ok(false) };
        match message {
            Message::Hello if self.side == Side::Old && !self.outbox.is_listening() => {
                self.outbox.greet(|| Message::Welcome { sequence: engine.purges().sequence() });
            }
            Message::Welcome { sequence } if self.side == Side::New => {
                engine.purges().raise(sequence.checked_add(NUMBERS_BETWEEN).ok_or(Malformed)?);
                if !self.outbox.welcomed(sequence) {
                    return Err(Malformed);
                }
            }
            Message::Purge(told) => {
                drop(engine);
                return Ok(undone.send(told).is_ok());
            }
            Message::Held { number } => {
                if !self.outbox.held(number) {
                    return Err(Malformed);
                }
            }
            Message::DiskIsFree if self.side == Side::New => engine.disk_may_be_free(&self.on_event),
            _ => return Err(Malformed),
        }
        Ok(true)
    }

    fn purge_all(&self, undone: &Receiver<Told>, engine: &Weak<Engine>) {
        while let Ok(first) = undone.recv() {
            let mut all = vec![first];
            all.extend(undone.try_iter().take(UNDONE_MAX));
            let Some(engine) = engine.upgrade() else { return };
            let Some(last) = all.last().map(|told| told.number) else { continue };
            if engine.purge_of_twin(&all, self).is_err() {
                // It would not survive this process, and the other must not say that it does.
                return self.hang_up();
            }
            self.outbox.acknowledge(last);
        }
    }

    /// Waits until the other has acknowledged what it was told.
    fn settle(&self) -> Heard {
        self.outbox.until_held(self.outbox.told(), self.wait)
    }

    fn hang_up(&self) {
        // It may have ended by itself.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // One that has panicked has nothing left to say.
            let _ = thread.join();
        }
    }
}

/// All other processes of this node: the one before, and the one after, as far as they live.
#[derive(Default)]
pub(crate) struct Twins {
    all: RwLock<Vec<Arc<Twin>>>,
    told: AtomicU64,
    heard: AtomicU64,
}

impl Twins {
    /// Speaks with another process from now on. The new one of the two returns once it is told of purges; false where it is not.
    pub(crate) fn add(
        &self,
        engine: &Arc<Engine>,
        side: Side,
        stream: UnixStream,
        wait: Duration,
        on_event: OnEvent,
    ) -> std::io::Result<bool> {
        // Before its threads run, so that what ends at once is taken out again.
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let twin = Twin::start(engine, side, stream, wait, on_event)?;
        all.push(Arc::clone(&twin));
        drop(all);
        if side == Side::Old {
            return Ok(true);
        }
        twin.outbox.greet(|| Message::Hello);
        let is_welcome = twin.outbox.until_welcomed(WELCOME_WAIT);
        if !is_welcome {
            twin.hang_up();
        }
        Ok(is_welcome)
    }

    fn remove(&self, twin: &Arc<Twin>) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, twin));
    }

    fn all(&self) -> Vec<Arc<Twin>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is nobody but this one.
    pub(crate) fn is_only(&self, twin: &Twin) -> bool {
        self.all().iter().all(|other| std::ptr::eq(&**other, twin))
    }

    /// Whether a process takes over from this one that keeps something by now.
    pub(crate) fn has_successor(&self) -> bool {
        self.all().iter().any(|twin| twin.is_successor())
    }

    /// Tells of a purge that began here and is in the cache, without waiting.
    pub(crate) fn tell(&self, purge: impl Fn() -> Entry) {
        for twin in self.all() {
            self.tell_one(&twin, &[Arc::new(purge())], true);
        }
    }

    /// Tells of purges that are in the cache, all but the one who has told them. True where somebody is left, and all have acknowledged it.
    pub(crate) fn tell_and_wait(&self, entries: &[Arc<Entry>], is_news: bool, but: Option<&Twin>) -> bool {
        let others = self.all().into_iter().filter(|twin| !but.is_some_and(|but| std::ptr::eq(but, &**twin)));
        let told: Vec<_> = others
            .map(|twin| {
                let number = self.tell_one(&twin, entries, is_news);
                (twin, number)
            })
            .collect();
        let holds = |(twin, number): &(Arc<Twin>, Option<u64>)| {
            let heard = number.map_or(Heard::Holds, |number| twin.outbox.until_held(number, twin.wait));
            if heard == (Heard::Late { is_first: true }) {
                (twin.on_event)(TwinEvent::Late);
            }
            heard == Heard::Holds
        };
        // All are waited for, whatever the first has said.
        let holding = told.iter().filter(|one| holds(one)).count();
        !told.is_empty() && holding == told.len()
    }

    fn tell_one(&self, twin: &Twin, entries: &[Arc<Entry>], is_news: bool) -> Option<u64> {
        let number = twin.outbox.tell(entries, is_news)?;
        self.told.fetch_add(entries.len() as u64, Ordering::Relaxed);
        Some(number)
    }

    pub(crate) fn heard(&self, count: usize) {
        self.heard.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Purges that were told, and that came from others.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.told.load(Ordering::Relaxed), self.heard.load(Ordering::Relaxed))
    }

    /// Tells whoever takes over from this process that the disk may be opened.
    pub(crate) fn disk_is_free(&self) {
        self.all().iter().filter(|twin| twin.side == Side::Old).for_each(|twin| twin.outbox.disk_is_free());
    }

    /// The process that was about to take over does not.
    pub(crate) fn forsake_successor(&self) {
        self.all().iter().filter(|twin| twin.side == Side::Old).for_each(|twin| twin.hang_up());
    }

    /// Hangs up, once all has been said, and waits until nobody works for it any longer.
    pub(crate) fn end(&self) {
        for twin in self.all() {
            twin.settle();
            twin.hang_up();
            twin.join();
        }
    }
}

impl Drop for Twins {
    fn drop(&mut self) {
        self.all().iter().for_each(|twin| twin.hang_up());
    }
}
