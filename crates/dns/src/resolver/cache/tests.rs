use super::shard::{ENTRY_BYTES, FLUSHED_AT_ONCE};
use super::*;
use crate::protocol::Name;
use crate::resolver::key::Key;
use proptest::prelude::*;

fn terms() -> Terms {
    Terms { ttl_min_s: 0, ttl_max_s: 86_400, negative_max_s: 3600, stale_s: 100, prefetch: true }
}

fn key(nth: usize) -> Key {
    let name: Name = format!("n{nth}.test").parse().unwrap();
    Key::new(&name, Asked { rtype: 1, dnssec_ok: false, checking_disabled: false, subnet: None })
}

fn stored(at_ms: u64, ttl_s: u32, bytes: usize) -> Stored {
    let meta = Meta {
        stored_ms: at_ms,
        ttl_s,
        rcode: 0,
        authentic: false,
        is_failure: false,
        extended: None,
        scope: 0,
        for_all: false,
        counts: [1, 0, 0],
        ttls: 0,
    };
    Stored { meta, bytes: vec![7; bytes].into() }
}

fn put(cache: &Cache, key: &Key, stored: Stored) {
    cache.put(&key.name, key.asked, key.hash(), stored);
}

fn look(cache: &Cache, key: &Key, now_ms: u64) -> Found {
    cache.look(&key.name, key.asked, key.hash(), (now_ms, &terms()), |hit| {
        assert!(hit.body.iter().all(|octet| *octet == 7));
        true
    })
}

#[test]
fn an_answer_is_found_by_what_was_asked_and_nothing_else() {
    let cache = Cache::new(1 << 20);
    put(&cache, &key(1), stored(0, 60, 10));
    assert_eq!(look(&cache, &key(1), 0), Found::Fresh);
    assert_eq!(look(&cache, &key(2), 0), Found::Nothing);
    let name: Name = "n1.test".parse().unwrap();
    for asked in [
        Asked { rtype: 28, ..key(1).asked },
        Asked { dnssec_ok: true, ..key(1).asked },
        Asked { checking_disabled: true, ..key(1).asked },
    ] {
        assert_eq!(look(&cache, &Key::new(&name, asked), 0), Found::Nothing);
    }
}

#[test]
fn a_shard_forgets_some_at_once_so_that_others_come_in_between() {
    let mut shard = Shard::new(1 << 20);
    let count = 2 * FLUSHED_AT_ONCE + 1;
    for nth in 0..count {
        let key = key(nth);
        shard.put(&key.name, key.asked, key.hash(), stored(0, 60, 1));
    }
    let kept = key(FLUSHED_AT_ONCE);
    let is_meant = |name: &[u8]| *name != *kept.name;
    assert_eq!(shard.flush(0, is_meant), (FLUSHED_AT_ONCE as u64, Some(FLUSHED_AT_ONCE)));
    assert_eq!(shard.flush(FLUSHED_AT_ONCE, is_meant), (1023, Some(2 * FLUSHED_AT_ONCE)));
    assert_eq!(shard.flush(2 * FLUSHED_AT_ONCE, is_meant), (1, None));
    assert_eq!(shard.entries(), 1);
    let cache = Cache::new(4 << 20);
    (0..count).for_each(|nth| put(&cache, &key(nth), stored(0, 60, 1)));
    assert_eq!((cache.flush(is_meant), cache.figures().entries), (count as u64 - 1, 1));
}

#[test]
fn an_answer_that_is_due_is_asked_for_by_one_alone() {
    let cache = Cache::new(1 << 20);
    put(&cache, &key(1), stored(0, 60, 10));
    assert_eq!(look(&cache, &key(1), 53_999), Found::Fresh);
    assert_eq!(look(&cache, &key(1), 54_000), Found::Due);
    assert_eq!(look(&cache, &key(1), 54_001), Found::Fresh);
    put(&cache, &key(1), stored(54_002, 60, 10));
    assert_eq!(look(&cache, &key(1), 108_002), Found::Due);
}

