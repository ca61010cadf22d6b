//! Connections.

use crate::world::{PATIENCE, Stream, World, file, framed, query, query_with_id};
use dns::{Rtype, ZoneBuilder};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn with(more: &str) -> World {
    World::new(&file().replace("[zone", &format!("{more}\n[zone")))
}

fn asks(stream: &mut Stream) {
    stream.send(&[query("www.shop.test", Rtype::A)]);
    assert_eq!(stream.hear().address(), [192, 0, 2, 1]);
}

#[test]
fn queries_in_a_row_are_answered_in_their_order() {
    let world = World::new(&file());
    let mut stream = world.tcp();
    let queries: Vec<Vec<u8>> = (0..2000).map(|id| query_with_id("www.shop.test", Rtype::A, id)).collect();
    stream.send(&queries);
    for id in 0..2000 {
        let answer = stream.hear();
        assert_eq!((answer.id(), answer.address()), (id, [192, 0, 2, 1]));
    }
    // And it stays open for more.
    asks(&mut stream);
    assert_eq!(world.metric(r#"nines_dns_queries_total{transport="tcp",type="A"}"#), 2001.0);
    assert_eq!(world.metric("nines_dns_connections_total"), 1.0);
}

#[test]
fn a_query_may_come_byte_by_byte() {
    let world = World::new(&file());
    let mut stream = world.tcp();
    for byte in framed(&query("www.shop.test", Rtype::A)) {
        stream.0.write_all(&[byte]).unwrap();
    }
    assert_eq!(stream.hear().address(), [192, 0, 2, 1]);
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_answers() {
    let world = World::new(&file());
    let mut stream = world.tcp();
    stream.send(&vec![query("www.shop.test", Rtype::A); 3]);
    stream.0.shutdown(Shutdown::Write).unwrap();
    for _ in 0..3 {
        assert_eq!(stream.hear().address(), [192, 0, 2, 1]);
    }
    assert!(stream.ends());
    world.until(r#"nines_dns_connections_ended_total{reason="client"}"#, 1.0);
}

#[test]
fn what_is_malformed_is_answered_and_what_is_no_query_ends_the_connection() {
    let world = World::new(&file());
    let mut stream = world.tcp();
    stream.send(&[vec![0; 12]]);
    assert_eq!(stream.hear().rcode(), 1);
    asks(&mut stream);
    for rubbish in [vec![], vec![0; 11], [&[0, 0, 0x80, 0], &[0; 8][..]].concat()] {
        let mut stream = world.tcp();
        stream.send(&[rubbish]);
        stream.ends();
    }
    world.until(r#"nines_dns_connections_ended_total{reason="broken"}"#, 3.0);
}

#[test]
fn a_message_of_the_greatest_length_is_taken() {
    let world = World::new(&file());
    let mut stream = world.tcp();
    let mut message = query("www.shop.test", Rtype::A);
    message.resize(65_535, 0);
    message[11] = 1;
    stream.send(&[message]);
    assert_eq!(stream.hear().rcode(), 1);
    asks(&mut stream);
}

#[test]
fn a_client_that_is_silent_or_sends_by_the_drop_is_closed() {
    let world = with("timeout = { idle = '300ms' }");
    let mut silent = world.tcp();
    let began = Instant::now();
    assert!(silent.ends());
    assert!(began.elapsed() >= Duration::from_millis(250));

    let mut dripping = world.tcp();
    asks(&mut dripping);
    let began = Instant::now();
    let message = framed(&query_with_id("a.".repeat(100).trim_end_matches('.'), Rtype::A, 1));
    for byte in message {
        if dripping.0.write_all(&[byte]).is_err() {
            break;
        }
        dripping.0.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        if dripping.0.read(&mut [0]).is_ok_and(|count| count == 0) {
            break;
        }
    }
    assert!(began.elapsed() < PATIENCE / 4, "each byte bought it more time");
    world.until(r#"nines_dns_connections_ended_total{reason="idle"}"#, 2.0);
}

#[test]
fn a_client_that_takes_no_answers_is_reset_and_costs_no_more_than_its_buffers() {
    let world = with("timeout = { idle = '300ms' }");
    let mut stream = world.tcp();
    stream.0.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let queries = framed(&query("long.shop.test", Rtype::TXT)).repeat(1000);
    // Until nothing more is taken from it.
    while stream.0.write_all(&queries).is_ok() {}
    world.until(r#"nines_dns_connections_ended_total{reason="slow"}"#, 1.0);
    let answered = world.metric(r#"nines_dns_queries_total{transport="tcp",type="TXT"}"#);
    assert!(answered < 20_000.0, "{answered} answers were made for a client that took none");
}

#[test]
fn a_client_has_so_many_connections_and_no_more() {
    let world = with("limit = { connections_per_client = 3 }");
    let mut streams: Vec<Stream> = (0..3).map(|_| world.tcp()).collect();
    streams.iter_mut().for_each(asks);
    assert!(!world.tcp().ends(), "it is reset");
    assert_eq!(world.metric("nines_dns_connections_refused_total"), 1.0);
    streams.pop();
    world.until("nines_dns_connections", 2.0);
    asks(&mut world.tcp());
}

#[test]
fn connections_beyond_the_limit_wait_until_an_idle_one_is_closed_before_its_time() {
    // Half of them are taken, so that idle ones have a tenth of the time.
    let world = with("limit = { connections = 2 }\ntimeout = { idle = '20s' }\ncores = 1");
    let mut idle: Vec<Stream> = (0..2).map(|_| world.tcp()).collect();
    idle.iter_mut().for_each(asks);
    let began = Instant::now();
    asks(&mut world.tcp());
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for the whole time");
    assert!(idle[0].ends());
}

#[test]
fn a_connection_does_not_keep_zones_that_were_replaced() {
    let world = with("timeout = { idle = '1h' }\ncores = 1");
    let published = |serial: u32| {
        let mut builder = ZoneBuilder::new("shop.test".parse().unwrap());
        let soa = format!("@ 60 SOA ns1 a {serial} 1 1 1 1");
        builder.lines("test", [&soa, "@ 60 NS ns1", "ns1 60 A 192.0.2.53", "www 60 A 192.0.2.1"]);
        let zone = Arc::new(builder.finish().unwrap().zone);
        assert!(world.dns().publisher().replace(&zone));
        Arc::downgrade(&zone)
    };
    let before = published(8);
    let mut streams = [world.tcp(), world.tcp()];
    // One asks and is silent then, the other is silent from the first.
    asks(&mut streams[0]);
    world.until("nines_dns_connections", 2.0);
    published(9);
    world.ask("www.shop.test", Rtype::A);
    let end = Instant::now() + Duration::from_secs(10);
    while before.upgrade().is_some() {
        assert!(Instant::now() < end, "a connection keeps the zone of before");
        std::thread::yield_now();
    }
    streams.iter_mut().for_each(asks);
}

#[test]
fn a_drain_answers_what_is_under_way_and_closes_what_is_idle() {
    let world = with("timeout = { idle = '1h' }");
    let mut stream = world.tcp();
    asks(&mut stream);
    let began = Instant::now();
    assert!(world.drain(PATIENCE), "it ended by itself");
    assert!(began.elapsed() < PATIENCE / 2);
    assert!(stream.ends());
}

#[test]
fn queries_are_answered_while_others_flood_by_udp() {
    let world = with("cores = 1");
    let flood = world.udp();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let message = query("www.shop.test", Rtype::A);
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = flood.send(&message);
            }
        });
        let stream = TcpStream::connect(world.at(cores::Transport::Tcp)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = Stream(stream);
        for _ in 0..50 {
            asks(&mut stream);
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
