//! What was replaced, removed or confirmed is so after a restart too.

use super::*;
use crate::store::samples::tagged;

/// A response that is fresh for so long.
fn lasting(lifetime: u32) -> Stored {
    Stored { lifetime, ..stored() }
}

fn object_of(engine: &Engine, name: &str, stored: Stored, version: u64, len: usize) -> Object {
    let body = Body::copy_of(&body(name, version, len));
    Object::new(engine.key(name.as_bytes()), stored, body, engine.purges().sequence())
}

/// Puts, and returns what is in memory or would be.
fn put_object(engine: &Engine, name: &str, stored: Stored, version: u64, len: usize) -> Arc<Object> {
    let object = Arc::new(object_of(engine, name, stored.clone(), version, len));
    engine.put(object_of(engine, name, stored, version, len));
    object
}

fn engine_with_memory(folder: &Path) -> Engine {
    let disk = config(folder, 8 << 20);
    Engine::open(&EngineConfig { disk: Some(disk), ..EngineConfig::of_memory(32 << 20) }).unwrap()
}

fn on_disk(engine: &Engine, name: &str) -> Option<Arc<Object>> {
    wait(engine.find_on_disk(&engine.key(name.as_bytes()), |_| true))
}

#[test]
fn what_was_removed_does_not_come_back_with_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine(folder.path(), 8 << 20);
    let a = put_object(&first, "a", lasting(86_400), 1, 10);
    put(&first, "b", 1, 10);
    first.flush();
    first.remove(&a);
    drop(first);
    let second = engine(folder.path(), 8 << 20);
    assert_eq!((found(&second, "a"), found(&second, "b")), (None, Some(1)));
    assert_eq!((second.figures().disk.objects, second.figures().disk.damaged), (1, 0));
}

#[test]
fn what_was_removed_while_it_waited_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine(folder.path(), 64 << 20);
    // Behind so much, it waits.
    put(&first, "large", 1, 7_000_000);
    let a = put_object(&first, "a", stored(), 1, 10);
    first.remove(&a);
    first.flush();
    assert_eq!(found(&first, "a"), None);
    drop(first);
    assert_eq!(found(&engine(folder.path(), 64 << 20), "a"), None);
}

#[test]
fn what_was_replaced_by_what_could_not_be_written_does_not_come_back() {
    static IS_FULL: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let create = |path: &Path| {
        let path = if IS_FULL.load(Ordering::Relaxed) { Path::new("/dev/full") } else { path };
        File::options().read(true).write(true).create(true).truncate(true).open(path)
    };
    let open = || {
        let (hasher, purges) = (KeyHasher::new(HASHER_SECRET), Arc::new(Purges::in_memory()));
        let lock = Lock::take(folder.path()).unwrap();
        Disk::open_with(&config(folder.path(), 1 << 20), lock, hasher, purges, create).unwrap().0
    };
    let first = open();
    for name in ["no room", "too large", "too many wait"] {
        first.write(&object(name, 1, 60_000));
    }
    first.flush();
    first.write(&object("too large", 2, 300_000));
    // What still waits would count for the others.
    first.flush();
    first.shared.queued_bytes_max.store(0, Ordering::Relaxed);
    first.shared.counts.queued_bytes.fetch_add(1, Ordering::Relaxed);
    first.write(&object("too many wait", 2, 10));
    first.shared.counts.queued_bytes.fetch_sub(1, Ordering::Relaxed);
    IS_FULL.store(true, Ordering::Relaxed);
    first.write(&object("no room", 2, 60_000));
    first.flush();
    let figures = first.figures();
    assert_eq!((figures.unwritten, figures.failed, figures.objects), (2, 1, 0));
    drop(first);
    let second = open();
    assert_eq!(["no room", "too large", "too many wait"].map(|name| read(&second, name)), [None; 3]);
}

#[test]
fn a_mark_that_cannot_be_written_takes_its_segment_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::default();
    let path = folder.path().join("0000000001.segment");
    fs::write(&path, [0; 100]).unwrap();
    files.add(files::SegmentFile::new(1, path.clone(), File::open(&path).unwrap()));
    assert!(files.mark(At { segment: 1, offset: 0 }, Fate::Gone).is_err());
    assert!(!path.exists());
}

