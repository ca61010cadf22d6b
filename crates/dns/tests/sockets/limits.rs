//! Answers that are too many.

use crate::world::{World, hear, query, with_cookie};
use dns::Rtype;
use std::net::UdpSocket;

/// So few that no machine is slow enough to be owed another one meanwhile.
fn file(more: &str) -> String {
    format!(
        "listen = '127.0.0.1:0'\nlimit = {{ responses_per_client = '2/d', {more} }}\n\
         [zone.'shop.test']\n\
         records = ['@ SOA ns1 admin 7 3600 600 86400 300', '@ NS ns1', 'ns1 A 192.0.2.53', 'www A 192.0.2.1',\n\
         '*.wild A 192.0.2.2', 'sub NS ns.sub', 'ns.sub A 192.0.2.3', 'moved DNAME www']\n"
    )
}

/// Asks each question once, and says how many were answered whole and how many cut off; REFUSED is told apart.
fn asked(world: &World, names: &[String]) -> (usize, usize) {
    let client: UdpSocket = world.udp();
    let before = dropped(world);
    for name in names {
        client.send(&query(name, Rtype::A)).unwrap();
    }
    let (mut whole, mut cut) = (0, 0);
    while whole + cut + (dropped(world) - before) < names.len() {
        client.set_nonblocking(true).unwrap();
        let mut room = [0; 4096];
        match client.recv(&mut room) {
            Ok(_) if room[2] & 2 != 0 => cut += 1,
            Ok(_) => whole += 1,
            Err(_) => std::thread::yield_now(),
        }
    }
    (whole, cut)
}

fn dropped(world: &World) -> usize {
    world.metric(r#"nines_dns_limited_total{outcome="dropped"}"#) as usize
}

fn random(suffix: &str) -> Vec<String> {
    (0..20).map(|nth| format!("x{nth}{suffix}")).collect()
}

#[test]
fn the_same_answer_is_sent_to_a_network_so_often_and_no_more() {
    let world = World::new(&file("slip = 0"));
    // A day's two are the burst of a second: one.
    assert_eq!(asked(&world, &vec!["www.shop.test".to_owned(); 20]), (1, 0));
    assert_eq!(asked(&world, &["ns1.shop.test".to_owned()]), (1, 0), "another name is another answer");
    assert_eq!(world.metric(r#"nines_dns_queries_total{transport="udp",type="A"}"#), 21.0);
    assert_eq!(world.metric(r#"nines_dns_responses_total{rcode="NOERROR",transport="udp"}"#), 2.0);
    assert_eq!(world.metric(r#"nines_dns_zone_queries_total{zone="shop.test"}"#), 21.0);
}

#[test]
fn names_by_chance_do_not_help_below_what_stands_for_them() {
    let world = World::new(&file("slip = 0"));
    for suffix in [".shop.test", ".wild.shop.test", ".sub.shop.test", ".moved.shop.test", ".elsewhere.test"] {
        assert_eq!(asked(&world, &random(suffix)), (1, 0), "{suffix}");
    }
}

#[test]
fn refusals_of_notifications_and_updates_are_errors_like_others() {
    let world = World::new(&file("slip = 0"));
    let client: UdpSocket = world.udp();
    for opcode in [4_u8, 5, 4, 5, 4, 5] {
        let mut message = query("www.shop.test", Rtype::SOA);
        message[2] = opcode << 3;
        client.send(&message).unwrap();
    }
    while world.metric(r#"nines_dns_limited_total{outcome="dropped"}"#) < 5.0 {
        std::thread::yield_now();
    }
    let mut room = [0; 4096];
    client.recv(&mut room).unwrap();
    assert_ne!(room[3] & 0x0f, 0, "the one that was told is a refusal");
}

#[test]
fn what_slips_sends_to_tcp_where_nothing_is_limited() {
    let world = World::new(&file("slip = 1"));
    assert_eq!(asked(&world, &vec!["www.shop.test".to_owned(); 20]), (1, 19));
    assert_eq!(world.metric(r#"nines_dns_limited_total{outcome="slipped"}"#), 19.0);
    let mut stream = world.tcp();
    stream.send(&vec![query("www.shop.test", Rtype::A); 20]);
    for _ in 0..20 {
        assert_eq!(stream.hear().answers(), 1);
    }
    // An error is as short as what would stand in its place.
    assert_eq!(asked(&world, &random(".elsewhere.test")), (20, 0));
}

#[test]
fn a_client_with_a_cookie_is_not_limited() {
    let world = World::new(&file("slip = 1"));
    asked(&world, &vec!["www.shop.test".to_owned(); 3]);
    let client = world.udp();
    client.send(&with_cookie(&[])).unwrap();
    let cut = hear(&client);
    assert!(cut.is_truncated(), "it has proved nothing yet");
    let server = cut.0[cut.0.len() - 16..].to_vec();
    for _ in 0..20 {
        client.send(&with_cookie(&server)).unwrap();
        let answer = hear(&client);
        assert_eq!((answer.is_truncated(), answer.answers()), (false, 1));
    }
}

#[test]
fn a_reload_sets_another_limit_and_forgets_nobody() {
    let world = World::new(&file("slip = 0"));
    assert_eq!(asked(&world, &vec!["www.shop.test".to_owned(); 2]), (1, 0));
    world.reload(&file("slip = 1"));
    assert_eq!(asked(&world, &vec!["www.shop.test".to_owned(); 2]), (0, 2));
    world.reload(&file("exempt = ['127.0.0.0/8']"));
    assert_eq!(asked(&world, &vec!["www.shop.test".to_owned(); 20]), (20, 0));
}
