//! When a zone from elsewhere is asked for again, and when it is no longer believed: RFC 1035 §3.3.13, RFC 1912 §2.2.

use crate::transfer::soa_number;
use std::time::Duration;

/// Nobody is asked more often, whatever an SOA says.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// And not more seldom.
const INTERVAL_MAX: Duration = Duration::from_secs(14 * 86_400);
/// How long is waited where there is no SOA yet, at first and at most.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const FIRST_RETRY_MAX: Duration = Duration::from_secs(300);
/// Notifications are followed once in so long.
const NOTIFIED_EVERY: Duration = Duration::from_millis(500);

/// What an SOA says about when to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intervals {
    refresh: Duration,
    retry: Duration,
    expire: Duration,
}

impl Intervals {
    /// Of the data of an SOA.
    pub(crate) fn of_soa(data: &[u8]) -> Option<Self> {
        let number = |nth| Some(Duration::from_secs(soa_number(data, nth)?.into()));
        let bounded = |time: Duration| time.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let (refresh, retry) = (bounded(number(1)?), bounded(number(2)?));
        // A zone that expires before it is asked for again would come and go.
        Some(Self { refresh, retry, expire: number(3)?.max(refresh + retry) })
    }
}

/// When what happens. Times are since any moment, the same for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timers {
    /// What is served, and since when it is confirmed.
    known: Option<(Intervals, Duration)>,
    next: Duration,
    asked: Option<Duration>,
    failures: u32,
}

impl Timers {
    /// A zone of which nothing is known, or which was confirmed last at some time; it is asked for at once.
    pub(crate) fn new(known: Option<(Intervals, Duration)>, now: Duration) -> Self {
        Self { known, next: now, asked: None, failures: 0 }
    }

    /// When primaries are asked next.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// When the zone is not believed any more.
    pub(crate) fn expiry(&self) -> Option<Duration> {
        self.known.map(|(intervals, confirmed)| confirmed + intervals.expire)
    }

    /// Primaries are asked.
    pub(crate) fn ask(&mut self, now: Duration) {
        self.asked = Some(now);
    }

    /// A primary has this SOA. `draw` spreads many zones over time.
    pub(crate) fn confirmed(&mut self, intervals: Intervals, now: Duration, draw: u64) {
        self.known = Some((intervals, now));
        self.failures = 0;
        self.next = now + earlier(intervals.refresh, draw);
    }

    /// No primary had an answer.
    pub(crate) fn failed(&mut self, now: Duration, draw: u64) {
        self.failures = self.failures.saturating_add(1);
        let wait = match self.known {
            Some((intervals, _)) => intervals.retry,
            None => (FIRST_RETRY * 2u32.saturating_pow(self.failures.min(10) - 1)).min(FIRST_RETRY_MAX),
        };
        self.next = now + earlier(wait, draw);
    }

    /// A primary says that the zone has changed.
    pub(crate) fn notified(&mut self, now: Duration) {
        let soonest = self.asked.map_or(now, |asked| (asked + NOTIFIED_EVERY).max(now));
        self.next = self.next.min(soonest);
    }

    /// The zone expired: nothing is known any more.
    pub(crate) fn expire(&mut self) {
        self.known = None;
        self.failures = 0;
    }
}

/// Up to a tenth sooner.
fn earlier(time: Duration, draw: u64) -> Duration {
    time - time.mul_f64((draw >> 32) as f64 / f64::from(u32::MAX) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn intervals(refresh: u32, retry: u32, expire: u32) -> Intervals {
        let numbers = [1, refresh, retry, expire, 5];
        let data: Vec<u8> = numbers.iter().flat_map(|number: &u32| number.to_be_bytes()).collect();
        Intervals::of_soa(&[&[0, 0][..], &data].concat()).expect("it is whole")
    }

    #[test]
    fn a_zone_is_refreshed_and_retried_as_its_soa_says() {
        let mut timers = Timers::new(None, seconds(10));
        assert_eq!((timers.next(), timers.expiry()), (seconds(10), None));
        timers.confirmed(intervals(100, 20, 1000), seconds(11), 0);
        assert_eq!((timers.next(), timers.expiry()), (seconds(111), Some(seconds(1011))));
        timers.failed(seconds(111), 0);
        assert_eq!((timers.next(), timers.expiry()), (seconds(131), Some(seconds(1011))));
        timers.confirmed(intervals(100, 20, 1000), seconds(131), u64::MAX);
        assert_eq!((timers.next(), timers.expiry()), (seconds(221), Some(seconds(1131))), "a tenth sooner");
    }

    #[test]
    fn a_zone_that_never_came_is_asked_for_ever_more_seldom() {
        let mut timers = Timers::new(None, seconds(0));
        let waits: Vec<u64> = (0..12)
            .map(|_| {
                timers.failed(seconds(0), 0);
                timers.next().as_secs()
            })
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
    }

    #[test]
    fn who_is_told_asks_at_once_but_not_without_end() {
        let mut timers = Timers::new(None, seconds(0));
        timers.ask(seconds(0));
        timers.confirmed(intervals(100, 20, 1000), seconds(1), 0);
        timers.notified(seconds(50));
        assert_eq!(timers.next(), seconds(50));
        timers.ask(seconds(50));
        timers.confirmed(intervals(100, 20, 1000), seconds(50), 0);
        timers.notified(seconds(50));
        assert_eq!(timers.next(), seconds(50) + NOTIFIED_EVERY);
    }

    #[test]
    fn what_an_soa_says_is_bounded() {
        let mut timers = Timers::new(None, seconds(0));
        timers.confirmed(intervals(0, 0, 0), seconds(0), 0);
        assert_eq!((timers.next(), timers.expiry()), (seconds(1), Some(seconds(2))));
        timers.confirmed(intervals(u32::MAX, u32::MAX, 5), seconds(0), 0);
        assert_eq!((timers.next(), timers.expiry()), (INTERVAL_MAX, Some(INTERVAL_MAX * 2)));
        timers.expire();
        assert_eq!(timers.expiry(), None);
    }
}