#[test]
fn what_is_over_is_used_only_after_a_failure_and_not_beyond_the_bound() {
    let cache = Cache::new(1 << 20);
    put(&cache, &key(1), stored(0, 60, 10));
    assert_eq!(look(&cache, &key(1), 60_000), Found::Expired);
    cache.failed(&key(1).name, key(1).asked, key(1).hash(), 90_000);
    assert_eq!(look(&cache, &key(1), 60_000), Found::Stale);
    assert_eq!(look(&cache, &key(1), 89_999), Found::Stale);
    assert_eq!(look(&cache, &key(1), 90_000), Found::Expired);
    cache.failed(&key(1).name, key(1).asked, key(1).hash(), 1_000_000);
    assert_eq!(look(&cache, &key(1), 159_999), Found::Stale);
    assert_eq!(look(&cache, &key(1), 160_000), Found::Nothing);
}

#[test]
fn names_that_are_asked_for_outlive_a_flood_of_others() {
    let each = ENTRY_BYTES + key(10_000).name.len() + 10;
    let cache = Cache::new(100 * each);
    for nth in 0..50 {
        put(&cache, &key(nth), stored(0, 60, 10));
        assert_eq!(look(&cache, &key(nth), 0), Found::Fresh);
    }
    for nth in 10_000..12_000 {
        put(&cache, &key(nth), stored(0, 60, 10));
        if nth % 20 == 0 {
            (0..50).for_each(|own| assert_ne!(look(&cache, &key(own), 0), Found::Expired));
        }
    }
    let left = (0..50).filter(|nth| look(&cache, &key(*nth), 0) == Found::Fresh).count();
    assert!(left >= 48, "{left} of 50");
    assert!(cache.figures().evicted >= 1900);
}

#[test]
fn what_is_larger_than_its_shard_is_not_kept_and_a_smaller_bound_holds_at_once() {
    let cache = Cache::new(256 << 10);
    put(&cache, &key(1), stored(0, 60, 256 << 10));
    assert_eq!(cache.figures(), Figures::default());
    (0..1000).for_each(|nth| put(&cache, &key(nth), stored(0, 60, 100)));
    cache.resize(50_000);
    let figures = cache.figures();
    assert!(figures.bytes <= 50_000 && figures.entries > 50, "{figures:?}");
}

/// What is done to a cache.
#[derive(Debug, Clone)]
enum Act {
    Put(usize, u32, usize),
    Look(usize),
    Failed(usize, u64),
    Wait(u64),
    Resize(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..60usize, 0..50u32, 0..3000usize).prop_map(|(nth, ttl, bytes)| Act::Put(nth, ttl, bytes)),
        6 => (0..60usize).prop_map(Act::Look),
        1 => (0..60usize, 0..60_000u64).prop_map(|(nth, ms)| Act::Failed(nth, ms)),
        2 => (0..40_000u64).prop_map(Act::Wait),
        1 => (0..60_000usize).prop_map(Act::Resize),
    ]
}

proptest! {
    #[test]
    fn the_bound_in_bytes_is_exact_and_time_is_kept(acts in proptest::collection::vec(act(), 1..300)) {
        let cache = Cache::new(40_000);
        let (mut now_ms, mut bytes_max) = (0, 40_000);
        let mut put_at: std::collections::HashMap<usize, (u64, u32)> = Default::default();
        for act in acts {
            match act {
                Act::Put(nth, ttl_s, bytes) => {
                    put(&cache, &key(nth), stored(now_ms, ttl_s, bytes));
                    put_at.insert(nth, (now_ms, ttl_s));
                }
                Act::Look(nth) => {
                    let found = look(&cache, &key(nth), now_ms);
                    if let Some((at, ttl_s)) = put_at.get(&nth) {
                        let over = (now_ms - at).checked_sub(u64::from(*ttl_s) * 1000);
                        match found {
                            Found::Fresh | Found::Due => prop_assert!(over.is_none()),
                            Found::Stale | Found::Expired => prop_assert!(over.is_some_and(|over| over < 100_000)),
                            Found::Nothing => {}
                        }
                    } else {
                        prop_assert_eq!(found, Found::Nothing);
                    }
                }
                Act::Failed(nth, ms) => cache.failed(&key(nth).name, key(nth).asked, key(nth).hash(), now_ms + ms),
                Act::Wait(ms) => now_ms += ms,
                Act::Resize(bytes) => {
                    bytes_max = bytes;
                    cache.resize(bytes);
                }
            }
            let figures = cache.figures();
            prop_assert!(figures.bytes <= bytes_max as u64, "{figures:?}, of {bytes_max}");
            prop_assert!(figures.bytes >= figures.entries * ENTRY_BYTES as u64);
        }
    }
}
