//! Machines that sleep, and clocks that are set.

use super::*;
use std::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// The machine was awake for so long, and the clock of the wall is `wall` on.
fn later(start: Moment, awake: Duration, wall: Duration) -> Moment {
    Moment::at(Instant::now() + awake, start.wall() + wall)
}

#[test]
fn what_was_heard_before_the_machine_slept_is_not_published_anew() {
    let (one, other) = two();
    let start = Moment::now();
    level(&one, &other, address(1), start);
    let kept = one.engine.put(object("a", b"body", 0)).unwrap();
    assert!(one.engine.is_trusted(&kept, start.wall()));
    let awake = later(start, Duration::from_secs(1), HOUR);
    assert_eq!(one.nodes.seen(awake)[0].state, State::Silent);
    one.nodes.set_contacts(&[address(1)], SILENT, awake);
    assert!(!one.engine.is_trusted(&kept, awake.wall()));
    one.nodes.missed(address(1), false, awake);
    assert!(!one.engine.is_trusted(&kept, awake.wall()));
    level(&one, &other, address(1), awake);
    assert!(one.engine.is_trusted(&kept, awake.wall()));
}

#[test]
fn a_node_that_refused_before_the_machine_slept_is_silent_after_it() {
    let (one, _) = two();
    let start = Moment::now();
    one.nodes.missed(address(1), true, start);
    assert_eq!(one.nodes.seen(start)[0].state, State::Down);
    assert_eq!(one.nodes.seen(later(start, Duration::ZERO, HOUR))[0].state, State::Silent);
}

#[test]
fn a_clock_that_was_set_back_trusts_nothing_for_longer() {
    let (one, other) = two();
    let start = Moment::now() + HOUR;
    level(&one, &other, address(1), start);
    let kept = one.engine.put(object("a", b"body", 0)).unwrap();
    assert!(one.engine.is_trusted(&kept, start.wall()));
    let back = start.wall() - HOUR;
    assert!(!one.engine.is_trusted(&kept, back), "until it is known when that is");
    let silent = Moment::at(Instant::now() + HOUR + SILENT + Duration::from_secs(1), back);
    assert_eq!(one.nodes.seen(silent)[0].state, State::Silent);
    one.nodes.missed(address(1), false, silent);
    assert!(!one.engine.is_trusted(&kept, back));
    // What is heard from now on counts by both clocks anew.
    level(&one, &other, address(1), silent);
    assert!(one.engine.is_trusted(&kept, back));
    let slept = Moment::at(Instant::now() + HOUR + SILENT + Duration::from_secs(2), back + HOUR);
    assert_eq!(one.nodes.seen(slept)[0].state, State::Silent);
}
