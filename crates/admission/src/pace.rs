//! How fast bytes may flow on one connection.

use std::time::{Duration, Instant};

/// Bytes that may come at once after a pause, as a share of a second: a client feels no stutter from it, and no
/// second sees more than a quarter too much.
const BURST: Duration = Duration::from_millis(250);

/// The pace of one connection's bytes: a bucket that fills at the rate. A write may overdraw it, because it is not
/// known before how much the other side will take; whoever has written waits until it is paid.
#[derive(Debug, Clone)]
pub struct Pace {
    bytes_per_second: u64,
    /// When everything that was sent is paid for; in the past for who may send at once.
    paid: Instant,
}

impl Pace {
    /// So many bytes a second, at least one.
    pub fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid: now.checked_sub(BURST).unwrap_or(now) }
    }

    /// Another rate from now on; what is owed stays owed.
    pub fn set_rate(&mut self, bytes_per_second: u64) {
        self.bytes_per_second = bytes_per_second.max(1);
    }

    /// Counts bytes that were sent: how long to wait before more are, if at all.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Option<Duration> {
        let since = now.checked_sub(BURST).map_or(self.paid, |since| self.paid.max(since));
        let nanos = (bytes as u128) * 1_000_000_000 / u128::from(self.bytes_per_second);
        self.paid = since + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).min(YEAR_NANOS));
        self.paid.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }
}

/// A longer wait is no wait but an end; past it, an `Instant` may not be able to tell.
const YEAR_NANOS: u64 = 365 * 86_400 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quarter_of_a_second_s_worth_goes_at_once_and_the_rest_waits() {
        let now = Instant::now();
        let mut pace = Pace::new(1000, now);
        assert_eq!(pace.take(250, now), None);
        assert_eq!(pace.take(1, now), Some(Duration::from_millis(1)));
        assert_eq!(pace.take(1000, now + Duration::from_millis(1)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_pause_is_worth_no_more_than_the_burst() {
        let now = Instant::now();
        let mut pace = Pace::new(1000, now);
        assert_eq!(pace.take(251, now + Duration::from_secs(60)), Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_new_rate_holds_for_what_comes() {
        let now = Instant::now();
        let mut pace = Pace::new(1000, now);
        assert_eq!(pace.take(350, now), Some(Duration::from_millis(100)));
        pace.set_rate(10_000);
        assert_eq!(pace.take(100, now), Some(Duration::from_millis(110)));
    }

    proptest! {
        #[test]
        fn who_waits_as_told_sends_at_the_rate(
            sizes in proptest::collection::vec(1..100_000usize, 1..100), rate in 1_000..1_000_000u64,
        ) {
            let start = Instant::now();
            let (mut pace, mut now) = (Pace::new(rate, start), start);
            for bytes in &sizes {
                now += pace.take(*bytes, now).unwrap_or_default();
            }
            let sent = sizes.iter().sum::<usize>() as f64;
            let due = (now - start).as_secs_f64() * rate as f64;
            prop_assert!(sent <= due + rate as f64 / 4.0 + 2.0 * sizes.len() as f64, "{sent} of {due}");
            prop_assert!(now == start || sent + 1.0 >= due, "{sent} of {due}");
        }

        #[test]
        fn no_number_makes_it_panic(bytes: usize, rate: u64) {
            let now = Instant::now();
            let _ = Pace::new(rate, now).take(bytes, now);
        }
    }
}
