//! Who the endpoints are: reload, instances, drain, and what is told about it.

use super::world::*;
use crate::{Error, Outcome, PoolStatus, State};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

#[test]
fn endpoints_that_stay_through_a_reload_keep_what_is_known_about_them() {
    let world = World::abc("eject = { failures = 1 }");
    let before = world.endpoint("a:1").id();
    world.fail("a:1", 1);
    world.end("b:1", Outcome::Answered { status: 200 });
    world.pool.drain("b:1").unwrap();
    let gone = world.endpoint("c:1");
    world.pool.apply(config(
        "servers = [\"d:1\", { address = \"b:1\", weight = 7 }, \"a:1\"]\nbalance = \"random\"",
    ));
    assert_eq!(world.endpoint("a:1").id(), before);
    assert_eq!(world.state("a:1"), State::Ejected);
    assert_eq!(world.state("b:1"), State::Draining);
    assert_eq!((world.status("b:1").weight, world.status("b:1").requests), (7, 1));
    assert_eq!(world.state("d:1"), State::Healthy);
    assert!(gone.is_gone() && !world.endpoint("a:1").is_gone());
    let names: Vec<String> =
        world.pool.status().endpoints.into_iter().map(|endpoint| endpoint.name).collect();
    assert_eq!(names, ["d:1", "b:1", "a:1"], "in the order of the file");
}

#[test]
fn an_instance_that_was_drained_is_drained_when_it_comes_back() {
    let mut world = World::new("service = \"shop\"");
    world.pool.set_instances(vec![instance("shop-1", 1), instance("shop-2", 2)]);
    world.pool.drain("shop-2").unwrap();
    world.pool.set_instances(vec![instance("shop-1", 1)]);
    world.pool.set_instances(vec![instance("shop-1", 1), instance("shop-2", 3)]);
    assert_eq!(world.state("shop-2"), State::Draining);
    assert_eq!(world.used(), "shop-1");
    world.pool.undrain("shop-2").unwrap();
    assert_eq!(world.used(), "shop-1 shop-2");
}

