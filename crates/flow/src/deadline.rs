//! A point in time by which something must have happened.

use std::time::{Duration, Instant};

/// When a piece of work must be done, however many steps it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `time` from `now`; a time beyond the clock's range is capped at about a century.
    pub fn after(now: Instant, time: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
        Self(now + time.min(FAR))
    }

    /// What is left of the time; zero once it has passed.
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether the time is up.
    pub fn passed(self, now: Instant) -> bool {
        now >= self.0
    }

    /// The earlier of this deadline and `time` from `now`: a step's own limit within the whole's.
    #[must_use]
    pub fn within(self, now: Instant, time: Duration) -> Self {
        self.min(Self::after(now, time))
    }

    /// The point in time, for a timer.
    pub fn at(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_left_shrinks_to_zero_and_stays_there() {
        let now = Instant::now();
        let deadline = Deadline::after(now, SECOND * 3);
        assert_eq!(deadline.left(now + SECOND), SECOND * 2);
        assert!(!deadline.passed(now + SECOND * 2));
        assert!(deadline.passed(now + SECOND * 3));
        assert_eq!(deadline.left(now + SECOND * 9), Duration::ZERO);
    }

    #[test]
    fn an_endless_time_is_a_far_deadline_and_no_panic() {
        let now = Instant::now();
        assert!(Deadline::after(now, Duration::MAX).left(now) > SECOND * 86_400 * 365 * 50);
    }

    #[test]
    fn a_step_ends_no_later_than_the_whole() {
        let now = Instant::now();
        let whole = Deadline::after(now, SECOND * 3);
        assert_eq!(whole.within(now + SECOND, SECOND), Deadline::after(now, SECOND * 2));
        assert_eq!(whole.within(now + SECOND, SECOND * 9), whole);
    }
}
