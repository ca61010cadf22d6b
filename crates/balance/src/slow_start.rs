//! A new or recovered endpoint gets its weight in ten steps, so that it is not hit by its full share while
//! its caches are cold.

use std::time::{Duration, Instant};

/// All of the weight, in the steps in which it is given.
pub(crate) const FULL: u32 = 10;

/// How much of its weight an endpoint has that began at `since`: 1 at first, [`FULL`] after `whole`.
pub(crate) fn tenths(since: Instant, whole: Duration, now: Instant) -> u32 {
    let gone = now.saturating_duration_since(since);
    if gone >= whole {
        return FULL;
    }
    1 + (gone.as_nanos() * u128::from(FULL - 1) / whole.as_nanos()) as u32
}

/// When it gets more; `None` when it has all.
pub(crate) fn next_step(since: Instant, whole: Duration, now: Instant) -> Option<Instant> {
    let tenths = tenths(since, whole, now);
    // A nanosecond more than the ninth part, which a division rounds down.
    (tenths < FULL).then(|| since + whole * tenths / (FULL - 1) + Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_grows_from_a_tenth_to_all_of_it() {
        let (since, whole) = (Instant::now(), Duration::from_secs(10));
        let at = |secs: f64| tenths(since, whole, since + Duration::from_secs_f64(secs));
        assert_eq!([at(0.0), at(1.2), at(5.0), at(9.9), at(10.0), at(99.0)], [1, 2, 5, 9, 10, 10]);
    }

    #[test]
    fn each_step_is_announced_and_each_announced_step_is_one() {
        let (since, whole) = (Instant::now(), Duration::from_millis(700));
        let (mut now, mut steps) = (since, vec![1]);
        while let Some(next) = next_step(since, whole, now) {
            assert!(next > now);
            now = next;
            steps.push(tenths(since, whole, now));
        }
        assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert!(now <= since + whole + Duration::from_nanos(1));
    }
}
