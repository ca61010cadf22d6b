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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };

    #[test]
    fn pauses_double_until_they_are_the_longest() {
        let mut rng = SmallRng::seed_from_u64(9);
        for (attempt, plain_ms) in [(0, 100.0), (1, 200.0), (2, 400.0), (3, 800.0)] {
            let delay_ms = BACKOFF.delay(attempt, &mut rng).as_secs_f64() * 1000.0;
            assert!((plain_ms * 0.799..=plain_ms * 1.201).contains(&delay_ms), "{attempt}: {delay_ms} ms");
        }
        assert!(BACKOFF.delay(40, &mut rng) >= BACKOFF.max.mul_f64(0.799));
    }

    #[test]
    fn two_clients_do_not_march_in_step() {
        let mut rng = SmallRng::seed_from_u64(9);
        assert_ne!(BACKOFF.delay(3, &mut rng), BACKOFF.delay(3, &mut rng));
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_longest(first: u64, max: u64, attempt: u32, seed: u64) {
            let backoff = Backoff { first: Duration::from_nanos(first), max: Duration::from_nanos(max) };
            prop_assert!(backoff.delay(attempt, &mut SmallRng::seed_from_u64(seed)) <= backoff.max);
        }
    }
}