/// For DNS, which tells clients addresses.
#[test]
fn addresses_of_those_that_may_be_picked_are_told_apart() {
    let world = World::new(
        "servers = [\"a:1\", \"a:2\", \"b:1\", { address = \"c:1\", backup = true }]\neject = { failures = 1 }",
    )
    .resolved();
    let told = || {
        world.pool.with_addresses(|available, known| {
            let hosts = |addresses: &[std::net::IpAddr]| {
                addresses
                    .iter()
                    .map(|address| address.to_string().replace("10.0.0.", ""))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            format!("{} of {}, {}", hosts(available), hosts(known), world.pool.causes())
        })
    };
    assert_eq!(told(), "97 98 of 97 98 99, ");
    world.pool.drain("a:1").unwrap();
    assert_eq!(told(), "97 98 of 97 98 99, 1 draining");
    world.pool.drain("a:2").unwrap();
    assert_eq!(told(), "98 of 98 97 99, 2 draining");
    world.pool.drain("b:1").unwrap();
    assert_eq!(told(), "99 of 99 97 98, 3 draining");
    world.pool.drain("c:1").unwrap();
    assert_eq!(told(), " of 97 98 99, 4 draining");
}

#[test]
fn whoever_follows_hears_how_many_are_available_at_once_and_at_every_change() {
    let world = World::abc("eject = { failures = 1 }");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let follow = |times: usize| {
        let heard = Arc::clone(&heard);
        world.pool.follow_available(move |available| {
            let mut heard = heard.lock().unwrap();
            heard.push(available);
            heard.len() < times
        });
    };
    follow(4);
    assert_eq!(*heard.lock().unwrap(), [3]);
    world.fail("a:1", 1);
    world.pool.drain("b:1").unwrap();
    assert_eq!(*heard.lock().unwrap(), [3, 2, 1]);
    world.pool.undrain("b:1").unwrap();
    world.pool.drain("b:1").unwrap();
    assert_eq!(*heard.lock().unwrap(), [3, 2, 1, 2], "it had heard enough");
}

#[test]
fn a_reload_changes_limits_and_policy() {
    let mut world = World::abc("limit = { inflight = 1, queue = 0 }");
    let _permit = world.pool.gate().try_enter().unwrap();
    assert!(world.pool.gate().try_enter().is_none());
    world
        .pool
        .apply(config("servers = [\"a:1\", \"b:1\"]\nbalance = \"round-robin\"\nlimit = { inflight = 2 }"));
    assert!(world.pool.gate().try_enter().is_some());
    assert_eq!(world.spread(10), [("a:1".to_owned(), 5), ("b:1".to_owned(), 5)].into());
    assert_eq!(world.pool.status().inflight_max, 2);
}

#[test]
fn checks_that_come_with_a_reload_do_not_stop_what_serves() {
    let mut world = World::abc("");
    world.pool.apply(config("servers = [\"a:1\", \"b:1\", \"c:1\", \"d:1\"]\nhealth = { tcp = true }"));
    assert_eq!(world.used(), "a:1 b:1 c:1", "a new endpoint waits for its first check");
    world.check("a:1", false);
    assert_eq!(world.used(), "b:1 c:1");
    world.pool.apply(config("servers = [\"a:1\", \"b:1\"]"));
    assert_eq!(world.used(), "a:1 b:1");
}

#[test]
fn an_instance_that_is_not_ready_is_not_used_and_does_not_hold_up_readiness() {
    let mut world = World::new("service = \"shop\"");
    let starting = crate::Instance { ready: false, ..instance("shop-2", 2) };
    world.pool.set_instances(vec![instance("shop-1", 1), starting]);
    assert_eq!(world.used(), "shop-1");
    assert_eq!(world.state("shop-2"), State::NotReady);
    assert!(world.pool.is_ready());
    world.pool.set_instances(vec![instance("shop-1", 1), instance("shop-2", 2)]);
    assert_eq!(world.used(), "shop-1 shop-2");
}

#[test]
fn an_instance_at_a_new_address_is_a_new_endpoint_that_stays_drained_and_goes_on_counting() {
    let world = World::new("service = \"shop\"\nhealth = { tcp = true }");
    world.pool.set_instances(vec![instance("shop-1", 1), instance("shop-2", 2)]);
    world.check("shop-1", true);
    world.end("shop-1", Outcome::Answered { status: 500 });
    world.pool.drain("shop-1").unwrap();
    let before = world.endpoint("shop-1");
    world.pool.set_instances(vec![instance("shop-1", 9), instance("shop-2", 2)]);
    let after = world.endpoint("shop-1");
    assert!(before.is_gone() && !after.is_gone() && before.id() != after.id());
    assert_eq!(
        (world.state("shop-1"), world.status("shop-1").requests, world.status("shop-1").failures),
        (State::Draining, 1, 1)
    );
    world.pool.undrain("shop-1").unwrap();
    world.pool.set_instances(vec![
        crate::Instance { ready: false, ..instance("shop-1", 9) },
        instance("shop-2", 2),
    ]);
    world.pool.set_instances(vec![instance("shop-1", 7), instance("shop-2", 2)]);
    assert_eq!(world.state("shop-1"), State::Unknown, "the new process has not been checked");
}

#[test]
fn a_process_that_takes_over_from_a_healthy_one_serves_until_its_first_check_says_otherwise() {
    let mut world = World::new("service = \"shop\"\nhealth = { tcp = true }");
    world.pool.set_instances(vec![instance("shop-1", 1)]);
    world.check("shop-1", true);
    world.pool.set_instances(vec![instance("shop-1", 2)]);
    assert_eq!(world.used(), "shop-1", "there is no moment without an endpoint");
    world.check("shop-1", false);
    assert_eq!(world.state("shop-1"), State::Unhealthy);
    world.pool.set_instances(vec![instance("shop-1", 3)]);
    assert_eq!(world.state("shop-1"), State::Unknown, "it took over from one that was not healthy");
}

#[test]
fn an_endpoint_is_drained_by_name_or_address_and_a_wrong_name_lists_the_right_ones() {
    let mut world = World::abc("");
    world.pool.drain("10.0.0.98:1").unwrap();
    assert_eq!(world.used(), "a:1 c:1");
    let error = world.pool.drain("x").unwrap_err();
    assert_eq!(error.to_string(), "pool web: no endpoint \"x\" (it has a:1, b:1, c:1)");
    assert!(matches!(error, Error::UnknownEndpoint { .. }));
}

#[test]
fn what_a_person_reads_survives_json() {
    let mut world = World::abc("eject = { failures = 1 }");
    world.picked(&crate::Wish::default());
    world.fail("a:1", 1);
    let status = world.pool.status();
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<PoolStatus>(&text).unwrap(), status);
    assert_eq!((status.available, status.endpoints.len(), status.ready), (2, 3, true));
    assert!(text.contains("\"state\":\"ejected\""));
}

