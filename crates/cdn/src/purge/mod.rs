//! What was purged, and since when.
//!
//! A purge walks nothing. It has a number, one more than the purge before, and is entered into a table; a response knows the number of
//! the last purge that was known when it was asked for. It is purged if a purge with a higher number is about it. So what is on its way while
//! somebody purges is purged too, and clocks do not matter. A response that was held against the table remembers up to which
//! number, so that a hit compares two numbers as long as nobody purges.
//!
//! Invariants:
//! - A purge that was acknowledged holds for every look-up that begins after it, and survives the end of the process.
//! - What the table forgets, it forgets by taking more for purged, never less.
//! - The lock that a core takes when it purges is never held while the disk is waited for.

mod about;
mod attaching;
mod entry;
mod log;
mod rewriting;
mod table;
#[cfg(test)]
mod tests;

use crate::Error;
use crate::growing::{FileSystem, Host};
pub use about::About;
pub use entry::Entry;
use log::Log;
pub(crate) use log::check_any;
use rewriting::Written;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use table::Table;

/// From so many entries on, [`Purges::is_crowded`].
pub const ENTRIES_CROWDED: usize = 32 << 10;
/// Keys and tags that are remembered. Where there are more, the oldest half is taken to be about everything.
pub const ENTRIES_MAX: usize = 128 << 10;
/// Their bytes.
pub const ENTRIES_BYTES_MAX: usize = 32 << 20;
/// Prefixes that are remembered; each is compared, so they are few.
pub const PREFIXES_MAX: usize = 1024;
/// The longest key, prefix or tag, in bytes.
pub const TARGET_BYTES_MAX: usize = 64 << 10;

/// What a purge is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'t> {
    /// All variants of one key, by its bytes.
    Key(&'t [u8]),
    /// All keys that begin with these bytes.
    Prefix(&'t [u8]),
    /// All responses that carry this surrogate key.
    Tag(&'t str),
    /// All that there is.
    Everything,
}

impl<'t> Target<'t> {
    fn name(self) -> &'t [u8] {
        match self {
            Self::Everything => &[],
            Self::Key(name) | Self::Prefix(name) => name,
            Self::Tag(tag) => tag.as_bytes(),
        }
    }

    /// Whether it can be purged.
    pub(crate) fn check(self) -> Result<(), Error> {
        let bytes = self.name().len();
        if bytes > TARGET_BYTES_MAX {
            return Err(Error::PurgeTarget { bytes, bytes_max: TARGET_BYTES_MAX });
        }
        Ok(())
    }
}

/// What becomes of what is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is gone.
    Hard,
    /// It is stale from now on.
    Soft,
}

/// What all purges together say of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// None is about it.
    Clean,
    /// It is stale.
    Soft,
    /// It is gone.
    Hard,
}

/// All purges that still matter. Shared by all cores.
pub struct Purges {
    /// The number of the last one that is in the table.
    sequence: AtomicU64,
    table: RwLock<Table>,
    /// Held while a purge is entered, so that numbers come in order; not while the disk is waited for.
    log: Mutex<Option<Arc<Log>>>,
    /// Held while the log is written to the disk, or anew: whoever waits finds its own purge written too.
    written: Mutex<Written>,
    /// There is a thread that writes the log anew.
    is_rewriting: AtomicBool,
    total: AtomicU64,
}

/// What a log was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There was none.
    Nothing,
    /// All of it was read.
    Whole,
    /// Some of it could not be read. Purges may be missing, so everything is purged that was kept before.
    Damaged,
}

impl Purges {
    /// Purges that are forgotten with the process, as is what they are about.
    pub fn in_memory() -> Self {
        Self::with(Table::default(), 0, None)
    }

    /// Purges that are written to the file at `path`, and read from it. Where some of it cannot be read, everything is purged that was
    /// asked for before.
    pub fn open(path: &Path) -> Result<(Self, Found), Error> {
        Self::open_in(Arc::new(Host), path)
    }

    fn open_in(file_system: Arc<dyn FileSystem>, path: &Path) -> Result<(Self, Found), Error> {
        let (log, table, sequence, found) = Log::open(file_system, path)?;
        Ok((Self::with(table, sequence, Some(Arc::new(log))), found))
    }

