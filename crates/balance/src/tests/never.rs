//! Whatever happens to a pool, a new client is never sent to an endpoint that is not available.

use super::world::*;
use crate::{Outcome, State, Wish, hash_key};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Check(usize, bool),
    End(usize, bool),
    Drain(usize, bool),
    Reload(Vec<u32>),
    Advance(u64),
    Pick { key: Option<u8>, avoid: usize, hold: bool },
    Release,
}

const NAMES: [&str; 5] = ["a:1", "b:1", "c:1", "d:1", "e:1"];
const POLICIES: [&str; 8] = [
    "random",
    "round-robin",
    "weighted-round-robin",
    "least-loaded",
    "power-of-two",
    "peak-ewma",
    "ring-hash",
    "maglev",
];

fn step() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    prop_oneof![
        3 => (who.clone(), any::<bool>()).prop_map(|(who, passed)| Step::Check(who, passed)),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, works)| Step::End(who, works)),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, drains)| Step::Drain(who, drains)),
        1 => prop::collection::vec(0u32..4, NAMES.len()).prop_map(Step::Reload),
        2 => (0u64..8_000).prop_map(Step::Advance),
        8 => (any::<Option<u8>>(), 0..=NAMES.len(), any::<bool>()).prop_map(|(key, avoid, hold)| Step::Pick { key, avoid, hold }),
        1 => Just(Step::Release),
    ]
}

/// The last server is a backup.
fn file(policy: &str, weights: &[u32], checked: bool) -> String {
    let servers = NAMES.iter().zip(weights).enumerate().map(|(number, (name, weight))| {
        format!("{{ address = \"{name}\", weight = {weight}, backup = {} }}", number == NAMES.len() - 1)
    });
    let servers: Vec<String> = servers.collect();
    let health = if checked { "health = { tcp = true }" } else { "" };
    format!(
        "servers = [{}]\nbalance = \"{policy}\"\nslow_start = \"4s\"\n{health}
         eject = {{ failures = 2, for = \"3s\", max = \"60%\" }}\nlimit = {{ inflight_per_endpoint = 4 }}",
        servers.join(", ")
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_pick_is_available_new_and_within_its_limit(
        policy in prop::sample::select(&POLICIES[..]),
        checked in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(&file(policy, &[1, 1, 2, 3, 1], checked)).resolved();
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Check(who, passed) => world.check(NAMES[who], passed),
                Step::End(who, true) => world.end(NAMES[who], Outcome::Answered { status: 200 }),
                Step::End(who, false) => world.fail(NAMES[who], 1),
                Step::Drain(who, true) => world.pool.drain(NAMES[who]).unwrap(),
                Step::Drain(who, false) => world.pool.undrain(NAMES[who]).unwrap(),
                Step::Reload(weights) => world.pool.apply(config(&file(policy, &weights, checked))),
                Step::Advance(millis) => world.advance(MS * millis as u32),
                Step::Release => held.clear(),
                Step::Pick { key, avoid, hold } => {
                    let tried: Vec<_> = NAMES[..avoid].iter().map(|name| world.endpoint(name).id()).collect();
                    let wish = Wish { hash: key.map(|key| hash_key(&[key])), sticky: None, avoid: &tried };
                    let available = |world: &World| world.pool.status().endpoints.into_iter().filter(|endpoint| endpoint.available).count();
                    match world.try_pick(&wish) {
                        Ok(picked) => {
                            let status = world.status(picked.endpoint().name());
                            prop_assert!(status.available && status.weight > 0, "{status:?}");
                            prop_assert!(matches!(status.state, State::Healthy | State::Probing), "{status:?}");
                            prop_assert!(!tried.contains(&picked.endpoint().id()));
                            prop_assert!(picked.endpoint().inflight() <= 4);
                            if status.backup && avoid == 0 {
                                let others = world.pool.status().endpoints.into_iter();
                                prop_assert!(others.filter(|other| !other.backup && other.available).all(|other| other.inflight >= 4 || other.state == State::Probing));
                            }
                            if hold { held.push(picked) }
                        }
                        Err(_) => {
                            let free = NAMES[avoid..].iter().map(|name| world.status(name));
                            let free = free.filter(|endpoint| endpoint.available && endpoint.inflight < 4).count();
                            prop_assert!(free == 0, "refused though {free} of {} are free", available(&world));
                        }
                    }
                }
            }
        }
        drop(held);
        prop_assert!(world.pool.status().endpoints.iter().all(|endpoint| endpoint.inflight == 0));
    }
}
