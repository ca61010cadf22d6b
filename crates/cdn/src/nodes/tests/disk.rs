//! A disk that fails, or takes its time.

use super::*;
use crate::growing::staged::{Held, Step};
use std::sync::mpsc::channel;
use std::thread;

/// What a core asks while somebody waits for the disk. It fails instead of waiting for ever.
fn a_core_goes_on(one: &One, held: Held) {
    thread::scope(|scope| {
        held.wait();
        let (tell, told) = channel();
        scope.spawn(move || {
            one.engine.invalidate(&one.engine.key(b"http://a/x")).unwrap();
            assert!(one.nodes.fetched().is_none(), "not all is told");
            assert!(!is_loop(one.nodes.own(), std::iter::empty()) && !one.nodes.is_one(NodeId(0)));
            assert!(one.nodes.covers(&Vector::new()));
            one.nodes.missed(address(1), true, Moment::now());
            let _ = tell.send(());
        });
        let is_done = told.recv_timeout(Duration::from_secs(10));
        drop(held);
        is_done.expect("a core waits for the disk");
    });
}

#[test]
fn no_core_waits_while_the_ledger_is_synced_or_written_anew() {
    for (failing, held) in [
        (None, (Step::Sync, 0)),
        (Some(Step::Write), (Step::Create, 0)),
        (Some(Step::Write), (Step::Rename, 0)),
    ] {
        let (one, _) = two();
        one.file_system.fail(failing.as_slice());
        assert_eq!(one.try_to_purge("red"), failing.is_none());
        one.file_system.fail(&[]);
        let (step, skipped) = held;
        let held = one.file_system.hold(step, skipped);
        thread::scope(|scope| {
            let purging = scope.spawn(|| one.try_to_purge("blue"));
            a_core_goes_on(&one, held);
            assert!(purging.join().unwrap());
        });
        one.nodes.settle().unwrap();
        let own = one.nodes.own();
        assert_eq!(one.nodes.ledger().upto(own), 3, "{step:?}");
    }
}

#[test]
fn a_number_that_is_not_on_the_disk_is_given_to_no_other_node_and_so_not_twice() {
    for failing in [&[Step::Write, Step::Create][..], &[Step::Sync], &[Step::Write, Step::Rename]] {
        let (one, other) = two();
        level(&one, &other, address(1), Moment::now());
        one.file_system.fail(failing);
        assert!(!one.try_to_purge("red") && one.has_purged("red"));
        // It asks, and is asked.
        exchange(&one, &other, address(1), Loss::Nothing, Moment::now());
        let asking = other.nodes.message(address(0), Moment::now()).unwrap();
        assert!(one.nodes.answer(&asking, Moment::now()).is_err(), "who has not told all is not heard");
        // kill -9.
        let one = one.restart(LedgerLimits::default(), &[address(1)]);
        one.purge("blue");
        level(&one, &other, address(1), Moment::now());
        assert!(other.has_purged("blue"), "{failing:?}");
    }
}

#[test]
fn what_could_not_be_written_is_told_once_it_can() {
    let (one, other) = two();
    one.file_system.fail(&[Step::Sync]);
    assert!(!one.try_to_purge("red"));
    one.engine.invalidate(&one.engine.key(b"http://a/x")).unwrap();
    assert!(one.nodes.settle().is_err() && !one.nodes.is_settled());
    one.nodes.leave();
    assert!(!one.nodes.describe(Moment::now()).is_leaving, "it has not told all");
    one.file_system.fail(&[]);
    one.purge("blue");
    assert!(one.nodes.is_settled() && one.nodes.describe(Moment::now()).is_leaving);
    level(&one, &other, address(1), Moment::now());
    assert!(other.has_purged("red") && other.has_purged("blue"));
    assert_eq!(other.engine.purges().verdict(b"http://a/x", &[], 0).0, Verdict::Hard);
    assert_eq!(other.engine.purges().sequence(), 3, "each once");
}

#[test]
fn what_others_tell_is_known_though_it_cannot_be_written_and_is_purged_once() {
    let (one, other) = two();
    one.purge("red");
    other.file_system.fail(&[Step::Write, Step::Create]);
    let message = |to: &One| {
        let message = one.nodes.message(address(1), Moment::now()).unwrap();
        to.nodes.answer(&message, Moment::now())
    };
    let known = other.nodes.describe(Moment::now());
    one.nodes.take_answer(address(1), &known, Moment::now(), Moment::now()).unwrap();
    assert!(message(&other).is_err(), "it says that its disk fails");
    message(&other).unwrap();
    assert!(other.has_purged("red"));
    assert_eq!(other.engine.purges().sequence(), 1);
    let other = other.restart(LedgerLimits::default(), &[address(0)]);
    level(&one, &other, address(1), Moment::now());
    assert!(other.nodes.covers(&one.nodes.ledger().vector()));
}

#[test]
fn a_node_that_is_behind_itself_gives_no_number_until_it_is_another_on_the_disk() {
    let (one, other) = two();
    let path = one.home.path().join("nodes/a");
    let copy = std::fs::read(&path).unwrap();
    one.purge("red");
    level(&one, &other, address(1), Moment::now());
    std::fs::write(&path, copy).unwrap();
    let id = one.nodes.own();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    one.file_system.fail(&[Step::Create]);
    let answer = other.nodes.describe(Moment::now());
    assert!(one.nodes.take_answer(address(1), &answer, Moment::now(), Moment::now()).is_err());
    assert!(!one.try_to_purge("blue"));
    assert_eq!(one.nodes.ledger().upto(id), 0);
    one.file_system.fail(&[]);
    one.purge("green");
    assert_ne!(one.nodes.own(), id);
    level(&one, &other, address(1), Moment::now());
    assert!(other.has_purged("blue") && other.has_purged("of anything"), "nobody knows what is missing");
}

#[test]
fn a_file_of_an_earlier_process_that_is_damaged_makes_everything_be_purged_once() {
    let (one, other) = two();
    std::fs::write(one.home.path().join("nodes/b"), b"no ledger").unwrap();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    level(&one, &other, address(1), Moment::now());
    assert!(other.has_purged("of anything"));
    let sequence = other.engine.purges().sequence();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    level(&one, &other, address(1), Moment::now());
    assert_eq!(other.engine.purges().sequence(), sequence);
}

#[test]
fn a_file_that_a_start_has_made_and_never_written_is_no_damage() {
    let (one, other) = two();
    let sequence = other.engine.purges().sequence();
    std::fs::write(one.home.path().join("nodes/b"), b"").unwrap();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    level(&one, &other, address(1), Moment::now());
    assert_eq!(other.engine.purges().sequence(), sequence);
}

#[test]
fn a_process_that_takes_over_while_two_others_drain_remembers_purges_too() {
    let home = tempfile::tempdir().unwrap();
    let open =
        |id| LedgerFile::open(Arc::new(Host), home.path(), LedgerLimits::default(), NodeId(id)).unwrap();
    let (first, second, third) = (open(1), open(2), open(3));
    let purge = third.ledger.begin(Arc::new(Entry::new(Target::Tag("red"), Mode::Hard)), 0);
    third.file.append(std::slice::from_ref(&purge)).unwrap();
    drop((first, second, third));
    let next = open(4);
    assert!(next.damaged.is_empty() && next.ledger.all().any(|item| item == purge));
}
