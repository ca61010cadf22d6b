//! Groups, limits, panic and slow start.

use super::world::*;
use crate::{PickError, Wish};

#[test]
fn a_pool_without_endpoints_says_so() {
    let mut world = World::new("service = \"shop\"");
    assert_eq!(world.error(), "pool web: it has no endpoints yet");
    assert!(!world.pool.is_ready());
}

#[test]
fn endpoints_at_the_nodes_own_place_come_first_then_others_then_backups() {
    let servers = r#"servers = [
        { address = "a:1", at = "eu" }, { address = "b:1", at = "us" }, "c:1", { address = "d:1", backup = true, at = "eu" }
    ]"#;
    let mut world = World::at(servers, Some("eu")).resolved();
    assert_eq!(world.used(), "a:1");
    world.pool.drain("a:1").unwrap();
    assert_eq!(world.used(), "b:1 c:1");
    world.pool.drain("b:1").unwrap();
    world.pool.drain("10.0.0.99:1").unwrap(); // c:1, by its address
    assert_eq!(world.used(), "d:1");
    world.pool.drain("d:1").unwrap();
    assert_eq!(world.error(), "pool web: no healthy endpoint (4 draining of 4)");
    world.pool.undrain("c:1").unwrap();
    assert_eq!(world.used(), "c:1");
}

#[test]
fn a_node_that_is_nowhere_prefers_nobody() {
    let servers = "servers = [{ address = \"a:1\", at = \"eu\" }, { address = \"b:1\", at = \"us\" }]";
    assert_eq!(World::new(servers).resolved().used(), "a:1 b:1");
}

#[test]
fn a_retry_goes_to_another_endpoint_even_a_less_preferred_one() {
    let servers = "servers = [{ address = \"a:1\", at = \"eu\" }, { address = \"b:1\", at = \"us\" }, { address = \"c:1\", backup = true }]";
    let mut world = World::at(servers, Some("eu")).resolved();
    let [a, b, c] = ["a:1", "b:1", "c:1"].map(|name| world.endpoint(name).id());
    assert_eq!(world.picked(&Wish { avoid: &[a], ..Wish::default() }), "b:1");
    assert_eq!(world.picked(&Wish { avoid: &[a, b], ..Wish::default() }), "c:1");
    let error = world.try_pick(&Wish { avoid: &[a, b, c], ..Wish::default() }).unwrap_err();
    assert_eq!(error.to_string(), "pool web: all 3 available endpoints have been tried");
}

#[test]
fn an_endpoint_never_has_more_in_flight_than_it_may() {
    let mut world = World::abc("limit = { inflight_per_endpoint = 2 }");
    let held: Vec<_> = (0..6).map(|_| world.pick()).collect();
    for name in ["a:1", "b:1", "c:1"] {
        assert_eq!(world.endpoint(name).inflight(), 2);
    }
    assert_eq!(world.error(), "pool web: all 3 endpoints have 2 requests in flight, the limit");
    drop(held);
    assert!(world.try_pick(&Wish::default()).is_ok());
}

#[test]
fn weight_0_takes_no_work() {
    let mut world = World::new("servers = [{ address = \"a:1\", weight = 0 }, \"b:1\"]").resolved();
    assert_eq!(world.used(), "b:1");
    world.pool.drain("b:1").unwrap();
    assert_eq!(world.error(), "pool web: no healthy endpoint (1 draining, 1 weight 0 of 2)");
}

#[test]
fn with_too_few_available_all_are_used_but_the_draining() {
    let mut world = World::new(
        "servers = [\"a:1\", \"b:1\", \"c:1\", \"d:1\"]\npanic = \"50%\"\nhealth = { tcp = true }",
    )
    .resolved();
    for name in ["a:1", "b:1", "c:1", "d:1"] {
        world.check(name, true);
    }
    world.pool.drain("d:1").unwrap();
    let fall = |world: &World, name| (0..2).for_each(|_| world.check(name, false));
    fall(&world, "a:1");
    assert_eq!(world.used(), "b:1 c:1", "two of three are enough");
    fall(&world, "b:1");
    assert_eq!(world.used(), "a:1 b:1 c:1");
    assert!(world.pool.status().panic);
    world.check("b:1", true);
    world.check("b:1", true);
    assert_eq!(world.used(), "b:1 c:1");
}

