//! What is kept, and whether it may be served.

use super::*;

#[test]
fn what_is_kept_is_confirmed_until_all_nodes_were_heard_and_once_one_is_silent() {
    let (one, other) = two();
    let kept = one.engine.put(object("a", b"body", 0)).unwrap();
    let wall = SystemTime::now();
    assert!(!one.engine.is_trusted(&kept, wall), "nobody was heard yet");
    level(&one, &other, address(1), Moment::now());
    assert!(one.engine.is_trusted(&kept, wall));
    assert!(one.engine.is_trusted(&kept, wall + SILENT - Duration::from_secs(1)));
    assert!(!one.engine.is_trusted(&kept, wall + SILENT + Duration::from_secs(1)), "silent for too long");
    level(&one, &other, address(1), Moment::now() + SILENT * 2);
    assert!(one.engine.is_trusted(&kept, wall + SILENT * 2 + Duration::from_secs(1)));
}

#[test]
fn a_node_that_does_not_run_makes_what_was_kept_be_confirmed_once() {
    let (one, other) = two();
    level(&one, &other, address(1), Moment::now());
    let before = one.engine.put(object("a", b"body", one.engine.purges().sequence())).unwrap();
    one.nodes.missed(address(1), true, Moment::now());
    let after = one.engine.put(object("b", b"body", one.engine.purges().sequence())).unwrap();
    let wall = SystemTime::now();
    assert!(!one.engine.is_trusted(&before, wall) && one.engine.is_trusted(&after, wall));
    assert_eq!(one.nodes.seen(Moment::now())[0].state, State::Down);
    level(&one, &other, address(1), Moment::now());
    assert!(one.engine.is_trusted(&before, wall), "it runs again, and all it knew is known");
}

#[test]
fn a_node_that_spoke_since_it_was_down_is_not_taken_for_down_all_the_time() {
    let (one, other) = two();
    level(&one, &other, address(1), Moment::now());
    one.nodes.missed(address(1), true, Moment::now());
    let between = one.engine.put(object("a", b"body", one.engine.purges().sequence())).unwrap();
    assert!(one.engine.is_trusted(&between, SystemTime::now()));
    // It has begun again, and may have purged before it ends once more.
    one.nodes.answer(&other.nodes.describe(Moment::now()), Moment::now()).unwrap();
    one.nodes.missed(address(1), true, Moment::now());
    assert!(!one.engine.is_trusted(&between, SystemTime::now()));
}

#[test]
fn a_node_that_takes_its_leave_costs_nothing() {
    let (one, other) = two();
    let kept = one.engine.put(object("a", b"body", 0)).unwrap();
    level(&one, &other, address(1), Moment::now());
    other.nodes.leave();
    level(&other, &one, address(0), Moment::now());
    one.nodes.missed(address(1), true, Moment::now());
    assert_eq!(one.nodes.seen(Moment::now())[0].state, State::Down);
    assert!(one.engine.is_trusted(&kept, SystemTime::now()));
}

#[test]
fn a_node_is_heard_through_a_third_one_as_far_as_that_heard_it() {
    let limits = LedgerLimits::default();
    let one = One::new(limits, &[address(1), address(2)]);
    let middle = One::new(limits, &[address(0), address(2)]);
    let third = One::new(limits, &[address(0), address(1)]);
    let start = Moment::now();
    level(&middle, &third, address(2), start);
    level(&one, &middle, address(1), start + Duration::from_secs(4));
    let heard = |now| one.nodes.seen(now)[1].heard_ago.unwrap().as_secs();
    assert_eq!(heard(start + Duration::from_secs(4)), 4);
    assert_eq!(one.nodes.seen(start + SILENT)[1].state, State::Silent);
}

#[test]
fn a_node_that_is_not_reached_is_asked_less_and_less_often_and_never_by_all_at_once() {
    let mut contact = Contact::new(address(0));
    let mut rng = SmallRng::seed_from_u64(1);
    let mut waits = Vec::new();
    for _ in 0..12 {
        contact.fail();
        waits.push(contact.wait(Duration::from_secs(60), &mut rng));
    }
    assert!(waits[0] < Duration::from_millis(250) && waits[11] > Duration::from_secs(2), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(5)));
    assert_ne!(contact.wait(SILENT, &mut rng), contact.wait(SILENT, &mut rng));
    contact.met();
    assert!(contact.wait(SILENT, &mut rng) <= Duration::from_secs(1));
}

#[test]
fn a_fetch_says_only_what_not_every_node_knows() {
    let (one, other) = two();
    one.purge("red");
    assert_eq!(one.nodes.unshared(), Vector::from([(one.nodes.own(), 1)]));
    assert!(!other.nodes.covers(&one.nodes.unshared()));
    level(&one, &other, address(1), Moment::now());
    assert_eq!(one.nodes.unshared(), Vector::new());
}
