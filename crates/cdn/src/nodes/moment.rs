//! A moment, by both clocks.

use std::ops::Add;
use std::time::{Duration, Instant, SystemTime};

/// A moment by the clock that nobody sets but that stands still while the machine sleeps, and by that of the wall, which goes on and may be
/// set. What has happened since is judged by the one that says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    steady: Instant,
    wall: SystemTime,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self::at(Instant::now(), SystemTime::now())
    }

    /// One that both clocks show.
    pub fn at(steady: Instant, wall: SystemTime) -> Self {
        Self { steady, wall }
    }

    /// By the clock of the wall.
    pub fn wall(self) -> SystemTime {
        self.wall
    }

    /// How long ago another one was, at least.
    pub fn since(self, then: Self) -> Duration {
        let by_wall = self.wall.duration_since(then.wall).unwrap_or_default();
        self.steady.saturating_duration_since(then.steady).max(by_wall)
    }

    /// So long before, if clocks go back so far.
    pub fn checked_sub(self, ago: Duration) -> Option<Self> {
        Some(Self::at(self.steady.checked_sub(ago)?, self.wall.checked_sub(ago)?))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self::at(self.steady + later, self.wall + later)
    }
}
