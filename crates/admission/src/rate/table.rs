//! What is kept of clients whose rate is limited: one table for all cores.
//!
//! It has so many places and never more. A client's key says in which bucket of [`WAYS`] places it stands, if at all;
//! where a bucket is full, the place of whoever owes least is taken: first one that owes nothing, whose going changes
//! nothing, then one that is closest to it. So whoever wants a limited client forgotten has to owe as much as it, with
//! as many other clients as a bucket has places, in each bucket, because nobody knows which: they spend their own
//! bursts, [`WAYS`] times as many requests as are won by it. The newcomer always gets a place: were it not counted, a
//! table full of debtors would be free for everybody else.

use super::gcra::{Decision, decide};
use super::limit::RateLimit;
use crate::client::Key;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use telemetry::{Counter, Registry};

/// Places of a bucket, all of which are looked at: two cache lines of keys, two of times.
const WAYS: usize = 16;
/// Locks; a power of two, and far more than there are cores.
const SHARDS: usize = 64;

/// What is kept of clients by all limits of a node: 16 bytes each, within a fixed number.
pub struct RateTable {
    shards: Box<[Mutex<Box<[Bucket]>>]>,
    /// A power of two, less one.
    bucket_mask: u64,
    /// The moment that times are counted from.
    start: Instant,
    evicted: Counter,
}

#[derive(Clone, Copy)]
struct Bucket {
    keys: [u64; WAYS],
    tats: [u64; WAYS],
}

impl RateTable {
    /// Clients that are known at once, unless somebody wants another number: 2 MiB.
    pub const ENTRIES: usize = 1 << 17;

    /// A table for about so many clients, rounded up to a power of two and no fewer than 1,024. `start` is no later
    /// than any `now` that will be asked about.
    pub fn new(entries_max: usize, start: Instant, registry: &Registry) -> Self {
        let buckets = entries_max.div_ceil(WAYS * SHARDS).next_power_of_two();
        let empty = Bucket { keys: [0; WAYS], tats: [0; WAYS] };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(vec![empty; buckets].into())).collect(),
            bucket_mask: buckets as u64 - 1,
            start,
            evicted: registry.counter(
                "nines_admission_rate_evicted_total",
                "Clients forgotten before their time because the table of limited clients was full.",
                &[],
            ),
        }
    }

    /// How many clients it has place for.
    pub fn entries_max(&self) -> usize {
        self.shards.len() * (self.bucket_mask as usize + 1) * WAYS
    }

    /// Counts one request of a client, unless it is refused.
    pub fn check(&self, limit: &RateLimit, client: Key, now: Instant) -> Decision {
        let now = self.nanoseconds(now);
        let key = client.within(limit.scope).0;
        let mut buckets = self.shard(key);
        let bucket = &mut buckets[self.bucket(key)];
        if let Some(at) = bucket.keys.iter().position(|known| *known == key) {
            let decision = decide(bucket.tats[at], now, limit.period, limit.burst);
            bucket.tats[at] = decision.tat;
            return decision;
        }
        let decision = decide(0, now, limit.period, limit.burst);
        let (at, least) = least_of(&bucket.tats);
        bucket.keys[at] = key;
        bucket.tats[at] = decision.tat;
        drop(buckets);
        if least > now {
            self.evicted.inc();
        }
        decision
    }

    /// What [`RateTable::check`] would decide, with nothing counted.
    pub fn foresee(&self, limit: &RateLimit, client: Key, now: Instant) -> Decision {
        let key = client.within(limit.scope).0;
        let bucket = self.shard(key)[self.bucket(key)];
        let known = bucket.keys.iter().position(|known| *known == key);
        decide(known.map_or(0, |at| bucket.tats[at]), self.nanoseconds(now), limit.period, limit.burst)
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_nanos() as u64
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Box<[Bucket]>> {
        self.shards[key as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, key: u64) -> usize {
        // The bits above those that have chosen the shard.
        ((key >> 32) & self.bucket_mask) as usize
    }
}

fn least_of(tats: &[u64; WAYS]) -> (usize, u64) {
    let mut least = (0, tats[0]);
    for (at, tat) in tats.iter().enumerate() {
        if *tat < least.1 {
            least = (at, *tat);
        }
    }
    least
}

impl fmt::Debug for RateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateTable").field("entries_max", &self.entries_max()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn table(start: Instant) -> RateTable {
        RateTable::new(0, start, &Registry::new())
    }

    fn client(number: u32) -> Key {
        Key::of_value(&number.to_be_bytes())
    }

    fn limit(scope: &str, rate: &str) -> RateLimit {
        RateLimit::new(scope, rate.parse().unwrap(), None)
    }

    #[test]
    fn clients_and_scopes_are_limited_apart() {
        let now = Instant::now();
        let (table, limit_a, limit_b) = (table(now), limit("a", "1/s"), limit("b", "1/s"));
        assert!(table.check(&limit_a, client(1), now).is_allowed);
        assert!(!table.check(&limit_a, client(1), now).is_allowed);
        assert!(table.check(&limit_a, client(2), now).is_allowed);
        assert!(table.check(&limit_b, client(1), now).is_allowed);
        assert!(table.check(&limit_a, client(1), now + Duration::from_secs(1)).is_allowed);
    }

    #[test]
    fn what_is_foreseen_is_decided_and_costs_nothing() {
        let now = Instant::now();
        let (table, limit) = (table(now), limit("a", "2/s"));
        for allowed in [true, true, false, false] {
            let foreseen = table.foresee(&limit, client(1), now);
            assert_eq!(foreseen, table.foresee(&limit, client(1), now));
            assert_eq!(foreseen, table.check(&limit, client(1), now));
            assert_eq!(foreseen.is_allowed, allowed);
        }
        let known = |table: &RateTable| {
            let buckets = table.shards.iter().flat_map(|shard| shard.lock().unwrap().to_vec());
            buckets.flat_map(|bucket| bucket.keys).filter(|key| *key != 0).count()
        };
        table.foresee(&limit, client(2), now);
        assert_eq!(known(&table), 1, "nobody is remembered for it");
    }

    #[test]
    fn it_has_so_many_places_and_no_more() {
        let now = Instant::now();
        assert_eq!(table(now).entries_max(), 1024);
        assert_eq!(RateTable::new(5000, now, &Registry::new()).entries_max(), 8192);
    }

    #[test]
    fn a_limited_client_stays_so_however_many_others_come_once() {
        let now = Instant::now();
        let (table, limit) = (table(now), limit("a", "10/s"));
        while table.check(&limit, client(0), now).is_allowed {}
        for number in 1..100_000 {
            assert!(table.check(&limit, client(number), now).is_allowed, "a newcomer is not refused for it");
        }
        assert!(table.evicted.get() > 90_000);
        assert!(!table.check(&limit, client(0), now).is_allowed);
    }

    #[test]
    fn who_owes_nothing_gives_way_unnoticed() {
        let start = Instant::now();
        let (table, limit) = (table(start), limit("a", "10/s"));
        for second in 0..200 {
            for number in 0..5 {
                table.check(&limit, client(second * 5 + number), start + Duration::from_secs(second.into()));
            }
        }
        assert_eq!(table.evicted.get(), 0);
    }

    #[test]
    fn cores_that_share_it_let_no_more_through_than_one() {
        let now = Instant::now();
        let (table, limit) = (table(now), limit("a", "1000/s"));
        let passed = || (0..2_000).filter(|_| table.check(&limit, client(1), now).is_allowed).count();
        let passed: usize = std::thread::scope(|scope| {
            let threads = [scope.spawn(passed), scope.spawn(passed)];
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(passed, 1000);
    }
}
