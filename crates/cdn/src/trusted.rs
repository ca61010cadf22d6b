//! What is kept may be served as far as other nodes were heard: as a hit asks for it.

use crate::nodes::Trust;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whoever asks has looked at the clock a moment before; one that shows an earlier time was set back.
const ASKED_WITHIN: Duration = Duration::from_secs(1);

/// Times are in milliseconds of the wall's clock, which goes on while the machine sleeps.
#[derive(Debug)]
pub(crate) struct Trusted {
    /// From when on that is known: by a clock that shows an earlier time, it would hold for too long.
    since: AtomicU64,
    /// All of it until then.
    until: AtomicU64,
    /// What was asked for since the purge of the number `floor`, until then.
    partly_until: AtomicU64,
    floor: AtomicU64,
}

impl Default for Trusted {
    /// Nobody else purges.
    fn default() -> Self {
        Self { since: 0.into(), until: u64::MAX.into(), partly_until: 0.into(), floor: 0.into() }
    }
}

impl Trusted {
    /// When was it said, and what; with nothing, all is trusted for good.
    pub(crate) fn set(&self, said: Option<(SystemTime, Trust)>) {
        let (since, until, partly_until, floor) = match said {
            None => (0, u64::MAX, 0, 0),
            Some((now, Trust { remaining, floor })) => {
                let until = remaining.map_or(0, |remaining| milliseconds(now + remaining));
                let since = milliseconds(now - ASKED_WITHIN);
                if floor == 0 { (since, until, 0, 0) } else { (since, 0, until, floor) }
            }
        };
        // A time that belongs to a higher floor never meets a lower one.
        self.partly_until.store(0, Ordering::Relaxed);
        self.floor.fetch_max(floor, Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
        self.until.store(until, Ordering::Relaxed);
        self.floor.store(floor, Ordering::Relaxed);
        self.partly_until.store(partly_until, Ordering::Release);
    }

    /// Whether what was asked for after the purge of this number may be served as it is.
    #[inline]
    pub(crate) fn contains(&self, asked: u64, now: SystemTime) -> bool {
        let now_ms = milliseconds(now);
        now_ms >= self.since.load(Ordering::Relaxed)
            && (now_ms < self.until.load(Ordering::Relaxed) || self.contains_partly(asked, now_ms))
    }

    #[cold]
    fn contains_partly(&self, asked: u64, now_ms: u64) -> bool {
        now_ms < self.partly_until.load(Ordering::Acquire) && asked >= self.floor.load(Ordering::Relaxed)
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1000 + u64::from(since.subsec_millis())
}
