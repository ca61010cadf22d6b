use super::*;
use crate::fill::{Begun, Place};
use crate::store::samples::{stored, tagged};
use crate::store::{Body, Object};
use crate::{Engine, EngineConfig};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Instant;

fn verdict(purges: &Purges, key: &str, tags: &[&str], since: u64) -> Verdict {
    let tags: Vec<Box<str>> = tags.iter().map(|tag| (*tag).into()).collect();
    purges.verdict(key.as_bytes(), &tags, since).0
}

#[test]
fn a_purge_is_about_what_it_names_and_what_was_asked_for_before_it() {
    let purges = Purges::in_memory();
    let targets = [
        Target::Key(b"https://a/x"),
        Target::Prefix(b"https://a/img/"),
        Target::Tag("red"),
        Target::Everything,
    ];
    let about = |key: &str, tags: &[&str], since| verdict(&purges, key, tags, since);
    for (number, target) in (1..).zip(targets) {
        assert_eq!(purges.purge(target, Mode::Hard).unwrap(), number);
    }
    assert_eq!(about("https://a/x", &[], 0), Verdict::Hard);
    assert_eq!(about("https://a/other", &[], 3), Verdict::Hard);
    assert_eq!(about("https://a/other", &["red"], 4), Verdict::Clean);
    let purges = Purges::in_memory();
    let about = |key: &str, tags: &[&str], since| verdict(&purges, key, tags, since);
    for (target, mode) in targets.into_iter().zip([Mode::Hard, Mode::Soft, Mode::Hard]) {
        purges.purge(target, mode).unwrap();
    }
    assert_eq!(about("https://a/x", &[], 0), Verdict::Hard);
    assert_eq!(about("https://a/x", &[], 1), Verdict::Clean);
    assert_eq!(about("https://a/xy", &[], 0), Verdict::Clean);
    assert_eq!(about("https://a/img/1", &[], 1), Verdict::Soft);
    assert_eq!(about("https://a/img/1", &[], 2), Verdict::Clean);
    assert_eq!(about("https://a/img/1", &["blue", "red"], 1), Verdict::Hard);
    assert_eq!(about("https://b/", &["red"], 2), Verdict::Hard);
    assert_eq!(about("https://b/", &["redder"], 0), Verdict::Clean);
}

#[test]
fn what_is_purged_is_gone_with_all_its_variants_or_stale() {
    let cache = Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap();
    let key = |name: &str| cache.key(name.as_bytes());
    for name in ["a", "b", "c"] {
        let object = Object::new(key(name), tagged(&["all", name]), Body::copy_of(b"x"), 0);
        cache.put(object).unwrap();
    }
    let mut variant = tagged(&[]);
    variant.vary = [("accept".into(), (*b"text/html").into())].into();
    cache.put(Object::new(key("a"), variant, Body::copy_of(b"y"), 0)).unwrap();
    cache.purge(Target::Key(b"a"), Mode::Hard).unwrap();
    assert!(cache.find(&key("a"), |_| true).is_none());
    assert_eq!(cache.figures().purged, 2);
    cache.purge(Target::Tag("b"), Mode::Soft).unwrap();
    assert!(cache.find(&key("b"), |_| true).unwrap().is_purged_softly());
    assert!(!cache.find(&key("c"), |_| true).unwrap().is_purged_softly());
    // Confirmed by a request that was sent after the purge, it is as good as new.
    let stale = cache.find(&key("b"), |_| true).unwrap();
    let asked = cache.purges().sequence();
    cache.update(&stale, stale.stored.clone(), asked).unwrap();
    assert!(!cache.find(&key("b"), |_| true).unwrap().is_purged_softly());
    cache.purge(Target::Tag("all"), Mode::Hard).unwrap();
    assert!(cache.find(&key("c"), |_| true).is_none());
    assert_eq!(cache.figures().memory.objects, 2, "it is freed by and by");
    assert_eq!(cache.tend().unwrap(), 2);
    assert_eq!(cache.figures().memory.bytes, 0);
}

#[test]
fn what_was_asked_for_before_a_purge_is_not_kept_after_it() {
    let cache = Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap();
    let asked = cache.purges().sequence();
    cache.purge(Target::Prefix(b"a"), Mode::Hard).unwrap();
    let object = |name: &str| Object::new(cache.key(name.as_bytes()), stored(), Body::copy_of(b"x"), asked);
    assert!(cache.put(object("ab")).is_none());
    let kept = cache.put(object("ba")).unwrap();
    cache.invalidate(&kept.key).unwrap();
    assert!(cache.find(&kept.key, |_| true).is_none());
}

