//! Failures of live requests.

use super::world::*;
use crate::{Outcome, State, Wish};

#[test]
fn failures_in_a_row_take_an_endpoint_out_and_a_success_between_does_not() {
    let mut world = World::abc("eject = { failures = 3 }");
    world.fail("a:1", 2);
    world.end("a:1", Outcome::Answered { status: 404 });
    world.fail("a:1", 2);
    assert_eq!(world.state("a:1"), State::Healthy);
    world.end("a:1", Outcome::Answered { status: 503 });
    assert_eq!(world.state("a:1"), State::Ejected);
    assert_eq!(world.status("a:1").cause, "3 failures in a row, the last: answered 503; out for 10s");
    assert_eq!(world.used(), "b:1 c:1");
}

#[test]
fn a_request_that_the_client_gave_up_says_nothing() {
    let mut world = World::abc("eject = { failures = 1 }");
    for _ in 0..50 {
        drop(world.pick());
    }
    assert!(["a:1", "b:1", "c:1"].iter().all(|name| world.state(name) == State::Healthy));
    assert_eq!(world.pool.status().endpoints.iter().map(|endpoint| endpoint.inflight).sum::<u64>(), 0);
}

#[test]
fn rule_0_is_off() {
    let world = World::abc("eject = { failures = 0 }");
    world.fail("a:1", 100);
    assert_eq!(world.state("a:1"), State::Healthy);
}

#[test]
fn after_its_time_one_request_at_a_time_shows_whether_it_works() {
    let mut world = World::abc("eject = { failures = 1, for = \"10s\" }\nbalance = \"round-robin\"");
    world.fail("a:1", 1);
    world.advance(9 * SEC);
    assert_eq!(world.used(), "b:1 c:1");
    world.advance(SEC);
    let held: Vec<_> = (0..30).map(|_| world.pick()).collect();
    assert_eq!(world.state("a:1"), State::Probing);
    let probes = held.iter().filter(|picked| picked.endpoint().name() == "a:1").count();
    assert_eq!(probes, 1);
    for picked in held {
        picked.finish(Outcome::Answered { status: 200 }, MS, world.now);
    }
    assert_eq!(world.state("a:1"), State::Healthy);
    assert_eq!(world.status("a:1").ejections, 1);
    assert_eq!(world.spread(300)["a:1"], 100);
}

#[test]
fn a_probe_that_fails_takes_it_out_for_longer() {
    let mut world = World::abc("eject = { failures = 1, for = \"10s\" }\nbalance = \"round-robin\"");
    world.fail("a:1", 1);
    for lasts in [10, 20, 30] {
        world.advance((lasts - 1) * SEC);
        assert_eq!(world.used(), "b:1 c:1");
        world.advance(SEC);
        let held: Vec<_> = (0..3).map(|_| world.pick()).collect();
        for picked in held {
            let is_probe = picked.endpoint().name() == "a:1";
            let outcome =
                if is_probe { Outcome::FirstByteTimeout } else { Outcome::Answered { status: 200 } };
            picked.finish(outcome, MS, world.now);
        }
        assert_eq!(world.state("a:1"), State::Ejected, "after {lasts}s");
    }
    assert_eq!(world.status("a:1").cause, "its probe failed: no answer in time; out for 40s");
}

#[test]
fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
    let mut world = World::abc("eject = { failures = 1 }\nbalance = \"round-robin\"");
    world.fail("a:1", 1);
    world.advance(10 * SEC);
    for _ in 0..3 {
        let held: Vec<_> = (0..6).map(|_| world.pick()).collect();
        assert_eq!(held.iter().filter(|picked| picked.endpoint().name() == "a:1").count(), 1);
        assert_eq!(world.state("a:1"), State::Probing);
    }
}

#[test]
fn a_probe_that_takes_too_long_lets_another_through() {
    let mut world = World::abc("eject = { failures = 1, for = \"10s\" }\nbalance = \"round-robin\"");
    world.fail("a:1", 1);
    world.advance(10 * SEC);
    let _tunnels: Vec<_> = (0..3).map(|_| world.pick()).collect();
    assert_eq!(world.endpoint("a:1").inflight(), 1);
    world.advance(11 * SEC);
    let _more: Vec<_> = (0..3).map(|_| world.pick()).collect();
    assert_eq!(world.endpoint("a:1").inflight(), 2);
}

#[test]
fn at_most_the_share_is_out_and_never_the_last() {
    let world = World::abc("eject = { failures = 1, max = \"100%\" }");
    for name in ["a:1", "b:1", "c:1"] {
        world.fail(name, 5);
    }
    assert_eq!(
        ["a:1", "b:1", "c:1"].map(|name| world.state(name)),
        [State::Ejected, State::Ejected, State::Healthy]
    );
    let world = World::abc("eject = { failures = 1, max = \"34%\" }");
    for name in ["a:1", "b:1", "c:1"] {
        world.fail(name, 5);
    }
    assert_eq!(
        ["a:1", "b:1", "c:1"].map(|name| world.state(name)),
        [State::Ejected, State::Healthy, State::Healthy]
    );
    let alone = World::new("servers = [\"a:1\"]\neject = { failures = 1 }").resolved();
    alone.fail("a:1", 5);
    assert_eq!(alone.state("a:1"), State::Healthy);
}

