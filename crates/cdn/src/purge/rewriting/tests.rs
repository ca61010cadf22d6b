use crate::growing::staged::{Held, Staged, Step};
use crate::purge::log::replay;
use crate::purge::{Found, Mode, Purges, Target, Verdict};
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

struct World {
    home: TempDir,
    file_system: Arc<Staged>,
    purges: Arc<Purges>,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let file_system = Staged::new();
        let (purges, _) = Purges::open_in(file_system.clone(), &home.path().join("purges")).unwrap();
        Self { home, file_system, purges: Arc::new(purges) }
    }

    fn bytes(&self) -> usize {
        fs::read(self.home.path().join("purges")).unwrap().len()
    }

    /// What the next start finds if the process is killed now.
    fn has(&self, tag: &str) -> bool {
        has(&fs::read(self.home.path().join("purges")).unwrap(), tag)
    }

    fn invalidate(&self, tag: &str) -> bool {
        self.purges.invalidate(Target::Tag(tag), Mode::Hard).is_ok()
    }

    fn purge(&self, tag: &str) -> bool {
        self.purges.purge(Target::Tag(tag), Mode::Hard).is_ok()
    }

    fn holds(&self, tag: &str) -> bool {
        self.purges.verdict(b"key", &[tag.into()], 0).0 == Verdict::Hard
    }

    /// Until it has doubled.
    fn grow(&self) {
        while !self.purges.is_log_due() {
            assert!(self.invalidate("again and again"));
        }
    }
}

fn has(log: &[u8], tag: &str) -> bool {
    let replayed = replay(log);
    replayed.found == Found::Whole
        && replayed.purges.iter().any(|(_, entry)| entry.target() == Target::Tag(tag))
}

/// What is done while somebody is held; it fails instead of waiting for ever.
fn while_held<T: Send>(held: Held, done: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        held.wait();
        let (tell, told) = channel();
        scope.spawn(move || tell.send(done()));
        let is_done = told.recv_timeout(Duration::from_secs(10));
        drop(held);
        is_done.expect("it waits for the disk")
    })
}

#[test]
fn an_invalidation_does_not_wait_while_the_log_is_written_anew_and_is_in_the_new_one() {
    let all = [(Step::Create, 0), (Step::Sync, 0), (Step::Sync, 1), (Step::Rename, 0), (Step::SyncFolder, 0)];
    for (step, skipped) in all {
        let world = World::new();
        assert!(world.purge("acknowledged"));
        world.grow();
        let held = world.file_system.hold(step, skipped);
        world.purges.rewrite_if_due();
        while_held(held, || {
            world.purges.advance();
            assert!(world.invalidate("meanwhile"));
            assert!(world.has("acknowledged") && world.has("meanwhile"), "{step:?}: kill -9 loses it");
            let disk = world.file_system.after_power_loss();
            assert!(disk.iter().all(|log| has(log, "acknowledged")), "{step:?}: a loss of power loses it");
        });
        world.purges.end_rewrites();
        assert!(world.bytes() < 1 << 10, "it was written anew");
        assert!(world.has("acknowledged") && world.has("meanwhile"), "{step:?}");
        assert_eq!(Purges::open(&world.home.path().join("purges")).unwrap().0.sequence(), {
            world.purges.sequence()
        });
    }
}

#[test]
fn an_invalidation_never_writes_the_log_anew_itself() {
    let world = World::new();
    world.file_system.fail(&[Step::Create, Step::Sync]);
    world.grow();
    assert!(world.invalidate("more"), "it only appends");
    assert!(world.bytes() > 256 << 10);
}

#[test]
fn an_invalidation_does_not_wait_while_purges_are_forgotten() {
    let world = World::new();
    world.purge("old");
    let held = world.file_system.hold(Step::Sync, 0);
    thread::scope(|scope| {
        let forgetting = scope.spawn(|| world.purges.forget(world.purges.sequence()));
        while_held(held, || assert!(world.invalidate("new")));
        forgetting.join().unwrap().unwrap();
    });
    assert!(world.has("new") && !world.has("old"));
    assert_eq!(world.purges.counts().0, 1);
}

#[test]
fn a_purge_that_comes_while_the_log_is_written_anew_is_acknowledged_once_it_is_on_the_disk() {
    let world = World::new();
    world.grow();
    let held = world.file_system.hold(Step::Rename, 0);
    world.purges.rewrite_if_due();
    held.wait();
    thread::scope(|scope| {
        let purging = scope.spawn(|| world.purge("acknowledged"));
        drop(held);
        assert!(purging.join().unwrap());
    });
    let disk = world.file_system.after_power_loss();
    assert!(!disk.is_empty() && disk.iter().all(|log| has(log, "acknowledged")));
}

#[test]
fn a_purge_after_a_sync_that_failed_is_acknowledged_with_a_log_that_was_written_anew() {
    let world = World::new();
    world.file_system.fail(&[Step::Sync]);
    assert!(!world.purge("first"));
    assert!(world.holds("first") && world.purges.is_log_due());
    world.file_system.fail(&[Step::Rename]);
    assert!(!world.purge("second"), "what was synced after an error says nothing");
    world.file_system.fail(&[]);
    assert!(world.purge("third"));
    for log in world.file_system.after_power_loss() {
        assert!(["first", "second", "third"].iter().all(|tag| has(&log, tag)));
    }
    assert!(!world.purges.is_log_due());
}

#[test]
fn what_was_invalidated_while_the_disk_was_full_is_written_soon_without_another_purge() {
    let world = World::new();
    world.file_system.fail(&[Step::Write]);
    assert!(!world.invalidate("red") && !world.invalidate("blue") && !world.purge("green"));
    assert!(world.holds("red") && world.holds("blue") && world.holds("green"));
    world.purges.rewrite_if_due();
    let held = world.file_system.hold(Step::SyncFolder, 0);
    world.file_system.fail(&[]);
    held.wait();
    drop(held);
    world.purges.end_rewrites();
    assert!(world.has("red") && world.has("blue") && world.has("green"));
}

#[test]
fn a_log_that_is_another_s_is_not_replaced() {
    let world = World::new();
    world.grow();
    world.purges.end_rewrites();
    world.purges.rewrite_if_due();
    world.purges.forget(1).unwrap();
    assert!(world.bytes() > 256 << 10);
}