#[test]
fn a_full_table_purges_more_and_never_less() {
    let purges = Purges::in_memory();
    for number in 0..ENTRIES_MAX + 1 {
        purges.purge(Target::Tag(&number.to_string()), Mode::Soft).unwrap();
    }
    let (remembered, total) = purges.counts();
    assert!(remembered as usize <= ENTRIES_MAX / 2 + 1 && total as usize == ENTRIES_MAX + 1);
    let since = purges.sequence() - 10;
    assert_eq!(verdict(&purges, "a", &["0"], 0), Verdict::Soft);
    assert_eq!(verdict(&purges, "a", &[&ENTRIES_MAX.to_string()], since), Verdict::Soft);
    assert_eq!(verdict(&purges, "a", &["0"], since), Verdict::Clean);
    for number in 0..PREFIXES_MAX + 1 {
        purges.purge(Target::Prefix(number.to_string().as_bytes()), Mode::Hard).unwrap();
    }
    assert!(purges.is_crowded());
    assert_eq!(verdict(&purges, "0", &[], since), Verdict::Hard);
    assert_eq!(verdict(&purges, "1024/x", &[], purges.sequence() - 1), Verdict::Hard);
    purges.forget(purges.sequence()).unwrap();
    assert_eq!(purges.counts().0, 0);
    assert_eq!(verdict(&purges, "x", &[], purges.sequence() - 1), Verdict::Hard);
    assert_eq!(verdict(&purges, "x", &[], purges.sequence()), Verdict::Clean);
}

#[test]
fn purges_survive_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purges");
    let (purges, found) = Purges::open(&path).unwrap();
    assert_eq!(found, Found::Nothing);
    purges.purge(Target::Tag("red"), Mode::Hard).unwrap();
    purges.invalidate(Target::Key(b"k"), Mode::Soft).unwrap();
    drop(purges);
    let (purges, found) = Purges::open(&path).unwrap();
    assert_eq!((found, purges.sequence()), (Found::Whole, 2));
    assert_eq!(verdict(&purges, "x", &["red"], 0), Verdict::Hard);
    assert_eq!(verdict(&purges, "k", &[], 1), Verdict::Soft);
    assert_eq!(purges.purge(Target::Everything, Mode::Hard).unwrap(), 3);
    purges.forget(3).unwrap();
    drop(purges);
    let (purges, _) = Purges::open(&path).unwrap();
    assert_eq!(purges.sequence(), 3);
    assert_eq!(verdict(&purges, "x", &[], 2), Verdict::Hard);
    assert_eq!(verdict(&purges, "x", &[], 3), Verdict::Clean);
}

#[test]
fn a_log_that_was_cut_in_its_last_record_has_all_that_were_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purges");
    let (purges, _) = Purges::open(&path).unwrap();
    purges.purge(Target::Tag("acknowledged"), Mode::Hard).unwrap();
    let whole = fs::read(&path).unwrap();
    purges.purge(Target::Tag("torn"), Mode::Hard).unwrap();
    drop(purges);
    let longer = fs::read(&path).unwrap();
    for len in whole.len()..longer.len() {
        fs::write(&path, &longer[..len]).unwrap();
        let (purges, found) = Purges::open(&path).unwrap();
        assert_eq!((found, purges.sequence()), (Found::Whole, 1), "{len}");
        assert_eq!(verdict(&purges, "x", &["acknowledged"], 0), Verdict::Hard);
        // What comes next is read again.
        purges.purge(Target::Key(b"next"), Mode::Hard).unwrap();
        drop(purges);
        assert_eq!(Purges::open(&path).unwrap().0.sequence(), 2);
    }
}

#[test]
fn a_damaged_log_purges_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purges");
    let (purges, _) = Purges::open(&path).unwrap();
    purges.purge(Target::Tag("one"), Mode::Hard).unwrap();
    purges.purge(Target::Tag("two"), Mode::Hard).unwrap();
    drop(purges);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let (purges, found) = Purges::open(&path).unwrap();
        assert_eq!(found, Found::Damaged, "{at}");
        assert_eq!(verdict(&purges, "x", &[], 1000), Verdict::Hard, "{at}");
        let sequence = purges.sequence();
        drop(purges);
        let (purges, found) = Purges::open(&path).unwrap();
        assert_eq!((found, purges.sequence()), (Found::Whole, sequence));
        assert_eq!(verdict(&purges, "x", &[], sequence), Verdict::Clean);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut log = b"9purges1".to_vec();
        log.extend_from_slice(&bytes);
        prop_assert!(log::replay(&log).bytes <= log.len());
        prop_assert!(log::replay(&bytes).bytes <= bytes.len());
    }

    /// The table says of any response what a list of all purges says.
    #[test]
    fn the_table_says_what_a_list_of_all_purges_says(
        purges in proptest::collection::vec((0u8..4, "[ab]{0,3}", any::<bool>()), 0..30),
        key in "[ab]{0,4}", tags in proptest::collection::vec("[ab]{0,2}", 0..3), since in 0u64..30,
    ) {
        let table = Purges::in_memory();
        let tags: Vec<Box<str>> = tags.into_iter().map(Into::into).collect();
        let mut expected = Verdict::Clean;
        for (number, (kind, name, is_hard)) in (1..).zip(&purges) {
            let (target, is_about) = match kind {
                0 => (Target::Everything, true),
                1 => (Target::Key(name.as_bytes()), *name == key),
                2 => (Target::Prefix(name.as_bytes()), key.starts_with(name)),
                _ => (Target::Tag(name), tags.iter().any(|tag| **tag == **name)),
            };
            let (mode, verdict) = if *is_hard { (Mode::Hard, Verdict::Hard) } else { (Mode::Soft, Verdict::Soft) };
            table.purge(target, mode).unwrap();
            if is_about && number > since {
                expected = expected.max(verdict);
            }
        }
        prop_assert_eq!(table.verdict(key.as_bytes(), &tags, since).0, expected);
    }
}

