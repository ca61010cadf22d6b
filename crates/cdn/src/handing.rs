//! A disk that goes from the process that was to the one that takes over.
//!
//! The old one lets go of it once another serves, and goes on with memory; the new one, until then with memory alone, opens it beside
//! and is warm. Of purges the disk misses none: while the old one has it, that one writes what the new one tells it; from a moment before it
//! lets go until the new one has written all that it knows, a mark stands beside the folder, by which a start begins with nothing
//! ([`forgotten`]). So whoever of the two is killed, and when, costs hits at most.
//!
//! The numbers of the new one are above all of the old one, so that its purges are about all that is on the disk. And what it has fetched
//! or removed meanwhile is newer than what is there, which is dropped.

use crate::nodes::Item;
use crate::purge::{Entry, Mode, Target};
use crate::store::{Disk, DiskConfig, Lock, forgotten};
use crate::twin::{OnEvent, Side, TOLD_WAIT, Told, Twin, TwinEvent};
use crate::{Engine, EngineConfig, Error, Key};
use admission::BuildHashed;
use std::collections::HashSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Keys that are noted. Beyond it, nothing of what is on the disk is used.
const TOUCHED_MAX: usize = 1 << 20;
/// How long the disk of a process that has let go of it, or is gone, may take to come free.
const FREE_WAIT: Duration = Duration::from_secs(10);
/// How often it is tried.
const FREE_EVERY: Duration = Duration::from_millis(20);

/// Whose keys have changed in memory while the disk is awaited.
#[derive(Default)]
pub(crate) struct Touched {
    hashes: HashSet<u64, BuildHashed>,
    are_all: bool,
}

impl Touched {
    pub(crate) fn note(&mut self, key: &Key) {
        if self.hashes.len() < TOUCHED_MAX {
            self.hashes.insert(key.hash as u64);
        } else {
            self.are_all = true;
        }
    }

    /// What was noted until now; what follows is noted anew.
    pub(crate) fn take(&mut self) -> Self {
        Self { hashes: std::mem::take(&mut self.hashes), are_all: self.are_all }
    }

    pub(crate) fn remove_from(&self, disk: &Disk) {
        match self.are_all {
            true => disk.remove_all(),
            false => self.hashes.iter().for_each(|hash| disk.remove_hash(*hash)),
        }
    }
}

/// Where the disk of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The file names none.
    Nowhere,
    /// This process has it.
    Here,
    /// The process before this one has it, and this one waits for it.
    Awaited,
    /// The process before this one has it, and the one after this one will.
    PassedBy,
    /// The process after this one has it, or will, or nobody.
    LetGo,
}

/// The disk of the file, and where it is.
pub(crate) struct Handing {
    /// Held while it is opened or let go of, which takes some time.
    changing: Mutex<()>,
    place: Mutex<Place>,
    config: Mutex<Option<DiskConfig>>,
}

impl Handing {
    /// Of a cache that has the disk of its file, if that names one.
    pub(crate) fn here(config: Option<DiskConfig>) -> Self {
        let place = Mutex::new(if config.is_some() { Place::Here } else { Place::Nowhere });
        Self { changing: Mutex::default(), place, config: Mutex::new(config) }
    }

    fn awaited(config: Option<DiskConfig>) -> Self {
        Self { place: Mutex::new(Place::Awaited), ..Self::here(config) }
    }

    /// The bounds of a disk behind so much memory.
    pub(crate) fn resize(&self, memory_bytes: u64) {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(DiskConfig { folder, bytes_max, .. }) = config.take() {
            *config = Some(DiskConfig::behind(memory_bytes, folder, bytes_max));
        }
    }

    fn config(&self) -> Option<DiskConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// A cache that keeps responses in memory, until it is told that its disk is free: see [`Engine::join_twin`].
    pub fn open_awaiting(config: &EngineConfig) -> Result<Self, Error> {
        let mut engine = Self::open(&EngineConfig { disk: None, ..config.clone() })?;
        if config.disk.is_some() {
            engine.handing = Handing::awaited(config.disk.clone());
            engine.kept.await_disk();
        }
        Ok(engine)
    }

    /// Speaks with another process of this node: each tells the other of its purges, and the old one hands its disk over. The new
    /// one calls this before it keeps anything, and has it true if it is told of all purges from then on. Waits for the other.
    pub fn join_twin(
        self: &Arc<Self>,
        side: Side,
        stream: UnixStream,
        on_event: OnEvent,
    ) -> io::Result<bool> {
        self.join_twin_for(TOLD_WAIT, side, stream, on_event)
    }

