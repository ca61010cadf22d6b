//! Two caches over one folder, in one process.

use super::*;
use crate::purge::{Purges, Verdict};
use crate::store::samples::tagged;
use crate::store::{Body, Object};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

/// Whoever waits so long fails.
const LONG: Duration = Duration::from_secs(60);

struct World {
    _home: tempfile::TempDir,
    folder: PathBuf,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { folder: home.path().join("cdn"), _home: home }
    }

    fn config(&self) -> EngineConfig {
        let disk = DiskConfig::behind(64 << 20, self.folder.clone(), 8 << 20);
        EngineConfig { disk: Some(disk), ..EngineConfig::of_memory(64 << 20) }
    }

    /// A start, with nobody before.
    fn start(&self) -> Arc<Engine> {
        Arc::new(Engine::open(&self.config()).unwrap())
    }

    /// A process that takes over, and what happens there.
    fn take_over(&self, old: &Arc<Engine>) -> (Arc<Engine>, Receiver<TwinEvent>) {
        let (told, events) = channel();
        let told = Mutex::new(told);
        let on_event: OnEvent = Arc::new(move |event| drop(told.lock().unwrap().send(event)));
        let new = Arc::new(Engine::open_awaiting(&self.config()).unwrap());
        let (one, other) = UnixStream::pair().unwrap();
        assert!(old.join_twin_for(LONG, Side::Old, one, Arc::new(|_| {})).unwrap());
        assert!(new.join_twin_for(LONG, Side::New, other, on_event).unwrap());
        (new, events)
    }

    /// What a start would find on the disk, once all are gone.
    fn after(&self, gone: impl IntoIterator<Item = Arc<Engine>>) -> Vec<&'static str> {
        gone.into_iter().for_each(|engine| engine.close());
        let engine = self.start();
        let found = NAMES.into_iter().filter(|name| on_disk(&engine, name).is_some()).collect();
        engine.close();
        found
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn put(engine: &Engine, name: &str, body: &str) {
    let asked = engine.purges().sequence();
    engine.put(Object::new(
        engine.key(name.as_bytes()),
        tagged(&[name]),
        Body::copy_of(body.as_bytes()),
        asked,
    ));
}

fn fill(engine: &Engine) {
    // What is kept is newer than these.
    for _ in 0..3 {
        engine.purge(Target::Tag("before"), Mode::Hard).unwrap();
    }
    NAMES.iter().for_each(|name| put(engine, name, "old"));
    engine.flush();
}

fn text(object: &Object) -> String {
    String::from_utf8(object.body.pieces(0..object.body.len()).flatten().collect()).unwrap()
}

fn on_disk(engine: &Engine, name: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(engine.find_on_disk(&engine.key(name.as_bytes()), |_| true));
    found.map(|object| text(&object))
}

/// As the edge looks: in memory, then on the disk.
fn find(engine: &Engine, name: &str) -> Option<String> {
    let found = engine.find(&engine.key(name.as_bytes()), |_| true).map(|object| text(&object));
    found.or_else(|| on_disk(engine, name))
}

fn until_taken(events: &Receiver<TwinEvent>) -> u64 {
    match events.recv_timeout(LONG) {
        Ok(TwinEvent::DiskTaken(objects)) => objects,
        other => panic!("{other:?}"),
    }
}

fn all_but(name: &str) -> Vec<&'static str> {
    NAMES.into_iter().filter(|other| *other != name).collect()
}

fn is_marked(folder: &Path) -> bool {
    forgotten::is_forgotten(folder)
}

#[test]
fn a_process_that_takes_over_is_warm_from_the_disk() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    let (new, events) = world.take_over(&old);
    assert!(new.figures().is_disk_awaited && !new.may_be_on_disk(&new.key(b"a")));
    old.hand_over().unwrap();
    assert_eq!(until_taken(&events), 4);
    assert!(!new.figures().is_disk_awaited);
    // The old one goes on with memory.
    assert_eq!(find(&old, "a").unwrap(), "old");
    assert!(!old.may_be_on_disk(&old.key(b"a")));
    put(&old, "a", "not there");
    old.flush();
    assert!(NAMES.iter().all(|name| find(&new, name).unwrap() == "old"));
    put(&new, "a", "new");
    new.flush();
    assert!(!is_marked(&world.folder));
    assert_eq!(world.after([old, new]), NAMES);
}