    fn with(table: Table, sequence: u64, log: Option<Arc<Log>>) -> Self {
        Self {
            sequence: AtomicU64::new(sequence),
            table: RwLock::new(table),
            log: Mutex::new(log),
            written: Mutex::new(Written { upto: sequence, is_ended: false }),
            is_rewriting: AtomicBool::new(false),
            total: AtomicU64::new(0),
        }
    }

    /// The number of the last purge: whoever sends a request to an origin remembers it from before.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Purges, and returns the purge's number once it is on the disk. It holds from a moment before that on, and also if this fails.
    /// Waits for the disk: not for a thread of the data plane.
    pub fn purge(&self, target: Target<'_>, mode: Mode) -> Result<u64, Error> {
        self.purge_all(std::iter::once((target, mode)))
    }

    /// The same of many, in their order: the disk is waited for once.
    pub fn purge_all<'t>(&self, all: impl Iterator<Item = (Target<'t>, Mode)>) -> Result<u64, Error> {
        let mut sequence = self.sequence();
        for (target, mode) in all {
            // What cannot be appended is found out by `sync`, which writes the log anew.
            sequence = self.enter(target, mode)?.0;
        }
        self.sync(sequence)
    }

    /// Purges at once, without waiting for the disk: what an unsafe method invalidates (RFC 9111 §4.4). It survives the end
    /// of the process, but perhaps not that of the machine. Where this fails, it holds all the same, and is written with the log that is
    /// written next, see [`Purges::rewrite_if_due`].
    pub fn invalidate(&self, target: Target<'_>, mode: Mode) -> Result<u64, Error> {
        let (sequence, appended) = self.enter(target, mode)?;
        appended.map(|()| sequence)
    }

    /// What all purges after number `since` say of a response, and up to which number that is true.
    pub fn verdict(&self, key: &[u8], tags: &[Box<str>], since: u64) -> (Verdict, u64) {
        // In this order: what is in the table by now is at least what the number says.
        let upto = self.sequence();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        (table.verdict(key, tags, since), upto)
    }

    /// The purges after number `since` that are about a response, the last first. It looks at all of them: not for the data plane.
    pub fn about(&self, key: &[u8], tags: &[Box<str>], since: u64) -> Vec<About> {
        About::all(&self.table.read().unwrap_or_else(PoisonError::into_inner), key, tags, since)
    }

    /// Whether a purge after number `since` may be about a response of which only the key is known yet.
    pub fn may_concern(&self, key: &[u8], since: u64) -> bool {
        if self.sequence() == since {
            return false;
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.last_tag() > since || table.verdict(key, &[], since) != Verdict::Clean
    }

    /// Whether there are so many that it is worth while to forget those that are about nothing any longer.
    pub fn is_crowded(&self) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.entries() >= ENTRIES_CROWDED || table.prefixes() >= PREFIXES_MAX / 2
    }

    /// Purges that are remembered, and how many there were since the start.
    pub fn counts(&self) -> (u64, u64) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        ((table.entries() + table.prefixes()) as u64, self.total.load(Ordering::Relaxed))
    }

    /// Makes sure that numbers go on above one that was met: that of a purge which the log has lost.
    pub(crate) fn raise(&self, sequence: u64) {
        let _log = self.log();
        self.sequence.fetch_max(sequence, Ordering::Release);
    }

    /// A number for no purge at all: what is asked for from now on is told apart from what was before.
    pub(crate) fn advance(&self) -> u64 {
        let _log = self.log();
        self.sequence.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Gives it a number. It holds by the time that this returns; whether it could be appended to the log is returned as well.
    fn enter(&self, target: Target<'_>, mode: Mode) -> Result<(u64, Result<(), Error>), Error> {
        target.check()?;
        let log = self.log();
        let sequence = self.sequence() + 1;
        {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            table.enter(sequence, target, mode);
            // Released after the table is changed: whoever reads this number finds the purge.
            self.sequence.store(sequence, Ordering::Release);
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        // After that: whoever writes the log anew finds it in the table, or is given it.
        let appended = log.as_ref().map_or(Ok(()), |log| log.append(sequence, target, mode));
        Ok((sequence, appended))
    }

    fn log(&self) -> MutexGuard<'_, Option<Arc<Log>>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
