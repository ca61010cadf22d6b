//! Datagrams.

use crate::world::{World, file, hear, query, query_with_id, with_cookie};
use dns::Rtype;
use std::time::Duration;

#[test]
fn a_query_is_answered_and_counted() {
    let world = World::new(&file());
    let answer = world.ask("www.shop.test", Rtype::A);
    assert_eq!((answer.id(), answer.rcode(), answer.address()), (0x1234, 0, [192, 0, 2, 1]));
    assert_eq!(world.ask("nothing.shop.test", Rtype::A).rcode(), 3);
    assert_eq!(world.ask("elsewhere.test", Rtype::MX).rcode(), 5);
    assert_eq!(world.metric(r#"nines_dns_queries_total{transport="udp",type="A"}"#), 2.0);
    assert_eq!(world.metric(r#"nines_dns_queries_total{transport="udp",type="MX"}"#), 1.0);
    assert_eq!(world.metric(r#"nines_dns_responses_total{rcode="NXDOMAIN",transport="udp"}"#), 1.0);
    assert_eq!(world.metric(r#"nines_dns_responses_total{rcode="REFUSED",transport="udp"}"#), 1.0);
    assert_eq!(world.metric(r#"nines_dns_zone_queries_total{zone="shop.test"}"#), 2.0);
    assert_eq!(world.metric(r#"nines_dns_zone_serial{zone="shop.test"}"#), 7.0);
    assert!(world.metric(r#"nines_dns_bytes_total{direction="sent",transport="udp"}"#) > 100.0);
    assert!(world.drain(Duration::from_secs(5)));
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let world = World::new(&file());
    let clients: Vec<_> = (0..50).map(|_| world.udp()).collect();
    for round in 0..20 {
        for (nth, client) in clients.iter().enumerate() {
            let name = if nth % 3 == 0 { "www.shop.test" } else { "ns1.shop.test" };
            client.send(&query_with_id(name, Rtype::A, (round * 50 + nth) as u16)).unwrap();
        }
        for (nth, client) in clients.iter().enumerate() {
            let answer = hear(client);
            let last = if nth % 3 == 0 { 1 } else { 53 };
            assert_eq!((answer.id(), answer.address()), ((round * 50 + nth) as u16, [192, 0, 2, last]));
        }
    }
}

#[test]
fn what_is_too_long_for_a_datagram_comes_over_tcp() {
    let world = World::new(&file());
    let answer = world.ask("long.shop.test", Rtype::TXT);
    assert!(answer.is_truncated() && answer.0.len() <= 512);
    assert_eq!(world.metric("nines_dns_truncated_total"), 1.0);
    let mut stream = world.tcp();
    stream.send(&[query("long.shop.test", Rtype::TXT)]);
    let answer = stream.hear();
    assert!(!answer.is_truncated());
    assert_eq!(answer.answers(), 60);
}

#[test]
fn answers_and_rubbish_are_met_with_silence_and_the_next_query_is_answered() {
    let world = World::new(&file());
    let client = world.udp();
    let mut response = query("www.shop.test", Rtype::A);
    response[2] |= 0x80;
    for silent in [&b""[..], b"x", &[0; 11], &response] {
        client.send(silent).unwrap();
    }
    // A header without a question, and one that promises what does not come.
    client.send(&[0; 12]).unwrap();
    assert_eq!(hear(&client).rcode(), 1);
    client.send(&[0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]).unwrap();
    assert_eq!(hear(&client).rcode(), 1);
    // A name that points at itself.
    client.send(&[0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]).unwrap();
    assert_eq!(hear(&client).rcode(), 1);
    client.send(&query("www.shop.test", Rtype::A)).unwrap();
    assert_eq!(hear(&client).address(), [192, 0, 2, 1]);
    world.until(r#"nines_dns_dropped_total{reason="not_a_query"}"#, 4.0);
}

#[test]
fn a_datagram_of_any_length_is_survived() {
    let world = World::new(&file());
    let client = world.udp();
    for length in [13, 500, 1599, 1600, 1601, 9000, 65_507] {
        let mut message = query("www.shop.test", Rtype::A);
        // What follows is no record.
        message[11] = 1;
        message.resize(message.len().max(length), 0xff);
        client.send(&message).unwrap();
        assert_eq!(hear(&client).rcode(), 1, "{length}");
    }
}

#[test]
fn a_client_with_a_cookie_is_known_again() {
    let world = World::new(&file());
    let client = world.udp();
    client.send(&with_cookie(&[])).unwrap();
    let answer = hear(&client).0;
    // The cookie stands last: the client's half, and ours.
    let (own, server) = answer[answer.len() - 24..].split_at(8);
    assert_eq!(own, [1, 2, 3, 4, 5, 6, 7, 8]);
    client.send(&with_cookie(server)).unwrap();
    assert_eq!(hear(&client).0[answer.len() - 16..], *server);
    // Whoever shows what is not theirs is answered all the same, and gets their own.
    client.send(&with_cookie(&[9; 16])).unwrap();
    assert_eq!(hear(&client).0[answer.len() - 16..], *server);
    for outcome in ["new", "good", "bad"] {
        assert_eq!(world.metric(&format!("nines_dns_cookies_total{{outcome=\"{outcome}\"}}")), 1.0);
    }
}