#[test]
fn every_change_is_counted_and_an_endpoints_series_go_with_it() {
    let world = World::abc("eject = { failures = 1 }");
    world.fail("a:1", 1);
    world.end("b:1", Outcome::Answered { status: 200 });
    let text = world.registry.render();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    has("nines_balance_endpoint_transitions_total{endpoint=\"a:1\",pool=\"web\",to=\"ejected\"} 1");
    has("nines_balance_endpoint_transitions_total{endpoint=\"a:1\",pool=\"web\",to=\"healthy\"} 1");
    has("nines_balance_endpoint_requests_total{endpoint=\"b:1\",pool=\"web\"} 1");
    has("nines_balance_endpoint_failures_total{endpoint=\"a:1\",pool=\"web\"} 1");
    has("nines_balance_endpoint_ejections_total{endpoint=\"a:1\",pool=\"web\"} 1");
    has("nines_balance_endpoint_up{endpoint=\"a:1\",pool=\"web\"} 0");
    has("nines_balance_endpoint_up{endpoint=\"b:1\",pool=\"web\"} 1");
    has("nines_balance_pool_available{pool=\"web\"} 2");
    world.pool.apply(config("servers = [\"b:1\"]"));
    let text = world.registry.render();
    assert!(!text.contains("a:1") && text.contains("b:1"), "{text}");
    drop(world.pool);
    assert!(!world.registry.render().contains("web"));
}

#[test]
fn ids_are_never_given_twice() {
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let world = World::abc("");
        for name in ["a:1", "b:1", "c:1"] {
            assert!(seen.insert(world.endpoint(name).id()));
        }
    }
}

#[test]
fn cores_that_pick_and_finish_at_once_lose_no_request() {
    let world = World::abc("limit = { inflight_per_endpoint = 3 }\neject = { failures = 2, for = \"1ms\" }");
    let now = world.now;
    std::thread::scope(|scope| {
        for seed in 0..4u64 {
            let pool = &world.pool;
            scope.spawn(move || {
                let mut rng = <rand::rngs::SmallRng as rand::SeedableRng>::seed_from_u64(seed);
                for turn in 0..5_000u32 {
                    let now = now + MS * turn;
                    let Ok(picked) = pool.pick(&crate::Wish::default(), now, &mut rng) else { continue };
                    assert!(picked.endpoint().inflight() <= 3 + 4, "a refused claim is taken back at once");
                    match turn % 7 {
                        0 => drop(picked),
                        1 | 2 => picked.finish(Outcome::Reset, MS, now),
                        _ => picked.finish(Outcome::Answered { status: 200 }, MS, now),
                    }
                }
            });
        }
    });
    assert!(world.pool.status().endpoints.iter().all(|endpoint| endpoint.inflight == 0));
}
