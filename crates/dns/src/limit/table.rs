//! What is kept of those who are limited: one number each, in a table of fixed size that all cores share without a lock.
//!
//! The limit is the generic cell rate algorithm (ITU-T I.371, annex A): all that is kept is the time at which somebody owes nothing.
//! An entry is that time and a part of its key, in one atomic number. A key's bucket is one cache line; where that is full, whoever
//! owes least gives way. `admission::RateTable` does the same exactly, for requests: with a lock and a hash that cost three times as much.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Entries of a bucket: a cache line.
const WAYS: usize = 8;
/// Microseconds of the clock; it begins again after twelve days.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// What may be owed at most, in microseconds: less than half of the clock, so that the past is told from the future.
const DEBT_MAX: u64 = 1 << 38;

#[repr(align(64))]
#[derive(Default)]
struct Bucket([AtomicU64; WAYS]);

/// Who owes how much.
pub(crate) struct Table {
    buckets: Box<[Bucket]>,
    start: Instant,
    /// Known to nobody outside the process: whoever chooses addresses cannot choose where they are kept.
    secret: [u64; 3],
}

/// One answer a period, and `burst` at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Microseconds.
    period: u64,
    debt_max: u64,
}

impl Pace {
    /// Of so many a second. A burst is what comes in a second, at least one.
    pub(super) fn new(per_second: f64) -> Self {
        let period = ((1e6 / per_second).round() as u64).clamp(1, DEBT_MAX);
        let burst = (per_second.ceil() as u64).max(1);
        Self { period, debt_max: period.saturating_mul(burst).min(DEBT_MAX) }
    }
}

impl Table {
    /// What a table usually has: 1 MiB.
    pub(crate) const ENTRIES: usize = 1 << 17;

    /// Of so many entries, rounded up to a power of two. No time that is asked about is before `start`.
    pub(crate) fn new(entries: usize, start: Instant) -> Self {
        let buckets = entries.div_ceil(WAYS).next_power_of_two();
        let random = RandomState::new();
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            start,
            secret: std::array::from_fn(|nth| random.hash_one(nth) | 1),
        }
    }

    /// Counts one answer to somebody, unless it is one too many. Says whether it is not.
    #[inline]
    pub(super) fn is_allowed(&self, pace: Pace, subnet: u64, what: [u64; 2], now: Instant) -> bool {
        let now = now.saturating_duration_since(self.start).as_micros() as u64 & TIME;
        let [a, b, c] = self.secret;
        let key = folded(folded(subnet ^ a, what[0] ^ b) ^ what[1], c);
        // No entry is zero: that is one of nobody.
        let tag = key >> TIME_BITS | 1;
        let bucket = &self.buckets[key as usize & (self.buckets.len() - 1)].0;
        // Another core that was quicker has counted one as well: this goes on no longer than a burst.
        loop {
            let entries: [u64; WAYS] = std::array::from_fn(|way| bucket[way].load(Relaxed));
            let own = entries.iter().position(|entry| entry >> TIME_BITS == tag);
            let way = own.unwrap_or_else(|| least(&entries, now));
            let debt =
                if own.is_some() { debt(entries[way], now).min(pace.debt_max) } else { 0 } + pace.period;
            if debt > pace.debt_max {
                return false;
            }
            let next = tag << TIME_BITS | (now + debt) & TIME;
            if bucket[way].compare_exchange(entries[way], next, Relaxed, Relaxed).is_ok() {
                return true;
            }
        }
    }
}

/// How much an entry still owes. One whose time is past, or so far ahead as nobody can owe, owes nothing.
#[inline]
fn debt(entry: u64, now: u64) -> u64 {
    let ahead = entry.wrapping_sub(now) & TIME;
    if ahead <= DEBT_MAX { ahead } else { 0 }
}

#[inline]
fn least(entries: &[u64; WAYS], now: u64) -> usize {
    let mut least = (0, debt(entries[0], now));
    for (way, entry) in entries.iter().enumerate().skip(1) {
        let debt = debt(*entry, now);
        if debt < least.1 {
            least = (way, debt);
        }
    }
    least.0
}

/// Both halves of a product, folded, as in `zone::hash`.
#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_at_once_and_then_one_a_period() {
        let start = Instant::now();
        let (table, pace) = (Table::new(1024, start), Pace::new(4.0));
        let passed = |after_ms| {
            let now = start + Duration::from_millis(after_ms);
            (0..10).filter(|_| table.is_allowed(pace, 1, [2, 3], now)).count()
        };
        assert_eq!((passed(0), passed(249), passed(250), passed(800), passed(60_000)), (4, 0, 1, 2, 4));
    }

    #[test]
    fn it_goes_on_when_its_clock_begins_again() {
        let start = Instant::now();
        let (table, pace) = (Table::new(1024, start), Pace::new(2.0));
        for days in [0u64, 6, 7, 12, 13, 30, 400] {
            let now = start + Duration::from_secs(days * 86_400 + 61_000);
            let passed = (0..10).filter(|_| table.is_allowed(pace, 1, [2, 3], now)).count();
            assert_eq!(passed, 2, "after {days} days");
        }
        let wrap = start + Duration::from_micros(TIME - 100_000);
        assert_eq!((0..5).filter(|_| table.is_allowed(pace, 9, [2, 3], wrap)).count(), 2);
        let after = wrap + Duration::from_millis(400);
        assert!(!table.is_allowed(pace, 9, [2, 3], after), "what is owed is owed on");
        assert!(table.is_allowed(pace, 9, [2, 3], wrap + Duration::from_millis(500)));
    }

    #[test]
    fn who_is_limited_stays_so_however_many_others_come_once() {
        let now = Instant::now();
        let (table, pace) = (Table::new(64, now), Pace::new(20.0));
        while table.is_allowed(pace, 0, [0, 0], now) {}
        for subnet in 1..100_000 {
            assert!(table.is_allowed(pace, subnet, [0, 0], now), "a newcomer is not refused for it");
        }
        assert!(!table.is_allowed(pace, 0, [0, 0], now));
    }

    #[test]
    fn cores_that_share_it_let_no_more_through_than_one() {
        let now = Instant::now();
        let (table, pace) = (Table::new(1024, now), Pace::new(10_000.0));
        let passed = || (0..20_000).filter(|_| table.is_allowed(pace, 1, [0, 0], now)).count();
        let passed: usize = std::thread::scope(|scope| {
            let threads = [scope.spawn(passed), scope.spawn(passed)];
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        // Two that come first at once may each take a place.
        assert!((10_000..=10_001).contains(&passed), "{passed}");
    }

    proptest! {
        #[test]
        fn no_window_lets_more_through_than_a_burst_and_its_periods(
            steps in proptest::collection::vec(0..900_000u64, 1..200), rate in 1..50u32,
        ) {
            let start = Instant::now();
            let (table, pace) = (Table::new(64, start), Pace::new(rate.into()));
            let (mut now, mut passed) = (0, Vec::new());
            for step in steps {
                now += step / 10;
                if table.is_allowed(pace, 1, [0, 0], start + Duration::from_micros(now)) {
                    passed.push(now);
                }
            }
            for (at, first) in passed.iter().enumerate() {
                for (more, last) in passed[at..].iter().enumerate() {
                    prop_assert!((more as u64) < u64::from(rate) + (last - first) / pace.period);
                }
            }
        }
    }
}
