//! What people are told about a choice.

use super::world::*;
use crate::{PoolExplanation, Wish, hash_key};

fn reasons(explanation: &PoolExplanation) -> Vec<(&str, &str)> {
    explanation.endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.reason.as_str())).collect()
}

#[test]
fn every_endpoint_has_its_reason() {
    let servers = r#"servers = ["a:1", "b:1", { address = "c:1", weight = 0 }, { address = "d:1", backup = true }, "e:1", "z:1"]
        health = { http = "/healthz" }
        eject = { failures = 1 }"#;
    let world = World::new(servers).resolved();
    for name in ["a:1", "b:1", "c:1", "d:1"] {
        world.check(name, true);
    }
    world.check("e:1", false);
    world.fail("b:1", 1);
    let explanation = world.pool.explain(&Wish::default(), world.now);
    assert_eq!(explanation.picked.as_deref(), Some("a:1"));
    assert!(explanation.certain);
    assert_eq!(
        reasons(&explanation),
        [
            ("a:1", "power-of-two: the less loaded of two drawn by weight"),
            ("b:1", "ejected: 1 failure in a row, the last: no connection; out for 10s"),
            ("c:1", "weight 0"),
            ("d:1", "a backup: used when no other is available"),
            ("e:1", "unhealthy: GET / answered 500"),
            ("z:1", "unresolved: its name has no address yet"),
        ]
    );
}

#[test]
fn load_place_and_former_tries_are_reasons() {
    let servers = r#"servers = [{ address = "a:1", at = "eu" }, { address = "b:1", at = "eu" }, { address = "c:1", at = "us" }, "d:1"]
        balance = "least-loaded""#;
    let mut world = World::at(servers, Some("eu")).resolved();
    let held = world.pick();
    let busy = held.endpoint().name().to_owned();
    let explanation = world.pool.explain(&Wish::default(), world.now);
    assert_ne!(explanation.picked.as_deref(), Some(busy.as_str()));
    assert_eq!(explanation.rule, "least-loaded: fewest in flight over weight, among those at eu");
    let why = |name: &str| {
        reasons(&explanation).into_iter().find(|(found, _)| *found == name).unwrap().1.to_owned()
    };
    assert_eq!(why(&busy), "more in flight for its weight: 1 against 0");
    assert_eq!(why("c:1"), "at us, not eu");
    assert_eq!(why("d:1"), "not said to be at eu");
    let tried = [world.endpoint("a:1").id(), world.endpoint("b:1").id()];
    let again = world.pool.explain(&Wish { avoid: &tried, ..Wish::default() }, world.now);
    assert_eq!(reasons(&again)[0], ("a:1", "tried already"));
}

#[test]
fn a_cookie_a_key_and_nobody_are_explained() {
    let mut world = World::abc("sticky = { cookie = \"at\" }");
    let picked = world.pick();
    let cookie = picked.set_cookie().unwrap().to_owned();
    let explanation =
        world.pool.explain(&Wish { sticky: Some(cookie.as_bytes()), ..Wish::default() }, world.now);
    assert_eq!(explanation.picked.as_deref(), Some(picked.endpoint().name()));
    assert_eq!(explanation.rule, "the client's sticky cookie names it");

    let world = World::abc("balance = \"maglev\"\nhash = \"path\"");
    let explanation = world.pool.explain(&Wish { hash: Some(hash_key(b"/")), ..Wish::default() }, world.now);
    let owner = explanation.picked.clone().unwrap();
    assert!(explanation.certain);
    assert!(
        reasons(&explanation)
            .iter()
            .all(|(name, why)| *name == owner || *why == format!("the key belongs to {owner}"))
    );

    let world = World::abc("health = { tcp = true }");
    let explanation = world.pool.explain(&Wish::default(), world.now);
    assert_eq!(
        (explanation.picked, explanation.rule.as_str()),
        (None, "no healthy endpoint (3 unknown of 3)")
    );
}

#[test]
fn an_explanation_changes_nothing() {
    let mut world = World::abc("balance = \"round-robin\"");
    let foretold = |world: &World| world.pool.explain(&Wish::default(), world.now).picked.unwrap();
    for _ in 0..7 {
        assert_eq!(foretold(&world), foretold(&world));
        let expected = foretold(&world);
        assert_eq!(world.picked(&Wish::default()), expected);
    }
    assert_eq!(world.pool.status().endpoints.iter().map(|endpoint| endpoint.requests).sum::<u64>(), 7);
}
