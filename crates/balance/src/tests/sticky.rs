//! Clients that keep their endpoint.

use super::world::*;
use crate::{KeySource, Outcome, Wish, hash_key};

const COOKIE: &str = "sticky = { cookie = \"at\" }";

/// A client's first request: the endpoint's name and the cookie.
fn first(world: &mut World) -> (String, String) {
    let picked = world.pick();
    let cookie = picked.set_cookie().expect("a new client is given a cookie").to_owned();
    let name = picked.endpoint().name().to_owned();
    picked.finish(Outcome::Answered { status: 200 }, MS, world.now);
    (name, cookie)
}

/// A further request: the endpoint's name and whether a new cookie is given.
fn further(world: &mut World, cookie: &str) -> (String, bool) {
    let wish = Wish { sticky: Some(cookie.as_bytes()), ..Wish::default() };
    let picked = world.try_pick(&wish).unwrap();
    (picked.endpoint().name().to_owned(), picked.set_cookie().is_some())
}

#[test]
fn a_client_with_a_cookie_stays() {
    let mut world = World::abc(COOKIE);
    assert_eq!(world.pool.sticky_cookie().as_deref(), Some("at"));
    for _ in 0..20 {
        let (name, cookie) = first(&mut world);
        assert!(!cookie.contains(&name[..1]) || cookie.len() == 16, "the value tells nothing");
        for _ in 0..20 {
            assert_eq!(further(&mut world, &cookie), (name.clone(), false));
        }
    }
}

#[test]
fn without_sticky_no_cookie_is_given_or_heeded() {
    let mut world = World::abc("");
    assert_eq!(world.pick().set_cookie(), None);
    assert_eq!(world.pool.sticky_cookie(), None);
}

#[test]
fn a_forged_or_foreign_cookie_is_replaced() {
    let mut world = World::abc(COOKIE);
    for forged in
        ["", "a:1", "0000000000000000", "+000000000000000", "ffffffffffffffffff", "0123456789ABCDEF"]
    {
        assert!(further(&mut world, forged).1, "{forged}");
    }
}

#[test]
fn a_cookie_survives_the_restart_of_its_instance() {
    let mut world = World::new(&format!("service = \"shop\"\n{COOKIE}"));
    world.pool.set_instances(vec![instance("shop-1", 4001), instance("shop-2", 4002)]);
    let (name, cookie) = first(&mut world);
    let before = world.endpoint(&name).id();
    world.pool.set_instances(vec![instance("shop-1", 5001), instance("shop-2", 5002)]);
    assert_ne!(world.endpoint(&name).id(), before);
    assert_eq!(further(&mut world, &cookie), (name, false));
}

#[test]
fn a_cookie_is_the_same_on_every_node_with_the_same_secret() {
    let (mut one, mut other) = (World::abc(COOKIE), World::abc(COOKIE));
    let (name, cookie) = first(&mut one);
    assert_eq!(further(&mut other, &cookie), (name, false));
}

#[test]
fn a_client_whose_endpoint_is_down_moves_with_a_new_cookie() {
    let mut world = World::abc(&format!("{COOKIE}\nhealth = {{ tcp = true }}"));
    for name in ["a:1", "b:1", "c:1"] {
        world.check(name, true);
    }
    let (name, cookie) = first(&mut world);
    world.check(&name, false);
    world.check(&name, false);
    let (other, moved) = further(&mut world, &cookie);
    assert!(other != name && moved);
}

#[test]
fn a_draining_endpoint_keeps_its_clients_and_takes_no_new_ones() {
    let mut world = World::abc(COOKIE);
    let (name, cookie) = first(&mut world);
    world.pool.drain(&name).unwrap();
    assert_eq!(further(&mut world, &cookie), (name.clone(), false));
    assert!(!world.used().contains(&name));
}

#[test]
fn a_client_that_was_tried_in_vain_moves_and_one_that_found_it_full_comes_back() {
    let mut world = World::abc(&format!("{COOKIE}\nlimit = {{ inflight_per_endpoint = 1 }}"));
    let (name, cookie) = first(&mut world);
    let tried = [world.endpoint(&name).id()];
    let retry = Wish { sticky: Some(cookie.as_bytes()), avoid: &tried, ..Wish::default() };
    let picked = world.try_pick(&retry).unwrap();
    assert!(picked.endpoint().name() != name && picked.set_cookie().is_some());
    drop(picked);
    let held = world.try_pick(&Wish { sticky: Some(cookie.as_bytes()), ..Wish::default() }).unwrap();
    let (other, moved) = further(&mut world, &cookie);
    assert!(other != name && !moved);
    drop(held);
    assert_eq!(further(&mut world, &cookie), (name, false));
}

#[test]
fn a_cookie_reaches_a_backup_though_others_are_available() {
    let mut world =
        World::new(&format!("servers = [\"a:1\", {{ address = \"b:1\", backup = true }}]\n{COOKIE}"))
            .resolved();
    world.pool.drain("a:1").unwrap();
    let (name, cookie) = first(&mut world);
    world.pool.undrain("a:1").unwrap();
    assert_eq!(name, "b:1");
    assert_eq!(further(&mut world, &cookie), (name, false));
}

#[test]
fn a_header_or_address_keeps_its_endpoint_whatever_the_policy_and_the_load() {
    for sticky in ["{ header = \"x-user\" }", "\"client-address\""] {
        let mut world = World::abc(&format!("sticky = {sticky}\nbalance = \"least-loaded\""));
        let wish = |user: &str| Wish { hash: Some(hash_key(user.as_bytes())), ..Wish::default() };
        let users: Vec<String> = (0..60).map(|user| format!("user {user}")).collect();
        let before: Vec<String> = users.iter().map(|user| world.picked(&wish(user))).collect();
        let held: Vec<_> = (0..50).map(|_| world.try_pick(&wish("user 7")).unwrap()).collect();
        assert!(held.iter().all(|picked| picked.endpoint().name() == before[7]));
        world.pool.drain("a:1").unwrap();
        for (user, before) in users.iter().zip(&before) {
            let after = world.picked(&wish(user));
            assert!(after != "a:1" && (before == "a:1" || before == &after), "{user}: {before} {after}");
        }
    }
}

#[test]
fn a_pool_says_what_to_hash() {
    let source = |more: &str| World::abc(more).pool.key_source();
    assert_eq!(source(""), KeySource::None);
    assert_eq!(source("sticky = \"client-address\""), KeySource::ClientAddress);
    assert_eq!(source("sticky = { header = \"x-user\" }"), KeySource::Header("x-user".into()));
    assert_eq!(source("hash = \"path\"\nbalance = \"maglev\""), KeySource::Path);
    assert_eq!(
        source("hash = { cookie = \"cart\" }\nbalance = \"maglev\"\nsticky = { cookie = \"at\" }"),
        KeySource::Cookie("cart".into())
    );
}