#[test]
fn one_whose_ejection_was_refused_goes_when_there_is_room() {
    let mut world = World::abc("eject = { failures = 2, max = \"34%\", for = \"10s\" }");
    world.fail("a:1", 2);
    world.fail("b:1", 2);
    assert_eq!(world.state("b:1"), State::Healthy);
    world.advance(10 * SEC);
    drop(world.pick());
    world.fail("b:1", 2);
    assert_eq!(world.state("b:1"), State::Ejected);
}

#[test]
fn when_all_others_fall_an_ejection_ends_early() {
    let mut world =
        World::new("servers = [\"a:1\", \"b:1\"]\neject = { failures = 1 }\nhealth = { tcp = true }")
            .resolved();
    world.check("a:1", true);
    world.check("b:1", true);
    world.fail("a:1", 1);
    world.check("b:1", false);
    world.check("b:1", false);
    assert_eq!(world.state("a:1"), State::Probing);
    assert_eq!(world.status("a:1").cause, "no other endpoint is available");
    let _held: Vec<_> = (0..5).map(|_| world.pick()).collect();
    assert_eq!(world.endpoint("a:1").inflight(), 5, "nobody is turned away for the sake of one probe");
}

#[test]
fn a_checked_out_endpoint_stays_out_though_its_ejection_is_over() {
    let mut world = World::abc("eject = { failures = 1 }\nhealth = { tcp = true }");
    for name in ["a:1", "b:1", "c:1"] {
        world.check(name, true);
    }
    world.fail("a:1", 1);
    world.check("a:1", false);
    world.check("a:1", false);
    assert_eq!(world.state("a:1"), State::Unhealthy);
    world.advance(11 * SEC);
    assert_eq!(world.used(), "b:1 c:1");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_above_the_rest_takes_an_endpoint_out() {
    let mut world =
        World::abc("eject = { failures = 0, ratio = \"20%\", window = \"10s\", requests_min = 20 }");
    let drain = flow::Drain::new();
    let running = tokio::spawn(std::sync::Arc::clone(&world.pool).run(drain.watch()));
    // A second before the end of a window's part, so that what is done here is seen at its end.
    tokio::time::sleep(500 * MS).await;
    world.now = crate::pool::now();
    for request in 0..30 {
        let status = if request % 3 == 0 { 500 } else { 200 };
        world.end("a:1", Outcome::Answered { status });
        world.end("b:1", Outcome::Answered { status: 200 });
        world.end("c:1", Outcome::Answered { status: 200 });
    }
    assert_eq!(world.state("a:1"), State::Healthy);
    tokio::time::sleep(SEC).await;
    assert_eq!(world.state("a:1"), State::Ejected);
    assert_eq!(world.status("a:1").cause, "10 of its 30 requests within 10s failed; out for 10s");
    drain.start();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_alike_nobody_is_taken_out() {
    let mut world =
        World::abc("eject = { failures = 0, ratio = \"20%\", window = \"10s\", requests_min = 20 }");
    let drain = flow::Drain::new();
    let running = tokio::spawn(std::sync::Arc::clone(&world.pool).run(drain.watch()));
    tokio::time::sleep(500 * MS).await;
    world.now = crate::pool::now();
    for name in ["a:1", "b:1", "c:1"] {
        world.fail(name, 40);
    }
    tokio::time::sleep(20 * SEC).await;
    assert!(["a:1", "b:1", "c:1"].iter().all(|name| world.state(name) == State::Healthy));
    drain.start();
    running.await.unwrap();
}

#[test]
fn a_late_failure_of_an_ejected_endpoint_changes_nothing() {
    let mut world = World::abc("eject = { failures = 1 }");
    let held: Vec<_> = (0..30).map(|_| world.pick()).collect();
    world.fail("a:1", 1);
    let before = world.status("a:1").cause;
    for picked in held.into_iter().filter(|picked| picked.endpoint().name() == "a:1") {
        picked.finish(Outcome::Reset, MS, world.now);
    }
    assert_eq!(world.status("a:1").cause, before);
    assert_eq!(world.status("a:1").ejections, 1);
}

#[test]
fn retries_come_out_of_a_budget_that_first_attempts_fill() {
    let mut world = World::abc("retry = { budget = \"20%\" }");
    let tried = [world.endpoint("a:1").id()];
    let granted =
        |world: &World| (0..1000).take_while(|_| world.pool.retry_budget().try_withdraw(world.now)).count();
    let idle = granted(&world);
    world.advance(60 * SEC);
    for _ in 0..1000 {
        world.picked(&Wish::default());
        world.picked(&Wish { avoid: &tried, ..Wish::default() });
    }
    assert_eq!(granted(&world) - idle, 200);
}