    /// The same, with another time that a purge waits for it.
    pub(crate) fn join_twin_for(
        self: &Arc<Self>,
        wait: Duration,
        side: Side,
        stream: UnixStream,
        on_event: OnEvent,
    ) -> io::Result<bool> {
        self.twins.add(self, side, stream, wait, on_event)
    }

    /// The process that was about to take over does not: it is spoken with no longer.
    pub fn forsake_successor(&self) {
        self.twins.forsake_successor();
    }

    /// Another process serves from now on. If it is told of purges, it gets the disk. Waits for the disk.
    pub fn hand_over(&self) -> Result<(), Error> {
        if self.twins.has_successor() && self.let_go_of_disk()? {
            self.twins.disk_is_free();
        }
        Ok(())
    }

    /// Writes what waits, and lets go of the disk for whoever takes over; memory goes on. False where this process has none.
    fn let_go_of_disk(&self) -> Result<bool, Error> {
        let _changing = self.handing.changing();
        let place = *self.handing.place();
        let (Place::Here, Some(config)) = (place, self.handing.config()) else {
            if place == Place::Awaited {
                *self.handing.place() = Place::PassedBy;
                self.kept.await_no_disk();
            }
            return Ok(false);
        };
        forgotten::hand_over(&config.folder)?;
        *self.handing.place() = Place::LetGo;
        // Its folder comes free with its lock: by then all purges are in the log, and this process writes there no longer.
        let closed = self.kept.disk().and_then(Disk::close_for_another);
        let detached = self.kept.purges.detach();
        if detached.is_err() {
            // Purges that hold here are not in the log.
            forgotten::forget_later(&config.folder)?;
        }
        drop(closed);
        detached.map(|()| true)
    }

    /// The process before this one has let go of the disk, or is gone.
    pub(crate) fn disk_may_be_free(self: &Arc<Self>, on_event: &OnEvent) {
        let place = *self.handing.place();
        if place == Place::PassedBy {
            *self.handing.place() = Place::LetGo;
            return self.twins.disk_is_free();
        }
        if place != Place::Awaited {
            return;
        }
        let (engine, told) = (Arc::downgrade(self), Arc::clone(on_event));
        let opening = thread::Builder::new().name("cdn-take-disk".into()).spawn(move || {
            let end = Instant::now() + FREE_WAIT;
            while let Some(engine) = engine.upgrade() {
                match engine.take_disk() {
                    Ok(None) => return,
                    Ok(Some(objects)) => return told(TwinEvent::DiskTaken(objects)),
                    Err(error) if !is_in_use(&error) || Instant::now() >= end => {
                        return engine.lose_disk(error, &told);
                    }
                    Err(_) => {}
                }
                drop(engine);
                thread::sleep(FREE_EVERY);
            }
        });
        if let (Err(source), Some(DiskConfig { folder, .. })) = (opening, self.handing.config()) {
            self.lose_disk(Error::Disk { folder, source }, on_event);
        }
    }

    /// Opens the disk that was awaited, and says how many responses it has; `None` where it is awaited no longer.
    pub(crate) fn take_disk(&self) -> Result<Option<u64>, Error> {
        let _changing = self.handing.changing();
        let (Place::Awaited, Some(config)) = (*self.handing.place(), self.handing.config()) else {
            return Ok(None);
        };
        let (folder, log) = (&config.folder, config.folder.join("purges"));
        let lock = Lock::take(folder)?;
        let is_forgotten = forgotten::is_forgotten_for_good(folder);
        if is_forgotten || !log.exists() {
            Disk::clear(folder, &lock)?;
        }
        // Before anything is served from there.
        self.kept.purges.attach(&log)?;
        let opened = Disk::open(&config, lock, self.hasher, Arc::clone(&self.kept.purges));
        // Another may have the folder now, and with it the log.
        let (disk, asked) = opened.inspect_err(|_| drop(self.kept.purges.detach()))?;
        self.kept.purges.raise(asked);
        self.kept.forget_touched(&disk);
        self.kept.have_disk(disk);
        let disk = self.kept.disk().expect("it was set");
        // What is older than what memory has is not to be found by a start, either.
        disk.flush();
        let mut place = self.handing.place();
        *place = Place::Here;
        match is_forgotten {
            true => forgotten::is_empty_now(folder)?,
            false => forgotten::taken_over(folder)?,
        }
        Ok(Some(disk.figures().objects))
    }

    /// The disk cannot be used: until the next start, which begins with nothing, responses are in memory alone.
    fn lose_disk(&self, error: Error, on_event: &OnEvent) {
        {
            let _changing = self.handing.changing();
            let mut place = self.handing.place();
            if *place != Place::Awaited {
                return;
            }
            *place = Place::LetGo;
            self.kept.await_no_disk();
        }
        let forgotten = self.kept.purges.detach().and(self.forget_disk_later());
        on_event(TwinEvent::DiskLost(error));
        if let Err(error) = forgotten {
            on_event(TwinEvent::DiskLost(error));
        }
    }

