//! How much there may be, and what purges that are forgotten leave of it.

use super::*;
use crate::purge::PREFIXES_MAX;

#[test]
fn so_many_purges_that_they_are_forgotten_take_no_more_from_the_disk_than_they_are_about() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine(folder.path(), 8 << 20);
    ["a", "b", "soft"].iter().for_each(|name| put(&first, name, 1, 1000));
    first.flush();
    first.purge(Target::Tag("soft"), Mode::Soft).unwrap();
    for number in 0..PREFIXES_MAX / 2 - 1 {
        first.purges().invalidate(Target::Prefix(format!("other {number}").as_bytes()), Mode::Hard).unwrap();
    }
    first.purges().invalidate(Target::Prefix(b"b"), Mode::Hard).unwrap();
    assert!(first.purges().is_crowded());
    first.tend().unwrap();
    assert!(!first.purges().is_crowded());
    assert_eq!((first.figures().disk.objects, found(&first, "a"), found(&first, "b")), (2, Some(1), None));
    // What comes after that has to be held against the next.
    put(&first, "c", 1, 1000);
    first.flush();
    first.purge(Target::Prefix(b"c"), Mode::Hard).unwrap();
    drop(first);
    let second = engine(folder.path(), 8 << 20);
    assert_eq!(["a", "b", "c"].map(|name| found(&second, name)), [Some(1), None, None]);
    let soft = wait(second.find_on_disk(&second.key(b"soft"), |_| true)).unwrap();
    assert!(soft.is_purged_softly());
}

#[test]
fn whoever_purges_too_much_has_it_tended_beside() {
    let folder = tempfile::tempdir().unwrap();
    let cache = engine(folder.path(), 8 << 20);
    put(&cache, "a", 1, 1000);
    cache.flush();
    for number in 0..PREFIXES_MAX / 2 {
        cache.purges().invalidate(Target::Prefix(format!("other {number}").as_bytes()), Mode::Hard).unwrap();
    }
    cache.invalidate(&cache.key(b"unsafe")).unwrap();
    while cache.purges().is_crowded() {
        std::thread::yield_now();
    }
    assert_eq!(found(&cache, "a"), Some(1));
}

#[test]
fn no_more_responses_are_known_than_memory_is_set_aside_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = DiskConfig { objects_max: 100, ..config(folder.path(), 8 << 20) };
    let open = || super::open(&config);
    let first = open();
    // Longer than a hundredth of a segment, so that there are many of these.
    for number in 0..300 {
        first.write(&object(&number.to_string(), 1, 20_000));
        first.flush();
        assert!(first.figures().objects <= 100);
    }
    assert_eq!((read(&first, "0"), read(&first, "299")), (None, Some(1)));
    first.shared.objects_max.store(u64::MAX, Ordering::Relaxed);
    (300..400).for_each(|number| first.write(&object(&number.to_string(), 1, 100)));
    drop(first);
    assert!(open().figures().objects < 100);
}

#[test]
fn a_large_disk_has_few_files_and_a_restart_adds_none() {
    for bytes_max in [4 << 20, 4 << 30, 4 << 40, 400 << 40] {
        let folder = Path::new("");
        let segments = Segments::new(&config(folder, bytes_max), |path| File::open(path));
        // At worst each is half full.
        assert!(bytes_max / segments.segment_bytes() * 2 <= segments::SEGMENTS_MAX as u64, "{bytes_max}");
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let disk = disk(folder.path(), 8 << 20);
        disk.write(&object(&round.to_string(), 1, 10));
    }
    assert_eq!(segments::paths(folder.path()).unwrap().len(), 1);
    assert_eq!(disk(folder.path(), 8 << 20).figures().objects, 5);
}

#[test]
fn a_cache_that_is_smaller_takes_less_while_it_arrives_too() {
    let cache = Engine::open(&EngineConfig::of_memory(8 << 20)).unwrap();
    let crate::fill::Place::Lead(mut lead) = cache.join(&cache.key(b"a"), 0, std::time::Instant::now())
    else {
        panic!("nobody fetches it")
    };
    cache.resize(8 << 10);
    let now = std::time::Instant::now();
    let _reader = lead.own_reader();
    lead.keep(Stored { length: Some(2000), ..stored() }, now);
    wait(lead.push(&[0; 2000], now)).unwrap();
    // It is longer than one response may be by now, and has passed through.
    assert!(lead.finish().unwrap().is_none());
}

#[test]
fn a_disk_that_is_let_go_of_by_a_core_is_closed_by_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let cache = engine(folder.path(), 8 << 20);
    put(&cache, "a", 1, 1000);
    wait(async move { drop(cache) });
    let lock = File::open(folder.path().join("lock")).unwrap();
    // Until that thread is done.
    lock.lock().unwrap();
    drop(lock);
    assert_eq!(found(&engine(folder.path(), 8 << 20), "a"), Some(1));
}

#[test]
fn what_is_closed_lets_go_of_its_folder_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine(folder.path(), 8 << 20);
    put(&first, "a", 1, 1000);
    first.close();
    assert_eq!(found(&engine(folder.path(), 8 << 20), "a"), Some(1));
    put(&first, "a", 2, 1000);
    assert_eq!(found(&first, "a"), None);
}
