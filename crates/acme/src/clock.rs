//! What the time is: injected, so that tests move it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Tells the time of day. Certificates live by it, so it is not the monotonic one.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// One that stands at `start` until it is moved by the second value.
    pub fn standing(start: SystemTime) -> (Self, Hand) {
        let time = Arc::new(Mutex::new(start));
        let hand = Hand(Arc::clone(&time));
        (Self(Arc::new(move || *time.lock().unwrap_or_else(PoisonError::into_inner))), hand)
    }

    /// The time.
    pub fn now(&self) -> SystemTime {
        self.0()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// Moves a standing clock.
#[derive(Debug)]
pub struct Hand(Arc<Mutex<SystemTime>>);

impl Hand {
    /// Moves it on by `time`.
    pub fn advance(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

/// Seconds of the Unix epoch, as files have them.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The moment of such seconds; those past every calendar are its end.
pub(crate) fn from_unix_seconds(seconds: u64) -> SystemTime {
    /// The end of the year 9999, as in RFC 5280 §4.1.2.5.
    const SECONDS_MAX: u64 = 253_402_300_799;
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(SECONDS_MAX))
}

/// Milliseconds of the Unix epoch, as status has them.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
