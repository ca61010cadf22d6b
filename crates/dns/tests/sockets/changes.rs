//! Zones that come from elsewhere, and messages that are signed.

use crate::world::{PATIENCE, Stream, World, file, framed, hear, query};
use dns::Rtype;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const ZONE: &str = "from.test";

/// A server that has the zone; its serial number may rise.
struct Primary {
    at: SocketAddr,
    serial: Arc<AtomicU32>,
}

impl Primary {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, serial) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(1)));
        let now = Arc::clone(&serial);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = Stream(stream.unwrap());
                stream.0.set_read_timeout(Some(PATIENCE)).unwrap();
                let asked = stream.hear().0;
                let _ = stream.0.write_all(&framed(&transfer(&asked, now.load(Ordering::SeqCst))));
            }
        });
        Self { at, serial }
    }
}

fn record(name: &[u8], rtype: Rtype, data: &[u8]) -> Vec<u8> {
    let head =
        [name, &rtype.to_int().to_be_bytes(), &[0, 1, 0, 0, 0, 60], &(data.len() as u16).to_be_bytes()];
    [&head.concat(), data].concat()
}

fn soa(serial: u32) -> Vec<u8> {
    let mut data = b"\x02ns\xc0\x0c\x01a\xc0\x0c".to_vec();
    [serial, 3600, 3600, 86_400, 60].iter().for_each(|number| data.extend(number.to_be_bytes()));
    record(b"\xc0\x0c", Rtype::SOA, &data)
}

/// The zone, or that whoever asks has it already.
fn transfer(asked: &[u8], serial: u32) -> Vec<u8> {
    let question = query(ZONE, Rtype::AXFR).len();
    let is_whole = asked[question - 3] == Rtype::AXFR.to_int() as u8;
    let theirs = asked.len() - 20;
    let is_current = !is_whole && asked[theirs..theirs + 4] == serial.to_be_bytes();
    let records = if is_current {
        vec![soa(serial)]
    } else {
        let ns = record(b"\xc0\x0c", Rtype::NS, b"\x02ns\xc0\x0c");
        let address = record(b"\x02ns\xc0\x0c", Rtype::A, &[192, 0, 2, 1]);
        vec![soa(serial), ns, address, soa(serial)]
    };
    let head = [&asked[..2], &[0x84, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0], &asked[12..question]];
    [head.concat(), records.concat()].concat()
}

/// Says in the name of a primary which serial number the zone has.
fn notify(world: &World, serial: u32) {
    let mut message = query(ZONE, Rtype::SOA);
    (message[2], message[7]) = (0x24, 1);
    message.extend(soa(serial));
    let socket = world.udp();
    socket.send(&message).unwrap();
    assert_eq!(hear(&socket).rcode(), 0);
}

#[test]
fn where_one_primary_tells_of_a_change_another_that_has_not_heard_of_it_does_not_hide_it() {
    let primaries = [Primary::new(), Primary::new()];
    let [first, second] = [&primaries[0].at, &primaries[1].at];
    let world = World::new(&format!(
        "listen = '127.0.0.1:0'\n[zone.'{ZONE}']\nsecondary = {{ primaries = ['{first}', '{second}'] }}\n"
    ));
    let serial = format!("nines_dns_zone_serial{{zone=\"{ZONE}\"}}");
    world.until(&serial, 1.0);
    primaries[1].serial.store(2, Ordering::SeqCst);
    notify(&world, 2);
    world.until(&serial, 2.0);
}

#[test]
fn a_zone_that_was_updated_and_comes_from_elsewhere_now_hears_of_changes() {
    let world = World::new(&format!(
        "listen = '127.0.0.1:0'\n[zone.'{ZONE}']\nrecords = ['@ SOA ns a 7 1 1 1 1', '@ NS ns', 'ns A 192.0.2.1']\n\
         update = [{{ key = 'a.key' }}]\n"
    ));
    let serial = format!("nines_dns_zone_serial{{zone=\"{ZONE}\"}}");
    world.until(&serial, 7.0);
    let primary = Primary::new();
    let at = primary.at;
    world.reload(&format!(
        "listen = '127.0.0.1:0'\n[zone.'{ZONE}']\nsecondary = {{ primaries = ['{at}'] }}\n"
    ));
    world.until(&serial, 1.0);
    primary.serial.store(2, Ordering::SeqCst);
    notify(&world, 2);
    world.until(&serial, 2.0);
}

#[test]
fn what_is_signed_with_a_key_that_is_not_here_is_counted() {
    let world = World::new(&file());
    let mut message = query("www.shop.test", Rtype::A);
    message[11] = 1;
    message.extend(b"\x05other\x03key\0\0\xfa\0\xff\0\0\0\0\0\x2d\x0bhmac-sha256\0");
    message.extend(b"\0\0\x65\x53\xf1\0\x01\x2c\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x12\x34\0\0\0\0");
    let socket = world.udp();
    socket.send(&message).unwrap();
    assert_eq!(hear(&socket).rcode(), 9);
    assert_eq!(world.metric(r#"nines_dns_responses_total{rcode="other",transport="udp"}"#), 1.0);
    assert_eq!(world.metric(r#"nines_dns_queries_total{transport="udp",type="A"}"#), 1.0);
}
