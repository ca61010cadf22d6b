use super::staged::{Held, Staged, Step};
use super::*;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Where somebody who writes a file anew may have to wait, in their order.
const STEPS: [(Step, usize); 6] = [
    (Step::Create, 0),
    (Step::Write, 0),
    (Step::Sync, 0),
    (Step::Sync, 1),
    (Step::Rename, 0),
    (Step::SyncFolder, 0),
];

struct World {
    home: tempfile::TempDir,
    file_system: Arc<Staged>,
    growing: Growing,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let file_system = Staged::new();
        let growing = Growing::open(file_system.clone(), &home.path().join("log"), 0).unwrap();
        Self { home, file_system, growing }
    }

    fn content(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// While the file is written anew, what is said is done, once that has come to a step.
    fn while_held(&self, held: Held, all: &str, done: impl FnOnce() + Send) -> io::Result<()> {
        thread::scope(|scope| {
            let rewriting = scope.spawn(|| self.growing.rewrite(|| all.into()));
            held.wait();
            let (tell, told) = channel();
            scope.spawn(move || {
                done();
                let _ = tell.send(());
            });
            let is_done = told.recv_timeout(Duration::from_secs(10)).is_ok();
            drop(held);
            assert!(is_done, "it waits for the disk");
            rewriting.join().unwrap()
        })
    }
}

#[test]
fn nobody_who_appends_waits_while_the_file_is_written_anew_and_nothing_is_lost() {
    for (step, skipped) in STEPS {
        let world = World::new();
        world.growing.append(b"a,b,").unwrap();
        world.growing.sync().unwrap();
        let held = world.file_system.hold(step, skipped);
        world
            .while_held(held, "A,", || {
                world.growing.append(b"c,").unwrap();
                // As it is after kill -9, and after a loss of power.
                let now = world.content();
                assert!(now == "a,b,c," || now == "A,c,", "{step:?} {now}");
                for bytes in world.file_system.after_power_loss() {
                    let bytes = String::from_utf8(bytes).unwrap();
                    assert!(bytes == "a,b," || bytes.starts_with("A,"), "{step:?} {bytes}");
                }
            })
            .unwrap();
        world.growing.append(b"d,").unwrap();
        assert_eq!(world.content(), "A,c,d,", "{step:?}");
        assert!(!world.growing.is_broken());
    }
}

#[test]
fn where_the_file_cannot_be_written_anew_the_old_one_stays() {
    for step in [Step::Create, Step::Sync, Step::Rename] {
        let world = World::new();
        world.growing.append(b"a,").unwrap();
        world.file_system.fail(&[step]);
        assert!(world.growing.rewrite(|| "A,".into()).is_err());
        world.file_system.fail(&[]);
        assert!(!world.growing.is_broken(), "{step:?}");
        world.growing.append(b"b,").unwrap();
        world.growing.sync().unwrap();
        assert_eq!(world.content(), "a,b,");
        assert_eq!(fs::read_dir(world.home.path()).unwrap().count(), 1, "nothing is left of the new one");
    }
}

#[test]
fn a_new_file_that_may_not_be_under_its_name_after_a_loss_of_power_is_written_once_more() {
    let world = World::new();
    world.growing.append(b"a,").unwrap();
    world.file_system.fail(&[Step::SyncFolder]);
    assert!(world.growing.rewrite(|| "A,".into()).is_err());
    world.file_system.fail(&[]);
    world.growing.append(b"b,").unwrap();
    assert_eq!(world.content(), "A,b,", "the end of the process loses nothing");
    assert!(world.growing.sync().is_err() && world.growing.is_due());
    world.growing.rewrite(|| "A,B,".into()).unwrap();
    world.growing.sync().unwrap();
}

#[test]
fn a_sync_that_failed_is_not_believed_the_next_time() {
    let world = World::new();
    world.growing.append(b"a,").unwrap();
    world.file_system.fail(&[Step::Sync]);
    assert!(world.growing.sync().is_err());
    world.file_system.fail(&[]);
    assert!(world.growing.sync().is_err() && world.growing.is_due(), "the error is told once");
    world.growing.rewrite(|| "A,".into()).unwrap();
    world.growing.sync().unwrap();
}

#[test]
fn after_a_write_that_failed_nothing_follows_until_the_file_is_written_anew() {
    let world = World::new();
    world.file_system.fail(&[Step::Write]);
    assert!(world.growing.append(b"ab,").is_err());
    world.file_system.fail(&[]);
    assert!(world.growing.append(b"c,").is_err() && world.growing.is_due());
    assert_eq!(world.content(), "a");
    // What fails meanwhile is in the new one.
    let held = world.file_system.hold(Step::Sync, 0);
    world.while_held(held, "A,", || assert!(world.growing.append(b"d,").is_err())).unwrap();
    world.growing.append(b"e,").unwrap();
    assert_eq!(world.content(), "A,d,e,");
}

#[test]
fn a_new_file_that_a_write_has_torn_does_not_take_the_place_of_a_whole_one() {
    let world = World::new();
    world.growing.append(b"a,").unwrap();
    let held = world.file_system.hold(Step::Sync, 1);
    let rewritten = world.while_held(held, "A,", || {
        world.file_system.fail(&[Step::Write]);
        assert!(world.growing.append(b"bb,").is_err());
        world.file_system.fail(&[]);
    });
    assert!(rewritten.is_err() && world.growing.is_due());
    world.growing.rewrite(|| "A,B,".into()).unwrap();
    assert_eq!(world.content(), "A,B,");
}

#[test]
fn where_more_comes_than_can_be_noted_the_new_file_is_given_up() {
    let world = World::new();
    let held = world.file_system.hold(Step::Sync, 0);
    let much = vec![b'x'; NOTED_BYTES_MAX];
    let rewritten = world.while_held(held, "A,", || {
        world.growing.append(&much).unwrap();
        world.growing.append(b"y").unwrap();
    });
    assert!(rewritten.is_err() && !world.growing.is_broken() && world.growing.is_due());
    assert_eq!(world.content().len(), NOTED_BYTES_MAX + 1);
}