/// An origin's content is a number that goes up; a purge is acknowledged after it went up. Whoever looks a response up after that must not find
/// a lower one, however fetches, purges and look-ups meet.
#[test]
fn no_response_is_older_than_an_acknowledged_purge() {
    for kind in 0..4u64 {
        let cache = Arc::new(Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap());
        let (origin, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
        let is_over = AtomicBool::new(false);
        let key = cache.key(b"site/a");
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let asked = cache.purges().sequence();
                        let content = origin.load(Ordering::SeqCst);
                        let body = Body::copy_of(&content.to_le_bytes());
                        cache.put(Object::new(key.clone(), tagged(&["red"]), body, asked));
                    }
                });
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let least = acknowledged.load(Ordering::SeqCst);
                        let Some(found) = cache.find(&key, |object| !object.is_purged_softly()) else {
                            continue;
                        };
                        let content = u64::from_le_bytes(found.body.chunks()[0][..].try_into().unwrap());
                        assert!(content >= least, "kind {kind}: {content} after a purge at {least}");
                    }
                });
            }
            for round in 1..=1500 {
                origin.store(round, Ordering::SeqCst);
                let target = [
                    Target::Key(b"site/a"),
                    Target::Prefix(b"site/"),
                    Target::Tag("red"),
                    Target::Everything,
                ][kind as usize];
                let mode = if round % 3 == 0 { Mode::Soft } else { Mode::Hard };
                cache.purge(target, mode).unwrap();
                acknowledged.store(round, Ordering::SeqCst);
                if round % 64 == 0 {
                    cache.tend().unwrap();
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}

/// The same for those who wait for a fetch: whoever joins one after a purge was acknowledged reads nothing from before it.
#[test]
fn no_fetch_that_is_joined_is_older_than_an_acknowledged_purge() {
    let cache = Arc::new(Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap());
    let (origin, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
    let (is_over, joined) = (AtomicBool::new(false), AtomicU64::new(0));
    let key = cache.key(b"site/a");
    let client = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            while !is_over.load(Ordering::Relaxed) {
                let least = acknowledged.load(Ordering::SeqCst);
                let now = Instant::now();
                let body = match cache.join(&key, 0, now) {
                    Place::Alone => unreachable!("all of it can be shared"),
                    Place::Lead(mut lead) => {
                        let content = origin.load(Ordering::SeqCst).to_le_bytes();
                        thread::yield_now();
                        lead.keep(tagged(&["red"]), now);
                        thread::yield_now();
                        lead.push(&content, now).await.unwrap();
                        // After a purge another fetch may be in its place.
                        if let Some(finished) = lead.finish().unwrap() {
                            cache.keep(key.clone(), &finished);
                        }
                        Body::copy_of(&content)
                    }
                    Place::Follow(mut reader) => {
                        assert!(matches!(reader.head().await, Begun::Head(_)));
                        joined.fetch_add(1, Ordering::Relaxed);
                        Body::copy_of(&reader.piece().await.unwrap().unwrap())
                    }
                };
                let content = u64::from_le_bytes(body.chunks()[0][..].try_into().unwrap());
                assert!(content >= least, "{content} after a purge at {least}");
            }
        });
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(client);
        }
        for round in 1.. {
            origin.store(round, Ordering::SeqCst);
            let targets =
                [Target::Key(b"site/a"), Target::Prefix(b"site/"), Target::Tag("red"), Target::Everything];
            cache.purge(targets[round as usize % 4], Mode::Hard).unwrap();
            acknowledged.store(round, Ordering::SeqCst);
            thread::yield_now();
            // Where a client has failed, nobody may be left to join.
            if round >= 3000 && (joined.load(Ordering::Relaxed) > 100 || round >= 300_000) {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
