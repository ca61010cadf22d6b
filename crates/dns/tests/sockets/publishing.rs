//! A zone that is replaced without a reload.

use crate::world::World;
use dns::{Rtype, Zone, ZoneBuilder};
use std::sync::Arc;

fn file(serial: u32) -> String {
    format!(
        "listen = '127.0.0.1:0'\n\
         [zone.'a.test']\nrecords = ['@ SOA ns admin {serial} 1 1 1 1', '@ NS ns.b.test.', 'www A 192.0.2.1']\n\
         [zone.'b.test']\nrecords = ['@ SOA ns admin 1 1 1 1 1', '@ NS ns', 'ns A 192.0.2.2']\n"
    )
}

fn zone(apex: &str, address: &str) -> Arc<Zone> {
    let mut builder = ZoneBuilder::new(apex.parse().unwrap());
    let www = format!("www 60 A {address}");
    builder.lines("test", ["@ 60 SOA ns admin 9 1 1 1 1", "@ 60 NS ns.b.test.", &www]);
    Arc::new(builder.finish().unwrap().zone)
}

#[test]
fn a_published_zone_is_answered_from_and_counted_as_the_one_before() {
    let world = World::new(&file(1));
    let publisher = world.dns().publisher();
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 1]);
    assert!(publisher.replace(&zone("a.test", "192.0.2.9")));
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 9]);
    assert_eq!(world.metric(r#"nines_dns_zone_serial{zone="a.test"}"#), 9.0);
    assert_eq!(world.metric(r#"nines_dns_zone_queries_total{zone="a.test"}"#), 2.0);
    assert_eq!(world.dns().status()[0].serial, 9);
    assert_eq!(world.ask("ns.b.test", Rtype::A).address(), [192, 0, 2, 2]);
    assert!(!publisher.replace(&zone("c.test", "192.0.2.9")), "it is not in the file");
    assert_eq!(world.ask("www.c.test", Rtype::A).rcode(), 5);
}

#[test]
fn a_published_zone_outlives_a_reload_until_its_text_changes() {
    let world = World::new(&file(1));
    world.dns().publisher().replace(&zone("a.test", "192.0.2.9"));
    let prepared = world.dns().prepare(&world.parts(&file(1))).unwrap();
    world.dns().publisher().replace(&zone("a.test", "192.0.2.10"));
    world.dns().commit(prepared);
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 10], "the reload came in between");
    world.reload(&file(2));
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 1]);
    assert_eq!(world.metric(r#"nines_dns_zone_serial{zone="a.test"}"#), 2.0);
}

#[test]
fn a_withdrawn_zone_fails_until_there_is_another() {
    let world = World::new(&file(1));
    let publisher = world.dns().publisher();
    assert!(publisher.withdraw(&"a.test".parse().unwrap()));
    for rtype in [Rtype::A, Rtype::SOA, Rtype::DS, Rtype::ANY] {
        assert_eq!(world.ask("a.test", rtype).rcode(), 2, "{rtype}");
    }
    assert_eq!(world.ask("ns.b.test", Rtype::A).rcode(), 0);
    publisher.replace(&zone("a.test", "192.0.2.9"));
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 9]);
}
