//! Zones that change while they are served.

use crate::world::{World, query};
use dns::{DnsConfig, Place, Rtype, ZoneSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const TWO: &str =
    "listen = '127.0.0.1:0'\n[zone.'a.test']\nfile = 'a.zone'\n[zone.'b.test']\nfile = 'b.zone'\n";

/// Writes a zone file that was not written just now, so that it counts as settled.
fn write(dir: &Path, name: &str, address: &str) {
    let text = format!("$TTL 60\n@ SOA ns admin 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nwww A {address}\n");
    write_text(dir, name, &text);
}

fn write_text(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
    let before = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(dir.join(name)).unwrap().set_modified(before).unwrap();
}

fn two() -> World {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.zone", "192.0.2.1");
    write(dir.path(), "b.zone", "192.0.2.2");
    World::in_dir(TWO, dir)
}

fn load(world: &World, before: &ZoneSet) -> ZoneSet {
    let config: DnsConfig = toml::from_str(TWO).unwrap();
    ZoneSet::load(&config, world.dir.path(), before).unwrap()
}

fn is_same(before: &ZoneSet, after: &ZoneSet, name: &str) -> bool {
    let zone = |set: &ZoneSet| set.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    Arc::ptr_eq(&zone(before), &zone(after))
}

#[test]
fn a_zone_that_changes_is_read_again_and_no_other() {
    let world = two();
    let before = world.dns().zones();
    write(world.dir.path(), "a.zone", "192.0.2.7");
    world.reload(TWO);
    let after = world.dns().zones();
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 7]);
    assert_eq!(world.ask("www.b.test", Rtype::A).address(), [192, 0, 2, 2]);
    assert!(!is_same(&before, &after, "a.test") && is_same(&before, &after, "b.test"));
    assert_eq!(after.changed_since(&before).collect::<Vec<_>>(), ["a.test"]);
    // What was counted of a zone goes on.
    world.ask("www.a.test", Rtype::A);
    world.reload(TWO);
    assert_eq!(world.metric(r#"nines_dns_zone_queries_total{zone="a.test"}"#), 2.0);
}

#[test]
fn a_change_that_is_prepared_and_not_made_does_not_show() {
    let world = two();
    write_text(world.dir.path(), "a.zone", "@ 60 SOA ns admin 9 1 1 1 1\n@ 60 NS ns.elsewhere.test.\n");
    drop(world.dns().prepare(&world.parts(TWO)).unwrap());
    let serial = r#"nines_dns_zone_serial{zone="a.test"}"#;
    assert_eq!((world.metric(serial), world.ask("www.a.test", Rtype::A).rcode()), (1.0, 0));
    world.reload(TWO);
    assert_eq!((world.metric(serial), world.ask("www.a.test", Rtype::A).rcode()), (9.0, 3));
}

#[test]
fn a_file_that_another_one_includes_is_looked_at_too() {
    let world = two();
    write_text(world.dir.path(), "hosts", "www 60 A 192.0.2.1\n");
    let zone = "$TTL 60\n@ SOA ns admin 1 1 1 1 1\n@ NS ns.elsewhere.test.\n$INCLUDE hosts\n";
    write_text(world.dir.path(), "a.zone", zone);
    world.reload(TWO);
    let before = world.dns().zones();
    assert!(is_same(&before, &load(&world, &before), "a.test"));
    write_text(world.dir.path(), "hosts", "www 60 A 192.0.2.9\n");
    world.reload(TWO);
    assert_eq!(world.ask("www.a.test", Rtype::A).address(), [192, 0, 2, 9]);
}

#[test]
fn a_file_that_was_written_just_now_is_read_again() {
    let world = two();
    let text = "$TTL 60\n@ SOA ns admin 1 1 1 1 1\n@ NS ns.elsewhere.test.\nwww A 192.0.2.1\n";
    std::fs::write(world.dir.path().join("a.zone"), text).unwrap();
    let before = load(&world, &ZoneSet::default());
    let after = load(&world, &before);
    assert!(!is_same(&before, &after, "a.test"), "it may have been written again at the same time");
    assert!(is_same(&before, &after, "b.test"));
}

#[test]
fn a_zone_that_is_taken_out_of_the_file_is_answered_for_no_more() {
    let world = two();
    world.reload("listen = '127.0.0.1:0'\n[zone.'b.test']\nfile = 'b.zone'\n");
    assert_eq!(world.ask("www.a.test", Rtype::A).rcode(), 5);
    assert_eq!(world.ask("www.b.test", Rtype::A).address(), [192, 0, 2, 2]);
}

#[test]
fn a_connection_sees_the_zones_that_have_changed() {
    let world = two();
    let mut stream = world.tcp();
    let asked = [query("www.a.test", Rtype::A)];
    stream.send(&asked);
    assert_eq!(stream.hear().address(), [192, 0, 2, 1]);
    write(world.dir.path(), "a.zone", "192.0.2.7");
    world.reload(TWO);
    stream.send(&asked);
    assert_eq!(stream.hear().address(), [192, 0, 2, 7]);
}

#[test]
fn all_that_is_wrong_with_zones_is_told_each_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write_text(
        dir.path(),
        "a.zone",
        "$TTL 60\n@ SOA ns admin 1 1 1 1 1\n@ NS ns.elsewhere.test.\nwww A 300.0.0.1\n",
    );
    let file = "listen = '127.0.0.1:0'\n\
        [zone.'a.test']\nfile = 'a.zone'\n\
        [zone.'b.test']\nrecords = [\"\"\"\n@ SOA ns admin 1 1 1 1 1\n\"\"\", '@ NS ns.elsewhere.test.', 'www AAAA x', 'ftp A y']\n\
        [zone.'c.test']\nrecords = ['@ NS ns.elsewhere.test.']\n\
        [zone.'d.test']\nfile = 'd.zone'\n";
    let config: DnsConfig = toml::from_str(file).unwrap();
    let faults = ZoneSet::load(&config, dir.path(), &ZoneSet::default()).unwrap_err();
    let places: Vec<(&str, &Place)> =
        faults.iter().map(|fault| (fault.zone.as_str(), &fault.place)).collect();
    let path = dir.path().join("a.zone");
    let expected = [
        ("a.test", &Place::File { path, line: 4, column: 7 }),
        ("b.test", &Place::Record(2)),
        ("b.test", &Place::Record(3)),
        ("c.test", &Place::Zone),
        ("d.test", &Place::File { path: dir.path().join("d.zone"), line: 0, column: 0 }),
    ];
    // A file that cannot be read has no SOA either.
    assert_eq!(places[..expected.len()], expected, "{faults:?}");
}
