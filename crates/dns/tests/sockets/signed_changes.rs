//! A zone that is signed here, and whose content changes.

use crate::world::{PATIENCE, World};
use dns::{DnsConfig, DnsParts, Rtype, ZoneBuilder, ZoneSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

fn file(more: &str) -> String {
    format!(
        "listen = '127.0.0.1:0'\n[zone.'a.test']\nsign = true\n\
         records = ['@ SOA ns admin 3 1 1 1 1', '@ NS ns.b.test.', 'www A 192.0.2.1']\n{more}\n"
    )
}

/// With the zones signed that are to be.
fn parts(world: &World, file: &str, before: &ZoneSet) -> DnsParts {
    let config: DnsConfig = toml::from_str(file).unwrap();
    let mut zones = ZoneSet::load(&config, world.dir.path(), before).unwrap();
    zones.sign(&world.dir.path().join("data/dns"), SystemTime::now(), before).unwrap();
    world.parts_of(config, zones)
}

fn world(file: &str) -> World {
    World::signed(|world| parts(world, file, &ZoneSet::default()))
}

fn signature(world: &World, name: &str) -> Vec<u8> {
    let answer = world.ask(name, Rtype::RRSIG).0;
    answer[answer.len() - 64..].to_vec()
}

#[test]
fn an_orderly_end_keeps_the_signatures_for_the_next_start() {
    let first = world(&file(""));
    let before = (signature(&first, "www.a.test"), first.dns().status()[0].serial);
    let dir = first.drain_keeping(PATIENCE);
    assert!(dir.path().join("data/dns/keys/a.test/signatures").exists());
    let again = World::signed_in(dir, |world| parts(world, &file(""), &ZoneSet::default()));
    assert_eq!((signature(&again, "www.a.test"), again.dns().status()[0].serial), before);
    assert!(again.drain(Duration::from_secs(5)));
}

#[test]
fn a_zone_from_elsewhere_fails_until_it_has_come_and_is_signed() {
    let file =
        "listen = '127.0.0.1:0'\n[zone.'a.test']\nsign = true\nsecondary = { primaries = ['127.0.0.1:9'] }\n";
    let world = world(file);
    assert_eq!(world.ask("a.test", Rtype::DNSKEY).rcode(), 2);
    assert!(world.dns().status()[0].withdrawn);
}

#[test]
fn a_reload_leaves_a_zone_that_is_updated_to_whoever_updates_it() {
    let update = "update = [{ key = 'a.key' }]";
    let world = world(&file(update));
    let serial = world.dns().status()[0].serial;
    assert_eq!(serial, 3);
    let same = parts(&world, &file(update), &world.dns().zones());
    world.dns().commit(world.dns().prepare(&same).unwrap());
    assert_eq!(world.dns().status()[0].serial, 3, "nothing changed");
    let other = file(update).replace("192.0.2.1", "192.0.2.9");
    let other = parts(&world, &other, &world.dns().zones());
    world.dns().commit(world.dns().prepare(&other).unwrap());
    world.until("nines_dns_zone_serial{zone=\"a.test\"}", 4.0);
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 9]);
    assert_eq!(world.ask("www.a.test", Rtype::RRSIG).answers(), 2);
}

const FROM_ELSEWHERE: &str =
    "listen = '127.0.0.1:0'\n[zone.'a.test']\nsecondary = { primaries = ['127.0.0.1:9'] }\n";

/// What has come, in the place of a transfer.
fn publish(world: &World, serial: u32, more: &str) {
    let mut builder = ZoneBuilder::new("a.test".parse().unwrap());
    let soa = format!("@ 60 SOA ns admin {serial} 1 1 1 1");
    builder.lines("test", [&soa, "@ 60 NS ns.b.test.", more]);
    assert!(world.dns().publisher().replace(&Arc::new(builder.finish().unwrap().zone)));
}

#[test]
fn a_reload_that_signs_otherwise_takes_back_nothing_that_came_meanwhile() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let file = |sign| format!("{FROM_ELSEWHERE}sign = {sign}\n");
    let world = world(&file("true"));
    let come = |serial, address: u8| {
        publish(&world, serial, &format!("www 60 A 192.0.2.{address}"));
        let end = Instant::now() + PATIENCE;
        while world.dns().status()[0].serial != serial {
            assert!(Instant::now() < end, "the zone is not signed");
        }
    };
    come(5, 1);
    let other = parts(&world, &file("{ denial = 'nsec3' }"), &world.dns().zones());
    come(9, 2);
    // Nobody signs it again before it is looked at.
    drop(entered);
    drop(runtime);
    world.dns().commit(world.dns().prepare(&other).unwrap());
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 2]);
    assert_eq!(world.dns().status()[0].serial, 9);
}

#[test]
fn a_zone_from_elsewhere_that_is_signed_no_longer_is_served_as_it_came() {
    let world = world(&format!("{FROM_ELSEWHERE}sign = true\n"));
    publish(&world, 5, "www 60 NSEC a.test. A RRSIG NSEC");
    let plain = parts(&world, FROM_ELSEWHERE, &world.dns().zones());
    world.dns().commit(world.dns().prepare(&plain).unwrap());
    assert_eq!(world.dns().status()[0].serial, 5);
    assert_eq!(world.ask("www.a.test", Rtype::NSEC).answers(), 1);
}
