//! Purges on their way to the disk: the log is synced, and written anew, by whoever may wait; never by a core.

use super::log::{Log, written_anew};
use super::{Purges, table::Table};
use crate::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard, Weak};
use std::thread;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long it takes until a log is written anew once more, where that has failed.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What of the log is on the disk.
pub(super) struct Written {
    /// Purges up to this number.
    pub(super) upto: u64,
    /// It is another's by now, or soon: nothing takes its place any more.
    pub(super) is_ended: bool,
}

impl Purges {
    /// Waits until all purges up to a number are on the disk, and returns that.
    pub(crate) fn sync(&self, sequence: u64) -> Result<u64, Error> {
        let mut written = self.written();
        if written.upto >= sequence {
            return Ok(sequence);
        }
        // All that were entered before this moment are written by this one call.
        let (log, upto) = {
            let log = self.log();
            let Some(log) = log.as_ref() else { return Ok(sequence) };
            (Arc::clone(log), self.sequence())
        };
        match log.sync() {
            Ok(()) => written.upto = upto,
            // What is on the disk is not known: all of it is written once more.
            Err(_) => self.rewrite(&log, &mut written)?,
        }
        Ok(sequence)
    }

    /// Forgets purges up to a number, once all that is in memory was held against them: to what was not, they are as
    /// purges of everything. Waits for the disk.
    pub fn forget(&self, upto: u64) -> Result<(), Error> {
        self.table.write().unwrap_or_else(PoisonError::into_inner).forget(upto);
        self.rewrite_now()
    }

    /// Whether the log has become long, or is broken.
    pub(crate) fn is_log_due(&self) -> bool {
        self.log().as_ref().is_some_and(|log| log.is_due())
    }

    /// Has the log written anew if it is due, by a thread that tries until it is done or nobody purges any more.
    pub(crate) fn rewrite_if_due(self: &Arc<Self>) {
        if !self.is_log_due() || self.is_rewriting.swap(true, Ordering::AcqRel) {
            return;
        }
        let purges = Arc::downgrade(self);
        let spawned =
            thread::Builder::new().name("cdn-purges".into()).spawn(move || rewrite_until_done(&purges));
        // Where no thread can be had, the next purge tries again.
        if spawned.is_err() {
            self.is_rewriting.store(false, Ordering::Release);
        }
    }

    /// The folder is another's soon: nothing takes the place of its log any more. Waits for the disk.
    pub(crate) fn end_rewrites(&self) {
        self.written().is_ended = true;
    }

    pub(super) fn rewrite_now(&self) -> Result<(), Error> {
        let mut written = self.written();
        // Not held any longer than that.
        let log = self.log().clone();
        match log {
            Some(log) if !written.is_ended => self.rewrite(&log, &mut written),
            _ => Ok(()),
        }
    }

    pub(super) fn rewrite(&self, log: &Log, written: &mut Written) -> Result<(), Error> {
        if written.is_ended {
            return Err(Error::PurgeLog { source: std::io::Error::other("the log is another's by now") });
        }
        let mut upto = 0;
        log.rewrite(|| {
            // In this order: all up to the number are in the table.
            upto = self.sequence();
            written_anew(&self.table(), upto)
        })?;
        written.upto = upto.max(written.upto);
        Ok(())
    }

    pub(super) fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rewrite_until_done(purges: &Weak<Purges>) {
    let mut wait = RETRY_FIRST;
    while let Some(purges) = purges.upgrade() {
        if purges.rewrite_now().is_ok() {
            purges.is_rewriting.store(false, Ordering::Release);
            // What broke meanwhile was left to this thread.
            let is_left = purges.is_log_due() && !purges.written().is_ended;
            if !is_left || purges.is_rewriting.swap(true, Ordering::AcqRel) {
                return;
            }
            continue;
        }
        drop(purges);
        thread::sleep(wait);
        wait = (wait * 2).min(RETRY_MAX);
    }
}
