//! Files that were opened a moment ago, and are opened again without asking for their names.

use crate::folder::{Entry, Failure, Folder, FoundFile};
use crate::validators::{TICK, time_of};
use rustix::fs::{Stat, fstat};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// How long a name means the file that it meant: as long as a folder that was replaced may still be served.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Files that are kept open in each half of the time; a further one is opened anew for each request.
const FILES_MAX: usize = 256;

/// A file up to this size is kept with its content.
const CONTENT_BYTES_MAX: u64 = 16 << 10;

/// The files that one core has answered with in the last second.
///
/// A hit asks the open file what it is by now (`fstat`), and is none if anything about it has changed: a file that
/// was written to, renamed, replaced or removed is looked up by its name again, at once. What is not noticed until
/// [`KEPT_FOR`] has passed is a change of the folders above it, or of a symlink on the way to it. So what a head says is still read from the very file
/// that its body is read from.
///
/// Of memory it takes [`FILES_MAX`] descriptors and contents, twice: what was kept is forgotten all at once, half a
/// time later than the last of it was put there.
#[derive(Debug, Default)]
pub struct Recent(RefCell<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Vec<u8>, Kept>,
    old: HashMap<Vec<u8>, Kept>,
    /// When `young` was begun.
    begun: Option<SystemTime>,
    /// The key that is asked for: no memory is needed for a question.
    key: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    found: FoundFile,
    at: SystemTime,
}

impl Recent {
    /// What this name leads to below a folder; `open` looks, and is asked if it is not known.
    pub(crate) fn entry(
        &self,
        folder: &Folder,
        name: &[u8],
        now: SystemTime,
        open: impl Fn() -> Result<Entry, Failure>,
    ) -> Result<Entry, Failure> {
        let generations = &mut *self.0.borrow_mut();
        generations.turn(now);
        generations.key.clear();
        generations.key.extend_from_slice(&folder.id().to_ne_bytes());
        generations.key.extend_from_slice(name);
        if let Some(found) = generations.get(now) {
            return Ok(Entry::File(found));
        }
        let mut entry = match open() {
            // There may be no descriptors left: those here are the first to go.
            Err(Failure::Busy(_)) => {
                generations.old.clear();
                generations.young.clear();
                open()?
            }
            other => other?,
        };
        if let Entry::File(found) = &mut entry
            && generations.young.len() < FILES_MAX
        {
            if found.size() <= CONTENT_BYTES_MAX && is_settled(&found.stat, now) {
                found.file.keep_content(found.size());
            }
            generations.young.insert(generations.key.clone(), Kept { found: found.clone(), at: now });
        }
        Ok(entry)
    }

    /// Forgets what is older than it may be; called now and then, so that an idle core holds no file open.
    pub fn forget_old(&self, now: SystemTime) {
        self.0.borrow_mut().turn(now);
    }
}

impl Generations {
    /// Lets go of the old ones when their time has passed.
    fn turn(&mut self, now: SystemTime) {
        let age = self.begun.map(|begun| now.duration_since(begun));
        match age {
            Some(Ok(age)) if age < KEPT_FOR => {}
            Some(Ok(age)) if age < 2 * KEPT_FOR => {
                self.old = std::mem::take(&mut self.young);
                self.begun = Some(now);
            }
            // Nothing is left that is young enough, or the clock was set back.
            _ => {
                self.old.clear();
                self.young.clear();
                self.begun = Some(now);
            }
        }
    }

    fn get(&self, now: SystemTime) -> Option<FoundFile> {
        let kept = self.young.get(&self.key).or_else(|| self.old.get(&self.key))?;
        let is_young = now.duration_since(kept.at).is_ok_and(|age| age < KEPT_FOR);
        let is_as_it_was =
            is_young && fstat(&kept.found.file).is_ok_and(|stat| is_same(&stat, &kept.found.stat));
        is_as_it_was.then(|| kept.found.clone())
    }
}

/// Whether nothing of a file has changed. Its time of change moves on with its content, its names and its rights.
fn is_same(one: &Stat, other: &Stat) -> bool {
    let about = |stat: &Stat| {
        (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec, stat.st_nlink)
    };
    about(one) == about(other)
}

/// Whether the next change of a file must leave a trace in its times: the kernel's clock for them has moved on.
fn is_settled(stat: &Stat, now: SystemTime) -> bool {
    let times = [time_of(stat.st_mtime, stat.st_mtime_nsec), time_of(stat.st_ctime, stat.st_ctime_nsec)];
    times.into_iter().all(|time| now.duration_since(time).is_ok_and(|age| age >= TICK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Patience;

    fn kept(recent: &Recent) -> usize {
        let generations = recent.0.borrow();
        generations.young.len() + generations.old.len()
    }

    fn open(recent: &Recent, folder: &Folder, name: &str, now: SystemTime) {
        let open = || folder.entry(name.as_bytes(), Patience::Any);
        assert!(matches!(recent.entry(folder, name.as_bytes(), now, open), Ok(Entry::File(_))));
    }

    #[test]
    fn so_many_files_are_kept_and_no_more_and_none_for_longer_than_two_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path(), Patience::Any).unwrap();
        let (recent, start) = (Recent::default(), SystemTime::now());
        for half in 0..3 {
            for number in 0..FILES_MAX + 10 {
                let name = format!("{half}-{number}");
                std::fs::write(dir.path().join(&name), "x").unwrap();
                open(&recent, &folder, &name, start + KEPT_FOR * half);
            }
            assert_eq!(kept(&recent), FILES_MAX * (1 + half.min(1) as usize));
        }
        recent.forget_old(start + KEPT_FOR * 3);
        assert_eq!(kept(&recent), FILES_MAX);
        recent.forget_old(start + KEPT_FOR * 4);
        assert_eq!(kept(&recent), 0);
    }

    #[test]
    fn content_is_kept_of_small_files_that_have_come_to_rest() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path(), Patience::Any).unwrap();
        std::fs::write(dir.path().join("small"), "small").unwrap();
        std::fs::write(dir.path().join("large"), vec![0; CONTENT_BYTES_MAX as usize + 1]).unwrap();
        let written = std::fs::metadata(dir.path().join("small")).unwrap().modified().unwrap();
        for (name, later, is_kept) in [("small", 1000, true), ("large", 1000, false), ("small", 0, false)] {
            let recent = Recent::default();
            open(&recent, &folder, name, written + Duration::from_millis(later));
            let generations = recent.0.borrow();
            let file = &generations.young.values().next().unwrap().found.file;
            assert_eq!(file.keeps_content(), is_kept, "{name} after {later} ms");
        }
    }
}