#[test]
fn what_has_changed_in_memory_meanwhile_is_newer_than_what_is_on_the_disk() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    let (new, events) = world.take_over(&old);
    put(&new, "a", "new");
    put(&new, "b", "new");
    let gone = new.find(&new.key(b"b"), |_| true).unwrap();
    new.remove(&gone);
    old.hand_over().unwrap();
    assert_eq!(until_taken(&events), 2);
    assert_eq!(["a", "b", "c"].map(|name| find(&new, name)), [Some("new".into()), None, Some("old".into())]);
    // Nor does a start find it, which does not know of what was in memory alone.
    assert_eq!(world.after([old, new]), ["c", "d"]);
}

#[test]
fn what_changes_in_the_last_moment_is_newer_too() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    old.close();
    let new = Engine::open_awaiting(&world.config()).unwrap();
    let lock = Lock::take(&world.folder).unwrap();
    new.kept.purges.attach(&world.folder.join("purges")).unwrap();
    let (disk, _) =
        Disk::open(&world.config().disk.unwrap(), lock, new.hasher, Arc::clone(&new.kept.purges)).unwrap();
    put(&new, "a", "new");
    new.kept.forget_touched(&disk);
    assert_eq!(disk.figures().objects, 3);
    put(&new, "b", "new");
    new.kept.have_disk(disk);
    assert_eq!(new.figures().disk.objects, 2);
    put(&new, "c", "new");
    new.flush();
    assert_eq!(NAMES.map(|name| on_disk(&new, name)), [None, None, Some("new".into()), Some("old".into())]);
}

#[test]
fn where_too_much_has_changed_nothing_of_the_disk_is_used() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    let mut touched = Touched::default();
    touched.note(&old.key(b"a"));
    touched.are_all = true;
    touched.remove_from(old.kept.disk().unwrap());
    assert_eq!(old.figures().disk.objects, 0);
    old.flush();
    assert!(world.after([old]).is_empty());
}

#[test]
fn a_purge_holds_after_any_end_whichever_process_has_the_disk() {
    for whose in ["old", "new"] {
        let purge = |old: &Engine, new: &Engine| {
            let engine = if whose == "old" { old } else { new };
            engine.purge(Target::Tag("b"), Mode::Hard).unwrap();
        };
        // While the old one has it.
        let world = World::new();
        let old = world.start();
        fill(&old);
        let (new, _events) = world.take_over(&old);
        purge(&old, &new);
        assert!(!is_marked(&world.folder), "{whose}");
        assert_eq!(world.after([new, old]), all_but("b"), "{whose}");

        // While nobody has it.
        let world = World::new();
        let old = world.start();
        fill(&old);
        let (new, _events) = world.take_over(&old);
        assert!(old.let_go_of_disk().unwrap());
        purge(&old, &new);
        assert!(is_marked(&world.folder), "{whose}");
        assert!(world.after([new, old]).is_empty(), "{whose}");

        // And this one is written by the new one that comes to have it.
        let world = World::new();
        let old = world.start();
        fill(&old);
        let (new, events) = world.take_over(&old);
        assert!(old.let_go_of_disk().unwrap());
        purge(&old, &new);
        old.twins.disk_is_free();
        until_taken(&events);
        assert_eq!(find(&new, "b"), None, "{whose}");
        assert_eq!(world.after([old, new]), all_but("b"), "{whose}");

        // While the new one has it.
        let world = World::new();
        let old = world.start();
        fill(&old);
        let (new, events) = world.take_over(&old);
        old.hand_over().unwrap();
        until_taken(&events);
        purge(&old, &new);
        assert!(!is_marked(&world.folder), "{whose}");
        assert_eq!(find(&new, "b"), None, "{whose}");
        assert_eq!(world.after([old, new]), all_but("b"), "{whose}");
    }
}

#[test]
fn a_purge_from_before_the_takeover_holds_at_the_new_process() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    old.purge(Target::Tag("b"), Mode::Hard).unwrap();
    let (new, events) = world.take_over(&old);
    old.hand_over().unwrap();
    until_taken(&events);
    assert_eq!(NAMES.map(|name| find(&new, name).is_some()), [true, false, true, true]);
    // What is kept from now on is not held against it.
    put(&new, "b", "new");
    assert_eq!(find(&new, "b").unwrap(), "new");
}

