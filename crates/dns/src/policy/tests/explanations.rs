//! Each step of a choice, told.

use super::world::World;
use crate::policy::{Client, Explanation, explain};

fn explained(world: &World, name: &str, client: &str) -> Option<Explanation> {
    let client = Client::of(client.parse().expect("an address"), None);
    explain(&world.zones, &name.parse().expect("a name"), client, 0)
}

/// `healthy: a b (c: why) note` for each step.
fn steps(explanation: &Explanation) -> Vec<String> {
    let step = |step: &crate::StepExplanation| {
        let dropped: Vec<String> =
            step.dropped.iter().map(|dropped| format!(" ({}: {})", dropped.candidate, dropped.why)).collect();
        let note = step.note.as_ref().map(|note| format!(" – {note}")).unwrap_or_default();
        format!("{}: {}{}{note}", step.step, step.left.join(", "), dropped.concat())
    };
    explanation.steps.iter().map(step).collect()
}

const FILE: &str = "
    place.eu = { networks = ['192.0.2.0/24'] }
    place.us = {}
    zone.'shop.test'.records = 'alias CNAME www'
    zone.'shop.test'.route.'@'.alias = 'alias'
    [zone.'shop.test'.route.www]
    choose = ['healthy', 'nearest', 'weighted']
    answers = [{ pool = 'a', at = 'eu', addresses = ['192.0.2.1', '2001:db8::1'] },
               { pool = 'b', at = 'us', addresses = ['192.0.2.2'] },
               { pool = 'c', at = 'us', addresses = ['192.0.2.3'] },
               { pool = 'd', at = 'eu', addresses = ['192.0.2.4'], weight = 0 }]";

#[test]
fn each_step_tells_who_is_left_and_why_not_the_others() {
    let world = World::new(FILE);
    world.set_available("c", 0);
    let told = explained(&world, "shop.test", "192.0.2.77").expect("a route");
    assert_eq!(
        (told.name.as_str(), told.zone.as_str(), told.place.as_deref()),
        ("shop.test", "shop.test", Some("eu"))
    );
    assert_eq!(told.aliases, ["alias.shop.test", "www.shop.test"]);
    assert_eq!(told.candidates, ["a at eu", "b at us", "c at us", "d at eu"]);
    assert_eq!(
        steps(&told),
        [
            "healthy: a at eu, b at us, d at eu (c at us: no endpoint is available: 1 unhealthy)",
            "weight 0: a at eu, b at us (d at eu: its weight is 0, and others are left)",
            "nearest: a at eu (b at us: another is nearer to eu)",
            "weighted: a at eu"
        ]
    );
    let addresses: Vec<String> = told.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(
        (told.rcode.as_str(), told.ttl_seconds, told.client_bits, told.certain),
        ("NOERROR", 20, 24, true)
    );
}

#[test]
fn it_is_told_when_nothing_is_known_or_up() {
    let world = World::new(FILE);
    ["a", "b", "c", "d"].iter().for_each(|pool| world.set_available(pool, 0));
    let told = explained(&world, "www.shop.test", "10.0.0.1").expect("a route");
    let steps = steps(&told);
    assert!(steps[0].ends_with("– everything is down: it goes on as if everything were up"), "{steps:?}");
    assert_eq!(steps[2], "nearest: a at eu, b at us, c at us – it is not known where the client is");
    assert_eq!((told.place, told.rcode.as_str()), (None, "NOERROR"));
    let world = World::new(
        &FILE.replace("[zone.'shop.test'.route.www]", "[zone.'shop.test'.route.www]\nwhen_down = 'servfail'"),
    );
    ["a", "b", "c", "d"].iter().for_each(|pool| world.set_available(pool, 0));
    let told = explained(&world, "www.shop.test", "10.0.0.1").expect("a route");
    assert_eq!((told.steps.len(), told.rcode.as_str(), told.addresses.len()), (1, "SERVFAIL", 0));
}

#[test]
fn what_is_told_is_what_is_answered() {
    let world = World::new(FILE);
    for down in [&[][..], &["a"], &["a", "b"], &["b", "c"], &["a", "b", "c"], &["a", "b", "c", "d"]] {
        for pool in ["a", "b", "c", "d"] {
            world.set_available(pool, if down.contains(&pool) { 0 } else { 2 });
        }
        for client in ["192.0.2.77", "10.0.0.1", "10.0.1.1", "2001:db8::1"] {
            let told = explained(&world, "www.shop.test", client).expect("a route");
            let mut addresses: Vec<String> = told.addresses.iter().map(ToString::to_string).collect();
            addresses.sort_unstable();
            let mut answered = world.addresses("www.shop.test A", client);
            answered.extend(world.addresses("www.shop.test AAAA", client));
            assert_eq!(addresses, answered, "{client} with {down:?} down");
        }
    }
}

#[test]
fn a_name_without_a_route_is_answered_as_the_zone_says() {
    let world = World::new(&format!("{FILE}\n[zone.'plain.test']\nrecords = 'www A 192.0.2.9'"));
    for name in ["www.plain.test", "nothing.shop.test", "elsewhere.test"] {
        assert_eq!(explained(&world, name, "192.0.2.77"), None, "{name}");
    }
}

#[test]
fn chance_is_told() {
    let world =
        World::new("zone.'shop.test'.route.www = { choose = ['multivalue'], answers = [{ pool = 'a' }] }");
    assert!(!explained(&world, "www.shop.test", "10.0.0.1").expect("a route").certain);
}