    fn forget_disk_later(&self) -> Result<(), Error> {
        self.handing.config().map_or(Ok(()), |config| forgotten::forget_later(&config.folder))
    }

    /// The other process is gone. If it had the disk, what this one purges from now on is written nowhere until it has it.
    pub(crate) fn before_twin_ends(&self) {
        let place = self.handing.place();
        let (Place::Awaited | Place::PassedBy, Some(config)) = (*place, self.handing.config()) else {
            return;
        };
        // Where this fails, so does the next purge that nobody else has.
        let _ = forgotten::hand_over(&config.folder);
    }

    /// What is purged holds after the end of this process. Where it is written nowhere, and no other process has it, the disk is forgotten.
    fn make_sure(&self, is_held_by_another: bool) -> Result<(), Error> {
        if is_held_by_another || self.kept.purges.are_written() {
            return Ok(());
        }
        let place = self.handing.place();
        match (*place, self.handing.config()) {
            // By now it may be written.
            (Place::Nowhere | Place::Here, _) | (_, None) => Ok(()),
            (Place::Awaited | Place::PassedBy, Some(config)) => forgotten::hand_over(&config.folder),
            (Place::LetGo, Some(config)) => forgotten::forget_later(&config.folder),
        }
    }

    /// Tells other processes of purges that are in the cache, and waits for them.
    pub(crate) fn tell_twins(&self, entries: &[Arc<Entry>], is_news: bool) -> Result<(), Error> {
        let is_held = self.twins.tell_and_wait(entries, is_news, None);
        self.make_sure(is_held)
    }

    /// Purges what another process has told: it holds, and is written where it survives, by the time that this returns.
    pub(crate) fn purge_of_twin(&self, all: &[Told], from: &Twin) -> Result<(), Error> {
        self.twins.heard(all.len());
        // In their order, those together that are told alike.
        for told in all.chunk_by(|one, next| one.is_news == next.is_news) {
            let is_news = told[0].is_news;
            let entries: Vec<Arc<Entry>> = told.iter().map(|told| Arc::clone(&told.entry)).collect();
            let nodes = self.nodes().filter(|_| is_news);
            if let Some(nodes) = &nodes {
                entries.iter().for_each(|_| nodes.begin());
            }
            let written = self.purge_here(&entries);
            if let Some(nodes) = &nodes {
                // They are told soon.
                entries.iter().for_each(|entry| nodes.queue(Entry::clone(entry)));
            }
            let has_others = !self.twins.is_only(from);
            let is_held = has_others && self.twins.tell_and_wait(&entries, is_news, Some(from));
            if written.is_err() {
                self.forget_disk_later()?;
            } else if has_others {
                self.make_sure(is_held)?;
            }
        }
        Ok(())
    }

    /// Purges what other nodes have told; on the disk by the time that this returns.
    pub(crate) fn apply(&self, items: &[Item]) -> Result<(), Error> {
        let purge = |item: &Item| match item {
            Item::Purge { entry, .. } => Arc::clone(entry),
            Item::All { .. } => Arc::new(Entry::new(Target::Everything, Mode::Hard)),
        };
        let entries: Vec<Arc<Entry>> = items.iter().map(purge).collect();
        self.purge_here(&entries)?;
        self.tell_twins(&entries, false)
    }

    fn purge_here(&self, entries: &[Arc<Entry>]) -> Result<(), Error> {
        // In memory, all hold also where they cannot be written.
        let written = self.kept.purges.purge_all(entries.iter().map(|entry| (entry.target(), entry.mode())));
        entries.iter().for_each(|entry| self.tidy_up(entry.target(), entry.mode()));
        self.kept.tend_if_crowded();
        written.map(|_| ())
    }

    /// Writes what waits, and lets go of the disk; memory goes on. Whoever tells of purges or is told of them is let go, too. Not for a
    /// thread of the data plane.
    pub fn close(&self) {
        {
            let _changing = self.handing.changing();
            let mut place = self.handing.place();
            if *place == Place::Awaited {
                *place = Place::LetGo;
                self.kept.await_no_disk();
            }
            let is_here = *place == Place::Here;
            drop(place);
            // What held in memory alone, since the disk had failed, is written now or makes that all is forgotten.
            let purges = &self.kept.purges;
            if is_here && purges.sync(purges.sequence()).is_err() {
                let _ = self.forget_disk_later();
            }
            purges.end_rewrites();
            if let Some(disk) = self.kept.disk() {
                disk.close();
            }
        }
        self.twins.end();
    }
}

fn is_in_use(error: &Error) -> bool {
    matches!(error, Error::Disk { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
}