#[test]
fn what_was_confirmed_has_its_new_head_after_a_restart_and_its_body_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine_with_memory(folder.path());
    for (name, len) in [("long", 100_000), ("short", 100)] {
        put_object(&first, name, lasting(60), 1, len);
        first.flush();
        for lifetime in [100, 3600] {
            let before = bytes_of_segments(folder.path());
            let kept = first.find(&first.key(name.as_bytes()), |_| true).unwrap();
            let tag = lifetime.to_string();
            let confirmed = Stored { lifetime, must_revalidate: true, ..tagged(&[&tag]) };
            first.update(&kept, confirmed, 0).unwrap();
            first.flush();
            assert!(bytes_of_segments(folder.path()) - before < 1000, "{name}");
        }
    }
    drop(first);
    let second = engine_with_memory(folder.path());
    for name in ["long", "short"] {
        let object = on_disk(&second, name).unwrap();
        assert_eq!(version(name, &object.body), 1);
        assert_eq!((object.stored.lifetime, object.stored.must_revalidate), (3600, true));
    }
    assert_eq!(second.figures().disk.objects, 2);
    // By the tag that came with the confirmation.
    second.purge(Target::Tag("3600"), Mode::Hard).unwrap();
    drop(second);
    let third = engine_with_memory(folder.path());
    assert!(on_disk(&third, "long").is_none() && on_disk(&third, "short").is_none());
}

#[test]
fn what_is_on_the_disk_alone_is_confirmed_there() {
    let folder = tempfile::tempdir().unwrap();
    let cache = engine(folder.path(), 8 << 20);
    put_object(&cache, "a", lasting(1), 1, 100_000);
    cache.flush();
    let stale = on_disk(&cache, "a").unwrap();
    assert!(cache.update(&stale, lasting(500), 0).is_none());
    cache.flush();
    assert_eq!(on_disk(&cache, "a").unwrap().stored.lifetime, 500);
    // What was removed by somebody else meanwhile does not come back so.
    cache.remove(&stale);
    cache.update(&stale, lasting(900), 0);
    cache.flush();
    assert!(on_disk(&cache, "a").is_none());
}

#[test]
fn a_confirmed_response_goes_with_the_segment_of_its_body_unless_it_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 600_000);
    let confirm = |name: &str| {
        let old = object(name, 1, 20_000);
        disk.write(&old);
        disk.flush();
        let body = old.body.clone();
        let new = Arc::new(Object::new(key(name), lasting(900), body, 0));
        disk.update(&old, &new);
        disk.flush();
    };
    confirm("in use");
    confirm("idle");
    for number in 0..400 {
        disk.write(&object(&number.to_string(), 1, 3000));
        disk.flush();
        let (there, _) = wait(disk.read(&key("in use"), |_| true, |_| true)).unwrap();
        assert_eq!((version("in use", &there.body), there.stored.lifetime), (1, 900), "{number}");
    }
    assert_eq!((read(&disk, "idle"), disk.figures().damaged, disk.figures().failed), (None, 0, 0));
}

#[test]
fn what_cannot_be_read_while_it_is_held_against_purges_does_not_pass_for_held_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let purges = Arc::new(Purges::in_memory());
    let open = || {
        let config = config(folder.path(), 8 << 20);
        let lock = Lock::take(folder.path()).unwrap();
        Disk::open(&config, lock, KeyHasher::new(HASHER_SECRET), Arc::clone(&purges)).unwrap().0
    };
    let first = open();
    for name in ["unreadable", "behind"] {
        let body = Body::copy_of(&body(name, 1, 10));
        first.write(&Arc::new(Object::new(key(name), tagged(&[name]), body, 0)));
        first.flush();
    }
    let purge = purges.purge(Target::Tag("behind"), Mode::Hard).unwrap();
    let (_, path) = segments::paths(folder.path()).unwrap().remove(0);
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 9).unwrap();
    file.write_all_at(&[!byte[0]], 9).unwrap();
    assert!(first.hold(purge));
    file.write_all_at(&byte, 9).unwrap();
    first.flush();
    purges.forget(purge).unwrap();
    drop(first);
    assert_eq!(read(&open(), "behind"), None);
}
