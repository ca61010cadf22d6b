//! When a certificate is renewed and when a failed order is tried again: pure decisions.

use flow::Backoff;
use rand::{Rng, RngExt};
use std::time::{Duration, SystemTime};

/// The pauses after failed orders: from a minute to half a day.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(60), max: Duration::from_secs(12 * 3600) };

/// The pauses of all orders after refusals because of a rate limit: it may be the name's or the account's, and
/// only the next order shows which.
pub(crate) const SERVER_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(60), max: Duration::from_secs(3600) };

/// The pause after a refusal because of a rate limit that says no time (RFC 8555 §6.6: it SHOULD).
const RATE_LIMITED_MIN: Duration = Duration::from_secs(3600);

/// The longest wish for later that is granted; what is longer is asked again after it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The age from which a revoked certificate is ordered anew.
const REVOKED_AGE_MIN: Duration = Duration::from_secs(86_400);

/// How much the clocks of nodes may differ.
const SKEW_MAX: Duration = Duration::from_secs(3600);

/// Certificates that were issued together are renewed within this part of their life.
const JITTER: f64 = 0.01;

/// When a certificate's renewal is due: at two thirds of its life.
pub fn renewal(not_before: SystemTime, not_after: SystemTime) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    not_before + life.mul_f64(2.0 / 3.0)
}

/// Whether a certificate is to be renewed now.
pub fn due(not_before: SystemTime, not_after: SystemTime, now: SystemTime) -> bool {
    now >= renewal(not_before, not_after)
}

/// The moment of this node's renewal: [`renewal`], and up to a hundredth of the life later, so that what was
/// issued together is not ordered together.
pub(crate) fn spread_renewal(
    not_before: SystemTime,
    not_after: SystemTime,
    rng: &mut impl Rng,
) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    renewal(not_before, not_after) + life.mul_f64(rng.random_range(0.0..=JITTER))
}

/// Whether a certificate that its responder calls revoked is ordered anew: not in its first day, so that a
/// responder that is wrong about all of them does not make us order without end.
pub(crate) fn is_replaced_when_revoked(not_before: SystemTime, now: SystemTime) -> bool {
    now >= not_before + REVOKED_AGE_MIN
}

/// When an order is tried again after its `failures`-th failure in a row, counted from 1.
pub(crate) fn next_try(
    failures: u32,
    is_rate_limited: bool,
    retry_after: Option<SystemTime>,
    now: SystemTime,
    rng: &mut impl Rng,
) -> SystemTime {
    let mut pause = BACKOFF.delay(failures.saturating_sub(1), rng);
    if is_rate_limited && retry_after.is_none() {
        pause = pause.max(RATE_LIMITED_MIN);
    }
    let wished = retry_after.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
    now + pause.max(wished.min(RETRY_AFTER_MAX))
}

/// A time that another node, or this one before a restart, has left for the next try. One that lies further off
/// than any we set is a wrong clock's, and no reason to wait.
pub(crate) fn credible(next_try: SystemTime, now: SystemTime) -> Option<SystemTime> {
    Some(next_try).filter(|at| *at <= now + RETRY_AFTER_MAX + SKEW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(days: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * days
    }

    #[test]
    fn a_certificate_of_ninety_days_is_due_after_sixty() {
        assert!(!due(day(100), day(190), day(160) - Duration::from_secs(1)));
        assert!(due(day(100), day(190), day(160)));
        assert!(due(day(100), day(190), day(500)));
        assert!(due(day(100), day(100), day(100)), "one without a life is due at once");
        assert!(due(day(190), day(100), day(190)), "and so is one that ends before it begins");
    }

    #[test]
    fn renewals_of_one_day_are_spread_and_late_never_early() {
        let mut rng = SmallRng::seed_from_u64(3);
        let times: Vec<SystemTime> = (0..20).map(|_| spread_renewal(day(0), day(90), &mut rng)).collect();
        assert!(times.iter().all(|time| (day(60)..=day(61)).contains(time)));
        assert_ne!(times[0], times[1]);
    }

    #[test]
    fn pauses_grow_from_a_minute_to_half_a_day() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut pause =
            |failures| next_try(failures, false, None, day(1), &mut rng).duration_since(day(1)).unwrap();
        assert!((48..=72).contains(&pause(1).as_secs()));
        assert!((96..=144).contains(&pause(2).as_secs()));
        assert!((12 * 3600 * 8 / 10..=12 * 3600).contains(&pause(40).as_secs()));
    }

    #[test]
    fn a_server_that_wants_later_is_heard_later() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut at = |limited, after| next_try(1, limited, after, day(1), &mut rng);
        assert_eq!(at(true, Some(day(2))), day(2));
        assert!(at(true, None) >= day(1) + Duration::from_secs(3600));
        assert_eq!(at(true, Some(day(100))), day(8), "a week is the longest");
        assert!(at(true, Some(day(0))) > day(1), "a wish for the past does not make us hammer");
        assert_eq!(credible(day(100), day(1)), None, "a wrong clock has left that");
        assert_eq!(credible(day(8), day(1)), Some(day(8)));
    }

    proptest! {
        #[test]
        fn a_next_try_is_never_sooner_than_most_of_a_minute(failures in 1u32.., limited: bool, days in 0u32..400, seed: u64) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let at = next_try(failures, limited, Some(day(days)), day(100), &mut rng);
            prop_assert!(at >= day(100) + Duration::from_secs(48));
            prop_assert!(at <= day(107));
        }
    }
}
