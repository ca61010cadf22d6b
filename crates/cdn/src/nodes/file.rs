//! A ledger on the disk.
//!
//! There are several files, of which a process has one to itself, so that the one that takes over and those before it do not write to the
//! same. Each begins purges as a node of its own, and reads what both know.

use super::ledger::{Item, Ledger, LedgerLimits, NodeId};
use super::message::{read_written, write_item, write_own};
use crate::growing::{FileSystem, Growing};
use crate::purge::{Entry, Mode, Target};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More than there are processes at once: one that takes over while others drain.
const SLOTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Where a ledger is written, if it is.
pub(super) struct LedgerFile {
    growing: Option<Growing>,
    /// Held as long as the process has the file.
    _lock: Option<File>,
}

/// What was found on the disk.
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    pub(super) file: LedgerFile,
    /// What could not be read: purges that began here may be lost, that no other node has heard of. So one of everything is entered, and
    /// nothing is written before that has taken effect: see [`LedgerFile::mend`].
    pub(super) damaged: Vec<PathBuf>,
}

impl LedgerFile {
    /// None: what is known goes with the process.
    pub(super) fn none() -> Self {
        Self { growing: None, _lock: None }
    }

    /// Reads what is known. `fresh` is who the node is if it has nothing of its own.
    pub(super) fn open(
        file_system: Arc<dyn FileSystem>,
        folder: &Path,
        limits: LedgerLimits,
        fresh: NodeId,
    ) -> io::Result<Opened> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut damaged = Vec::new();
        let mut read = |slot: &'static str| -> io::Result<Option<Ledger>> {
            let bytes = match fs::read(folder.join(slot)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                bytes => bytes?,
            };
            // It was made, and never had anything: what it has first comes by a rename.
            if bytes.is_empty() {
                return Ok(None);
            }
            match read_written(&bytes).filter(|written| written.is_whole) {
                None => {
                    damaged.push(slot);
                    Ok(None)
                }
                Some(written) => Ok(Some(ledger_of(written.own, &written.items, limits))),
            }
        };
        let (slot, lock) = lock(folder)?;
        let mut ledger = slot.map(&mut read).transpose()?.flatten();
        let mine = ledger.get_or_insert_with(|| Ledger::new(fresh, limits));
        for other in SLOTS.into_iter().filter(|other| Some(*other) != slot) {
            if let Some(other) = read(other)? {
                mine.merge(&other);
            }
        }
        let mut ledger = ledger.unwrap_or_else(|| Ledger::new(fresh, limits));
        if !damaged.is_empty() {
            let all = ledger.begin(Arc::new(Entry::new(Target::Everything, Mode::Hard)), 0);
            ledger.enter(&all);
        }
        let growing = slot.map(|slot| Growing::open(file_system, &folder.join(slot), 0)).transpose()?;
        let file = Self { growing, _lock: lock };
        if damaged.is_empty() {
            file.rewrite(ledger.own(), &ledger.all().collect::<Vec<Item>>())?;
        }
        let damaged = damaged.into_iter().map(|slot| folder.join(slot)).collect();
        Ok(Opened { ledger, file, damaged })
    }

    /// Everything was purged because of files that could not be read: no start has to do so any more.
    pub(super) fn mend(&self, own: NodeId, items: &[Item], damaged: &[PathBuf]) -> io::Result<()> {
        self.rewrite(own, items)?;
        let is_own = |path: &Path| self.growing.as_ref().is_some_and(|growing| growing.path() == path);
        for other in damaged.iter().filter(|path| self.growing.is_some() && !is_own(path)) {
            if let Some(_lock) = try_lock(other)? {
                fs::remove_file(other)?;
            }
        }
        Ok(())
    }

    /// Writes what is about to be entered, on the disk by the time that this returns.
    pub(super) fn append(&self, items: &[Item]) -> io::Result<()> {
        let Some(growing) = &self.growing else { return Ok(()) };
        let mut bytes = Vec::new();
        items.iter().for_each(|item| write_item(item, &mut bytes));
        growing.append(&bytes)?;
        growing.sync()
    }

    /// Whether it is not known what of it is on the disk.
    pub(super) fn is_broken(&self) -> bool {
        self.growing.as_ref().is_some_and(Growing::is_broken)
    }

    /// Whether it is worth while to write it anew.
    pub(super) fn is_due(&self) -> bool {
        self.growing.as_ref().is_some_and(Growing::is_due)
    }

    /// Writes it anew, as the file of this node and with all that is known.
    pub(super) fn rewrite(&self, own: NodeId, items: &[Item]) -> io::Result<()> {
        let Some(growing) = &self.growing else { return Ok(()) };
        growing.rewrite(|| {
            let mut bytes = write_own(own);
            items.iter().for_each(|item| write_item(item, &mut bytes));
            bytes
        })
    }
}

/// The first file that no other process has.
fn lock(folder: &Path) -> io::Result<(Option<&'static str>, Option<File>)> {
    for slot in SLOTS {
        if let Some(lock) = try_lock(&folder.join(slot))? {
            return Ok((Some(slot), Some(lock)));
        }
    }
    Ok((None, None))
}

/// `None`: another process has it.
fn try_lock(slot: &Path) -> io::Result<Option<File>> {
    let path = slot.with_extension("lock");
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn ledger_of(own: NodeId, items: &[Item], limits: LedgerLimits) -> Ledger {
    let mut ledger = Ledger::new(own, limits);
    for item in items {
        if ledger.is_next(item) {
            ledger.enter(item);
        }
    }
    ledger
}
