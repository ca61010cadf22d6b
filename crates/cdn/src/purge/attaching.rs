//! A log that comes to purges that were in memory alone, and one that leaves them: at a takeover.

use super::Purges;
use super::log::Log;
use crate::Error;
use crate::growing::Host;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

impl Purges {
    /// Whether purges are written where they survive the process.
    pub(crate) fn are_written(&self) -> bool {
        self.log().is_some()
    }

    /// Adds the purges of a log, whose numbers are below all that are known here, and writes these there: on the disk by the time that
    /// this returns, and purges from then on. Nobody who purges waits for the disk meanwhile.
    pub(crate) fn attach(&self, path: &Path) -> Result<(), Error> {
        self.merge(path)?;
        // Only now is there what was purged before: until this returns, the log by itself is not enough.
        self.rewrite_now()
    }

    /// The same, but of what is known here only what is purged from then on is written.
    pub(super) fn merge(&self, path: &Path) -> Result<(), Error> {
        let (log, before, sequence, _) = Log::open(Arc::new(Host), path)?;
        let mut held = self.log();
        assert!(held.is_none(), "purges are written to one log");
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        before.all().into_iter().for_each(|(number, target, mode)| table.enter(number, target, mode));
        // Of a damaged log it is above all that were lost.
        self.sequence.fetch_max(sequence, Ordering::Release);
        *held = Some(Arc::new(log));
        Ok(())
    }

    /// Writes purges nowhere from now on. All before are on the disk by the time that this returns.
    pub(crate) fn detach(&self) -> Result<(), Error> {
        // No log is written anew by the time that this is held, and none is that was taken out.
        let mut written = self.written();
        let log = self.log().take();
        let Some(log) = log else { return Ok(()) };
        log.sync().or_else(|_| self.rewrite(&log, &mut written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::{Mode, Target, Verdict};

    fn tag(purges: &Purges, tag: &str, since: u64) -> Verdict {
        purges.verdict(b"k", &[tag.into()], since).0
    }

    #[test]
    fn purges_from_before_and_from_both_processes_are_in_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges");
        let (old, _) = Purges::open(&path).unwrap();
        old.purge(Target::Tag("before"), Mode::Hard).unwrap();
        old.purge(Target::Prefix(b"k"), Mode::Soft).unwrap();
        let new = Purges::in_memory();
        new.raise(100);
        new.invalidate(Target::Tag("alone"), Mode::Hard).unwrap();
        assert!(old.are_written() && !new.are_written());
        old.detach().unwrap();
        old.purge(Target::Tag("too late"), Mode::Hard).unwrap();
        new.merge(&path).unwrap();
        new.invalidate(Target::Tag("meanwhile"), Mode::Hard).unwrap();
        new.rewrite_now().unwrap();
        new.invalidate(Target::Tag("after"), Mode::Hard).unwrap();
        drop((old, new));
        let (next, _) = Purges::open(&path).unwrap();
        assert_eq!(next.sequence(), 103);
        // All of the new process are about what the old one has kept.
        let expected = [("before", 0), ("alone", 100), ("meanwhile", 101), ("after", 102)];
        for (name, since) in expected {
            assert_eq!(tag(&next, name, since), Verdict::Hard, "{name}");
            assert_ne!(tag(&next, name, since + 1), Verdict::Hard, "{name}");
        }
        assert_eq!(tag(&next, "none", 0), Verdict::Soft);
        assert_eq!(tag(&next, "too late", 2), Verdict::Clean);
    }

    #[test]
    fn a_damaged_log_makes_everything_purged_that_was_asked_for_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges");
        std::fs::write(&path, b"no log at all").unwrap();
        let new = Purges::in_memory();
        new.raise(100);
        new.attach(&path).unwrap();
        assert_eq!(tag(&new, "any", 100), Verdict::Hard);
        assert_eq!(tag(&new, "any", new.sequence()), Verdict::Clean);
    }
}
