//! What tells one state of a file from another: `ETag` and `Last-Modified`.

use encoding::Coding;
use rustix::fs::Stat;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kernel's clock for files moves on by its ticks, 10 ms at most: two writes within one leave the same time.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// RFC 9110 §8.8.2.2: a date tells versions apart only once the second has passed, since then a second change in
/// it would have been seen.
const SECOND: Duration = Duration::from_secs(1);

/// The validators of one representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    /// The entity-tag with its quotes (RFC 9110 §8.8.3), and with `W/` where it is weak.
    pub(crate) etag: String,
    /// Whole seconds, not in the future (§8.8.2.1).
    pub(crate) modified: SystemTime,
    /// Whether the date alone tells this version from any other.
    pub(crate) is_date_strong: bool,
    /// Whether an earlier date may be of a later version: only the same date is then that of this one.
    pub(crate) is_date_out_of_order: bool,
}

impl Validators {
    /// From what the open file says of itself. The tag is of the time of change, the size and the inode: a file
    /// that is replaced by another of its size keeps none of its tags even where times are made up (reproducible
    /// builds). While the clock of the file system may not have moved on since the change, it is weak: the next
    /// change could leave no trace.
    pub(crate) fn of(stat: &Stat, coding: Option<Coding>, now: SystemTime) -> Self {
        let changed = changed(stat);
        let nanos = changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let weak = if now.duration_since(changed).is_ok_and(|age| age >= TICK) { "" } else { "W/" };
        let (dash, coding) = coding.map_or(("", ""), |coding| ("-", coding.token()));
        let etag = format!("{weak}\"{nanos:x}-{:x}-{:x}{dash}{coding}\"", stat.st_size, stat.st_ino);
        let modified = whole_seconds(changed.min(now));
        let is_date_strong = now.duration_since(modified).is_ok_and(|age| age > SECOND);
        Self { etag, modified, is_date_strong, is_date_out_of_order: false }
    }

    /// `Last-Modified`.
    pub(crate) fn last_modified(&self) -> String {
        httpdate::fmt_http_date(self.modified)
    }
}

/// When the file's content was changed.
pub(crate) fn changed(stat: &Stat) -> SystemTime {
    time_of(stat.st_mtime, stat.st_mtime_nsec)
}

/// A time as the kernel tells it, in seconds and nanoseconds. One before 1970 has no date in HTTP, and becomes its
/// beginning.
pub(crate) fn time_of(secs: i64, nanos: impl TryInto<u32>) -> SystemTime {
    let nanos = nanos.try_into().unwrap_or(0);
    u64::try_from(secs)
        .map_or(UNIX_EPOCH, |secs| UNIX_EPOCH.checked_add(Duration::new(secs, nanos)).unwrap_or(UNIX_EPOCH))
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let secs = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A regular file's stat; there is no way to make one but to ask for one.
    fn stat(secs: i64, nanos: i64, size: i64, inode: u64) -> Stat {
        let mut stat = rustix::fs::stat("/").unwrap();
        stat.st_mtime = secs as _;
        stat.st_mtime_nsec = nanos as _;
        stat.st_size = size as _;
        stat.st_ino = inode as _;
        stat
    }

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn time_size_inode_and_coding_each_change_the_tag() {
        let base = stat(1000, 5, 10, 7);
        let tag = |stat: &Stat, coding| Validators::of(stat, coding, at(5000)).etag;
        let tags = [
            tag(&base, None),
            tag(&stat(1000, 6, 10, 7), None),
            tag(&stat(1001, 5, 10, 7), None),
            tag(&stat(1000, 5, 11, 7), None),
            tag(&stat(1000, 5, 10, 8), None),
            tag(&base, Some(Coding::Gzip)),
            tag(&base, Some(Coding::Br)),
        ];
        for (index, one) in tags.iter().enumerate() {
            assert!(
                one.starts_with('"') && one.ends_with('"') && !one[1..one.len() - 1].contains('"'),
                "{one}"
            );
            assert!(!tags[..index].contains(one), "{one} stands twice");
        }
        assert_eq!(tags[0], tag(&base, None));
    }

    #[test]
    fn a_tag_is_weak_while_the_next_change_could_leave_no_trace() {
        let file = stat(1000, 500_000_000, 10, 7);
        let is_weak = |now| Validators::of(&file, None, now).etag.starts_with("W/");
        let changed = at(1000) + Duration::from_millis(500);
        assert!(is_weak(changed));
        assert!(is_weak(changed + Duration::from_millis(9)));
        assert!(!is_weak(changed + TICK));
        assert!(is_weak(changed - Duration::from_secs(60)), "a time to come says nothing");
    }

    #[test]
    fn last_modified_is_never_in_the_future() {
        let file = stat(5000, 0, 10, 7);
        let validators = Validators::of(&file, None, at(1000) + Duration::from_millis(300));
        assert_eq!(validators.modified, at(1000));
        assert!(!validators.is_date_strong);
    }

    #[test]
    fn a_date_is_strong_once_its_second_has_passed() {
        let file = stat(1000, 900_000_000, 10, 7);
        let is_strong = |now| Validators::of(&file, None, now).is_date_strong;
        assert!(!is_strong(at(1000) + Duration::from_millis(950)));
        assert!(!is_strong(at(1001)));
        assert!(is_strong(at(1002)));
    }

    #[test]
    fn times_that_http_cannot_write_become_ones_it_can() {
        for secs in [-1, i64::MIN, i64::MAX] {
            let validators = Validators::of(&stat(secs, 0, 10, 7), None, at(2_000_000_000));
            assert!(validators.last_modified().ends_with("GMT"), "{secs}");
        }
    }
}