#[test]
fn in_a_panic_being_near_is_no_merit() {
    let servers = "servers = [{ address = \"a:1\", at = \"eu\" }, \"b:1\", \"c:1\"]\npanic = \"50%\"\nhealth = { tcp = true }";
    let mut world = World::at(servers, Some("eu")).resolved();
    world.check("a:1", true);
    world.check("b:1", true);
    world.check("c:1", false);
    assert_eq!(world.used(), "a:1");
    world.check("b:1", false);
    world.check("b:1", false);
    assert_eq!(world.used(), "a:1 b:1 c:1");
}

#[test]
fn without_panic_nobody_is_better_than_an_unhealthy_one() {
    let mut world = World::abc("health = { tcp = true }");
    for name in ["a:1", "b:1", "c:1"] {
        world.check(name, false);
    }
    assert_eq!(world.error(), "pool web: no healthy endpoint (3 unhealthy of 3)");
    assert!(matches!(world.try_pick(&Wish::default()), Err(PickError::NoneAvailable { endpoints: 3, .. })));
}

#[test]
fn backups_come_before_a_panic() {
    let servers = "servers = [\"a:1\", \"b:1\", { address = \"c:1\", backup = true }]\npanic = \"60%\"\nhealth = { tcp = true }";
    let mut world = World::new(servers).resolved();
    world.check("c:1", true);
    world.check("a:1", false);
    world.check("b:1", false);
    assert_eq!(world.used(), "c:1");
}

#[test]
fn endpoints_are_not_used_before_their_first_check() {
    let mut world = World::abc("health = { tcp = true }\npanic = \"50%\"");
    assert_eq!(world.error(), "pool web: no healthy endpoint (3 unknown of 3)");
    world.check("b:1", true);
    assert_eq!(world.used(), "b:1");
    assert!(!world.pool.is_ready());
    world.check("a:1", true);
    world.check("c:1", false);
    assert!(world.pool.is_ready());
}

#[test]
fn a_recovered_endpoint_grows_into_its_share() {
    let mut world = World::new(
        "servers = [\"a:1\", \"b:1\"]\nbalance = \"random\"\nslow_start = \"10s\"\nhealth = { tcp = true }",
    )
    .resolved();
    world.check("a:1", true);
    world.check("b:1", true);
    assert!(world.spread(1000)["b:1"] > 400, "both begin together");
    world.advance(20 * SEC);
    world.check("b:1", false);
    world.check("b:1", false);
    world.check("b:1", true);
    world.check("b:1", true);
    let share = |world: &mut World| world.spread(4000)["b:1"] as f64 / 4000.0;
    assert!((share(&mut world) - 1.0 / 11.0).abs() < 0.02);
    assert_eq!(world.status("b:1").slow_start_percent, 10);
    world.advance(5 * SEC);
    assert!((share(&mut world) - 5.0 / 15.0).abs() < 0.03);
    world.advance(6 * SEC);
    assert!((share(&mut world) - 0.5).abs() < 0.03);
}

#[test]
fn every_policy_serves_a_whole_pool_by_weight() {
    for policy in [
        "random",
        "round-robin",
        "weighted-round-robin",
        "least-loaded",
        "power-of-two",
        "ring-hash",
        "maglev",
    ] {
        let servers = "servers = [{ address = \"a:1\", weight = 3 }, { address = \"b:1\", weight = 1 }]";
        let mut world = World::new(&format!("{servers}\nbalance = \"{policy}\"\nhash = \"path\"")).resolved();
        let spread = world.spread(4000);
        assert!((spread["a:1"] as f64 / 4000.0 - 0.75).abs() < 0.06, "{policy}: {spread:?}");
    }
}

#[test]
fn the_same_key_goes_to_the_same_endpoint_until_it_leaves() {
    for policy in ["ring-hash", "maglev"] {
        let mut world = World::abc(&format!("balance = \"{policy}\"\nhash = {{ header = \"x-user\" }}"));
        let wish = |key: u64| Wish { hash: Some(crate::hash_key(&key.to_be_bytes())), ..Wish::default() };
        let before: Vec<String> = (0..300).map(|key| world.picked(&wish(key))).collect();
        world.pool.drain("b:1").unwrap();
        let without: Vec<String> = (0..300).map(|key| world.picked(&wish(key))).collect();
        let moved =
            before.iter().zip(&without).filter(|(before, after)| before != after && *before != "b:1").count();
        assert!(moved < 15, "{policy}: {moved} of 300 moved without need");
        world.pool.undrain("b:1").unwrap();
        let again: Vec<String> = (0..300).map(|key| world.picked(&wish(key))).collect();
        assert_eq!(before, again, "{policy}");
    }
}
