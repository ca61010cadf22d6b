//! How often one client may come: the generic cell rate algorithm (ITU-T I.371, annex A).
//!
//! All that is kept of a client is one time: that at which it owes nothing, its theoretical arrival time. Each request
//! moves it one period further, and one that would move it further than `burst` periods from now is refused. A client
//! that stays away pays a request's debt each period.

use std::time::Duration;

/// Whether one more request may come. Times are nanoseconds since some moment that is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub is_allowed: bool,
    /// When the client owes nothing, from now on: to be kept for it.
    pub tat: u64,
    /// How many more may come right now.
    pub remaining: u32,
    /// Until `burst` may come at once again.
    pub reset: Duration,
    /// Until one may come again; zero when it was allowed.
    pub retry_after: Duration,
}

/// Decides on one request of a client whose time is `tat` (zero for one that is not known): one a `period` may come
/// and `burst` at once. Refusals cost nothing. A `tat` that no client of this limit can have, as after a limit was
/// changed, is taken for the furthest that it can.
pub fn decide(tat: u64, now: u64, period: u64, burst: u32) -> Decision {
    let debt_max = period.saturating_mul(u64::from(burst));
    let debt = tat.saturating_sub(now).min(debt_max);
    let wanted = debt.saturating_add(period);
    let is_allowed = wanted <= debt_max;
    let debt = if is_allowed { wanted } else { debt };
    let remaining = (debt_max - debt).checked_div(period).unwrap_or(u64::from(burst));
    Decision {
        is_allowed,
        tat: now.saturating_add(debt),
        remaining: u32::try_from(remaining).unwrap_or(burst),
        reset: Duration::from_nanos(debt),
        retry_after: Duration::from_nanos(if is_allowed { 0 } else { wanted - debt_max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_comes_at_once_and_then_one_a_period() {
        let (mut tat, now) = (0, 5 * SECOND);
        for left in (0..3).rev() {
            let decision = decide(tat, now, SECOND, 3);
            assert!(decision.is_allowed);
            assert_eq!(decision.remaining, left);
            tat = decision.tat;
        }
        let refused = decide(tat, now + SECOND / 4, SECOND, 3);
        assert!(!refused.is_allowed);
        assert_eq!(refused.remaining, 0);
        assert_eq!(refused.retry_after, Duration::from_millis(750));
        assert_eq!(refused.reset, Duration::from_millis(2750));
        assert_eq!(refused.tat, tat, "a refusal costs nothing");
        let next = decide(tat, now + SECOND, SECOND, 3);
        assert!(next.is_allowed);
        assert!(!decide(next.tat, now + SECOND, SECOND, 3).is_allowed);
    }

    #[test]
    fn who_stays_away_owes_nothing() {
        let decision = decide(SECOND, 100 * SECOND, SECOND, 2);
        assert_eq!((decision.is_allowed, decision.remaining), (true, 1), "and no more than a burst");
    }

    #[test]
    fn a_time_of_a_wider_limit_is_cut_to_the_narrower_one() {
        let decision = decide(1000 * SECOND, 0, SECOND, 2);
        assert_eq!(decision.retry_after, Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_window_lets_more_through_than_a_burst_and_its_periods(
            steps in proptest::collection::vec(0..3_000u64, 1..300), period in 1..2_000u64, burst in 1..20u32,
        ) {
            let (mut tat, mut now, mut passed) = (0, 1, Vec::new());
            for step in steps {
                now += step;
                let decision = decide(tat, now, period, burst);
                prop_assert!(decision.tat >= tat.min(now));
                if decision.is_allowed {
                    passed.push(now);
                } else {
                    let later = now + decision.retry_after.as_nanos() as u64;
                    prop_assert!(decide(decision.tat, later, period, burst).is_allowed, "after retry_after");
                    prop_assert!(!decide(decision.tat, later - 1, period, burst).is_allowed, "and not before");
                }
                tat = decision.tat;
            }
            for (at, start) in passed.iter().enumerate() {
                for (more, end) in passed[at..].iter().enumerate() {
                    prop_assert!((more as u64) < u64::from(burst) + (end - start) / period);
                }
            }
        }

        #[test]
        fn no_time_makes_it_panic(tat: u64, now: u64, period: u64, burst: u32) {
            let decision = decide(tat, now, period, burst);
            prop_assert!(decision.remaining <= burst);
        }
    }
}
