//! Growing pauses between tries.

use rand::{Rng, RngExt};
use std::time::Duration;

/// A pause that doubles with each failed try, spread by a fifth so that many clients do not march in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure, before it is spread.
    pub first: Duration,
    /// The longest pause, the spread included.
    pub max: Duration,
}

impl Backoff {
    /// The pause after the `attempt`-th failure in a row, counted from 0: `first · 2^attempt ± 20 %`,
    /// never above `max`.
    pub fn delay(&self, attempt: u32, rng: &mut impl Rng) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let spread = doubled.min(self.max).as_secs_f64() * rng.random_range(0.8..=1.2);
        Duration::try_from_secs_f64(spread).unwrap_or(self.max).min(self.max)
    }
}