#[test]
fn the_disk_of_a_process_that_has_died_is_taken_and_purges_meanwhile_are_safe() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    let (new, events) = world.take_over(&old);
    // Its connection ends before its disk comes free.
    old.forsake_successor();
    assert!(matches!(events.recv_timeout(LONG), Ok(TwinEvent::Gone)));
    assert!(is_marked(&world.folder), "nobody else has what is purged now");
    new.purge(Target::Tag("b"), Mode::Hard).unwrap();
    old.close();
    until_taken(&events);
    assert!(!is_marked(&world.folder));
    assert_eq!(world.after([new]), all_but("b"));
}

#[test]
fn a_process_whose_successor_fails_keeps_its_disk() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    let (new, _events) = world.take_over(&old);
    new.purge(Target::Tag("b"), Mode::Hard).unwrap();
    drop(new);
    old.forsake_successor();
    put(&old, "a", "later");
    old.flush();
    assert!(!is_marked(&world.folder));
    assert_eq!(world.after([old]), all_but("b"));
}

#[test]
fn a_process_that_was_handed_over_to_and_knows_of_no_purges_gets_no_disk() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    old.hand_over().unwrap();
    assert!(on_disk(&old, "a").is_some());
}

#[test]
fn the_disk_goes_on_to_the_process_after_the_next() {
    let world = World::new();
    let first = world.start();
    fill(&first);
    let (second, _events) = world.take_over(&first);
    let (third, events) = world.take_over(&second);
    // The second never had it.
    second.hand_over().unwrap();
    third.purge(Target::Tag("b"), Mode::Hard).unwrap();
    first.hand_over().unwrap();
    assert_eq!(until_taken(&events), 4);
    assert_eq!(second.figures().disk.objects, 0);
    assert_eq!(NAMES.map(|name| find(&third, name).is_some()), [true, false, true, true]);
    assert!(!is_marked(&world.folder));
    assert_eq!(world.after([first, second, third]), all_but("b"));
}

#[test]
fn what_is_purged_while_the_disk_is_opened_is_in_its_log() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    for number in 0..5_000 {
        old.invalidate(&old.key(format!("{number}").as_bytes())).unwrap();
    }
    let (new, events) = world.take_over(&old);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..2_000 {
                new.invalidate(&new.key(format!("new {number}").as_bytes())).unwrap();
            }
        });
        old.hand_over().unwrap();
        until_taken(&events);
    });
    old.close();
    new.close();
    let (purges, _) = Purges::open(&world.folder.join("purges")).unwrap();
    for number in 0..2_000 {
        let (verdict, _) = purges.verdict(format!("new {number}").as_bytes(), &[], 0);
        assert_eq!(verdict, Verdict::Hard, "{number}");
    }
}

#[test]
fn a_process_that_cannot_use_the_disk_goes_on_without_and_it_is_forgotten() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    let (new, events) = world.take_over(&old);
    assert!(old.let_go_of_disk().unwrap());
    // Nothing can be written in place of the log.
    fs::create_dir(world.folder.join("purges.new")).unwrap();
    old.twins.disk_is_free();
    assert!(matches!(events.recv_timeout(LONG), Ok(TwinEvent::DiskLost(_))));
    put(&new, "a", "new");
    assert_eq!(find(&new, "a").unwrap(), "new");
    new.purge(Target::Tag("b"), Mode::Hard).unwrap();
    fs::remove_dir(world.folder.join("purges.new")).unwrap();
    assert!(world.after([new, old]).is_empty());
}

#[test]
fn a_purge_that_the_successor_has_not_acknowledged_is_not_lost() {
    let world = World::new();
    let old = world.start();
    fill(&old);
    let (new, events) = world.take_over(&old);
    old.hand_over().unwrap();
    until_taken(&events);
    // The new one dies, and its disk is as it was.
    new.close();
    drop(new);
    old.purge(Target::Tag("b"), Mode::Hard).unwrap();
    assert!(world.after([old]).is_empty());
}

#[test]
fn a_folder_that_is_in_use_is_left_as_it_is() {
    let world = World::new();
    let old = world.start();
    old.purge(Target::Everything, Mode::Hard).unwrap();
    let log = world.folder.join("purges");
    // As if it were written to in this moment.
    let torn = [fs::read(&log).unwrap(), b"123".to_vec()].concat();
    fs::write(&log, &torn).unwrap();
    assert!(matches!(Engine::open(&world.config()), Err(error) if is_in_use(&error)));
    assert_eq!(fs::read(&log).unwrap(), torn);
}
