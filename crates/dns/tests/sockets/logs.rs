//! What is told of queries.

use crate::world::{World, hear, query};
use dns::Rtype;
use std::path::Path;
use std::time::Duration;

fn file(more: &str) -> String {
    format!(
        "listen = '127.0.0.1:0'\n{more}\n[zone.'shop.test']\n\
         records = ['@ SOA ns1 admin 7 3600 600 86400 300', '@ NS ns1', 'ns1 A 192.0.2.53', 'www A 192.0.2.1']\n"
    )
}

/// The lines after all is written.
fn lines(world: World, path: &str) -> Vec<String> {
    let path = world.dir.path().join(path);
    let dir = world.drain_keeping(Duration::from_secs(5));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    drop(dir);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_query_is_a_line_of_json() {
    let world = World::new(&file("log = { queries = 'q.log' }"));
    let client = world.udp();
    let mut message = query("WWW.shop.test", Rtype::A);
    // Recursion desired; and EDNS, with DNSSEC's records and a client's subnet.
    message[2] |= 1;
    message[11] = 1;
    message.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100]);
    client.send(&message).unwrap();
    let sent = hear(&client).0.len();
    client.send(&[0; 12]).unwrap();
    hear(&client);
    let port = client.local_addr().unwrap().port();
    let lines = lines(world, "q.log");
    assert_eq!(lines.len(), 2);
    let (time, rest) = lines[0].strip_prefix("{\"ts\":\"").unwrap().split_once('"').unwrap();
    assert_eq!(time.len(), 24);
    let (rest, took) = rest.rsplit_once(":").unwrap();
    assert!(took.strip_suffix('}').unwrap().parse::<u64>().unwrap() < 20_000_000);
    let expected = format!(
        ",\"client\":\"127.0.0.1\",\"port\":{port},\"transport\":\"udp\",\"name\":\"WWW.shop.test\",\"type\":\"A\",\
         \"class\":\"IN\",\"subnet\":\"198.51.100.0/24\",\"rcode\":\"NOERROR\",\"kind\":\"positive\",\"flags\":\"aa rd do\",\
         \"zone\":\"shop.test\",\"received_bytes\":{},\"sent_bytes\":{sent},\"took_us\"",
        message.len()
    );
    assert_eq!(rest, expected);
    assert!(
        lines[1].contains("\"rcode\":\"FORMERR\",\"kind\":\"error\",\"received_bytes\":12,"),
        "{}",
        lines[1]
    );
}

#[test]
fn what_is_limited_is_told_as_such() {
    let world =
        World::new(&file("log.queries = 'q.log'\nlimit = { responses_per_client = '1/d', slip = 1 }"));
    for _ in 0..3 {
        world.ask("www.shop.test", Rtype::A);
    }
    let lines = lines(world, "q.log");
    let slipped = lines
        .iter()
        .filter(|line| line.contains("\"flags\":\"tc\"") && line.contains("\"limited\":\"slipped\""));
    assert_eq!((lines.len(), slipped.count()), (3, 2));
}

#[test]
fn a_sample_is_a_share_by_chance() {
    let world = World::new(&file("log = { queries = 'q.log', sample = '50%' }"));
    let client = world.udp();
    for _ in 0..400 {
        client.send(&query("www.shop.test", Rtype::A)).unwrap();
        hear(&client);
    }
    let told = lines(world, "q.log").len();
    assert!((120..280).contains(&told), "{told} of 400");
}

#[test]
fn a_reload_goes_on_with_the_log_opens_it_anew_and_ends_it() {
    let world = World::new(&file("log.queries = 'q.log'"));
    let path = world.dir.path().join("q.log");
    let told = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
    world.ask("www.shop.test", Rtype::A);
    std::fs::rename(&path, path.with_extension("1")).unwrap();
    world.reload(&file("log.queries = 'q.log'"));
    assert!(path.exists());
    world.ask("www.shop.test", Rtype::A);
    world.reload(&file(""));
    world.ask("www.shop.test", Rtype::A);
    let rotated = path.with_extension("1");
    let dir = world.drain_keeping(Duration::from_secs(5));
    assert_eq!(told(&path) + told(&rotated), 2);
    drop(dir);
}

#[test]
fn a_log_that_cannot_be_written_changes_nothing() {
    let world = World::new(&file(""));
    let error = world.dns().prepare(&world.parts(&file("log.queries = 'nowhere/q.log'"))).err().unwrap();
    assert!(error.to_string().starts_with("[dns.log] "), "{error}");
    let error =
        world.dns().prepare(&world.parts(&file("log.dnstap = { file = 'nowhere/q.tap' }"))).err().unwrap();
    assert!(error.to_string().starts_with("[dns.log] "), "{error}");
    assert_eq!(world.ask("www.shop.test", Rtype::A).rcode(), 0);
}

#[test]
fn the_messages_themselves_go_to_a_tap() {
    let world = World::new(&file("log.dnstap = { file = 'q.tap' }"));
    let answer = world.ask("www.shop.test", Rtype::A);
    let path = world.dir.path().join("q.tap");
    let dir = world.drain_keeping(Duration::from_secs(5));
    let told = std::fs::read(path).unwrap();
    let has = |part: &[u8]| told.windows(part.len()).filter(|window| *window == part).count();
    assert_eq!(
        (has(&query("www.shop.test", Rtype::A)), has(&answer.0), has(b"protobuf:dnstap.Dnstap")),
        (1, 1, 1)
    );
    drop(dir);
}
