//! A zone that is signed here, while it is served.

use crate::world::{PATIENCE, World};
use dns::{DnsConfig, DnsParts, Rtype, ZoneBuilder, ZoneSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

fn file(address: &str) -> String {
    format!(
        "listen = '127.0.0.1:0'\n\
         [zone.'a.test']\nsign = true\nrecords = ['@ SOA ns admin 3 1 1 1 1', '@ NS ns.b.test.', 'www A {address}']\n\
         [zone.'b.test']\nrecords = ['@ SOA ns admin 1 1 1 1 1', '@ NS ns', 'ns A 192.0.2.2']\n"
    )
}

/// With the zones signed that are to be.
fn parts(world: &World, file: &str, before: &ZoneSet) -> DnsParts {
    let config: DnsConfig = toml::from_str(file).unwrap();
    let mut zones = ZoneSet::load(&config, world.dir.path(), before).unwrap();
    zones.sign(&world.dir.path().join("data/dns"), SystemTime::now(), before).unwrap();
    world.parts_of(config, zones)
}

fn serial(world: &World) -> u32 {
    world.dns().status().iter().find(|zone| zone.name == "a.test").unwrap().serial
}

#[test]
fn a_reload_signs_what_changed_and_leaves_what_did_not() {
    let world = World::signed(|world| parts(world, &file("192.0.2.1"), &ZoneSet::default()));
    assert_eq!(world.ask("a.test", Rtype::DNSKEY).answers(), 1);
    assert_eq!(world.ask("b.test", Rtype::DNSKEY).answers(), 0);
    assert_eq!(serial(&world), 3);
    let before = world.dns().zones();
    world.dns().commit(world.dns().prepare(&parts(&world, &file("192.0.2.1"), &before)).unwrap());
    assert_eq!(serial(&world), 3, "nothing changed");
    let changed = parts(&world, &file("192.0.2.9"), &before);
    world.dns().commit(world.dns().prepare(&changed).unwrap());
    assert_eq!(serial(&world), 4);
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 9]);
    let status = world.dns().status();
    assert!(status[0].signing.is_some() && status[1].signing.is_none());
    // Without `sign` it is served as it is.
    let plain = file("192.0.2.9").replace("sign = true\n", "");
    world.dns().commit(world.dns().prepare(&parts(&world, &plain, &world.dns().zones())).unwrap());
    assert_eq!(world.ask("a.test", Rtype::DNSKEY).answers(), 0);
}

#[test]
fn records_that_are_replaced_are_signed_before_they_are_served() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let world = World::signed(|world| parts(world, &file("192.0.2.1"), &ZoneSet::default()));
    let mut builder = ZoneBuilder::new("a.test".parse().unwrap());
    builder.lines("test", ["@ 60 SOA ns admin 90 1 1 1 1", "@ 60 NS ns.b.test.", "www 60 A 192.0.2.7"]);
    assert!(world.dns().publisher().replace(&Arc::new(builder.finish().unwrap().zone)));
    let end = Instant::now() + PATIENCE;
    while world.ask("www.a.test", Rtype::A).address() != [192, 0, 2, 7] {
        assert!(Instant::now() < end, "the zone is not signed");
    }
    assert_eq!(serial(&world), 90);
    assert_eq!(world.ask("www.a.test", Rtype::RRSIG).answers(), 2);
    world.until(r#"nines_dns_zone_signings_total{outcome="signed"}"#, 1.0);
    let series = r#"nines_dns_zone_signature_expiry_seconds{zone="a.test"} "#;
    while !world.registry.render().contains(series) {
        assert!(Instant::now() < end, "it is not told when signatures end");
    }
    assert!(world.metric(series) > 1e9);
    // A zone that is withdrawn stays so, however often it could be signed.
    world.dns().publisher().withdraw(&"a.test".parse().unwrap());
    assert_eq!(world.ask("www.a.test", Rtype::A).rcode(), 2);
}
