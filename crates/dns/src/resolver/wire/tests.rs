use super::*;
use crate::protocol::Name;
use proptest::prelude::*;

fn wire(name: &str) -> Vec<u8> {
    name.parse::<Name>().unwrap().as_wire().to_vec()
}

/// A query for an address.
fn asked(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(wire(name));
    message.extend([0, 1, 0, 1]);
    message
}

fn record(section: u8, owner: &str, rtype: u16, rdata: &[u8]) -> Record {
    Record { section, owner: wire(owner).into(), rtype, ttl: 300, rdata: rdata.into() }
}

/// An answer with these records, as another server would write it.
fn answer(query: &[u8], records: &[Record]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    for record in records {
        message[7 + 2 * usize::from(record.section)] += 1;
        message.extend(&record.owner);
        message.extend(record.rtype.to_be_bytes());
        message.extend([0, 1]);
        message.extend(record.ttl.to_be_bytes());
        message.extend((record.rdata.len() as u16).to_be_bytes());
        message.extend(&record.rdata);
    }
    message
}

#[test]
fn what_answers_something_else_is_foreign() {
    let query = asked("www.test");
    let good = answer(&query, &[record(0, "www.test", 1, &[1, 2, 3, 4])]);
    assert_eq!(parse(&good, &query).unwrap().records.len(), 1);
    let changed = |at: usize, to: u8| {
        let mut message = good.clone();
        message[at] = to;
        parse(&message, &query)
    };
    assert_eq!(changed(0, 9), Err(Unfit::Foreign), "another identifier");
    assert_eq!(changed(2, 1), Err(Unfit::Foreign), "a query");
    assert_eq!(changed(13, b'W'), Err(Unfit::Foreign), "another case");
    assert_eq!(changed(5, 0), Err(Unfit::Foreign), "no question");
    assert_eq!(changed(23, 2), Err(Unfit::Foreign), "another type");
    assert_eq!(changed(7, 2), Err(Unfit::Malformed), "a record that does not come");
    for length in 0..good.len() {
        assert!(parse(&good[..length], &query).is_err(), "{length}");
    }
}

#[test]
fn names_that_nobody_asked_for_are_left_out() {
    let query = asked("www.shop.test");
    let records = [
        record(0, "www.shop.test", 5, &wire("cdn.other")),
        record(0, "cdn.other", 1, &[1, 2, 3, 4]),
        record(0, "bank.test", 1, &[6, 6, 6, 6]),
        record(1, "other", 2, &wire("ns.other")),
        record(1, "bank.test", 2, &wire("ns.evil")),
        record(2, "ns.evil", 1, &[6, 6, 6, 6]),
    ];
    let reply = parse(&answer(&query, &records), &query).unwrap();
    let owners: Vec<_> = reply.records.iter().map(|record| (record.section, &*record.owner)).collect();
    assert_eq!(owners, [(0, &*wire("www.shop.test")), (0, &*wire("cdn.other")), (1, &*wire("other"))]);
}

#[test]
fn a_chain_of_aliases_is_put_in_its_order() {
    let query = asked("www.shop.test");
    let dname = record(0, "shop.test", 39, &wire("shop.other"));
    let records = [
        record(0, "www.shop.other", 1, &[1, 2, 3, 4]),
        record(0, "www.shop.test", 46, b"\x00\x05"),
        record(0, "www.shop.test", 5, &wire("www.shop.other")),
        dname,
    ];
    let reply = parse(&answer(&query, &records), &query).unwrap();
    let types: Vec<u16> = reply.records.iter().map(|record| record.rtype).collect();
    assert_eq!(types, [39, 5, 46, 1]);
}

/// A signature of a type by a zone.
fn signature(rtype: u16, zone: &str) -> Vec<u8> {
    [&rtype.to_be_bytes()[..], &[0; 16], &wire(zone), b"signed"].concat()
}

#[test]
fn what_proves_that_a_name_is_not_there_stays_if_it_is_of_a_zone_that_has_the_name() {
    let query = asked("nothing.shop.test");
    let soa = [&wire("ns.shop.test")[..], &wire("admin.shop.test"), &[0; 20]].concat();
    let records = [
        record(1, "shop.test", 6, &soa),
        record(1, "mail.shop.test", 47, b"\x00"),
        record(1, "mail.shop.test", 46, &signature(47, "shop.test")),
        record(1, "abcd.shop.test", 50, b"\x01"),
        record(1, "abcd.shop.test", 46, &signature(50, "SHOP.test")),
        record(1, "mail.shop.test", 1, &[6, 6, 6, 6]),
        // By a zone beside it, not signed, signed by somebody who is not above it, and cut off.
        record(1, "a.other.test", 47, b"\x00"),
        record(1, "a.other.test", 46, &signature(47, "other.test")),
        record(1, "b.shop.test", 47, b"\x00"),
        record(1, "c.other", 47, b"\x00"),
        record(1, "c.other", 46, &signature(47, "test")),
        record(1, "d.shop.test", 46, b"\x00\x2f"),
    ];
    let reply = parse(&answer(&query, &records), &query).unwrap();
    assert_eq!(reply.records, records[..5]);
}

/// An answer costs what it is long, and not its square.
#[test]
fn thousands_of_signatures_that_prove_nothing_are_seen_through_at_once() {
    const COUNT: u16 = 1800;
    let query = asked(&"a.".repeat(125));
    let mut message = answer(&query, &[]);
    message[8..10].copy_from_slice(&COUNT.to_be_bytes());
    let signed = signature(47, "x");
    for _ in 0..COUNT {
        // Below the name that was asked for, which is at 12.
        message.extend([1, b'b', 0xc0, 12, 0, 46, 0, 1, 0, 0, 0, 9]);
        message.extend((signed.len() as u16).to_be_bytes());
        message.extend(&signed);
    }
    let begun = std::time::Instant::now();
    assert!(parse(&message, &query).unwrap().records.is_empty());
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn pointers_in_circles_forwards_and_into_headers_end() {
    let query = asked("www.test");
    for pointer in [[0xc0, 26], [0xc0, 27], [0xff, 0xff], [0xc0, 0]] {
        let mut message = answer(&query, &[]);
        message[7] = 1;
        message.extend(pointer);
        message.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4]);
        // One that leads into the header finds what may be a name, but none that was asked for.
        assert!(
            parse(&message, &query).is_ok_and(|reply| reply.records.is_empty())
                || parse(&message, &query) == Err(Unfit::Malformed)
        );
    }
}

#[test]
fn an_answer_is_compressed_and_means_the_same() {
    let soa = [&wire("ns.shop.test")[..], &wire("admin.shop.test"), &[9; 20]].concat();
    let records = [
        record(0, "www.shop.test", 5, &wire("web.shop.test")),
        record(0, "web.shop.test", 15, &[&[0, 10][..], &wire("mail.shop.test")].concat()),
        record(1, "shop.test", 6, &soa),
    ];
    let query = asked("www.shop.test");
    let written = write(&wire("www.shop.test"), &records).unwrap();
    assert_eq!(written.counts, [2, 1, 0]);
    let plain = answer(&query, &records).len() - query.len();
    assert!(written.body.len() + 40 < plain, "{} of {plain}", written.body.len());
    let message = whole(&query, &written);
    assert_eq!(parse(&message, &query).unwrap().records, records);
    for at in &written.ttls_at {
        assert_eq!(written.body[usize::from(*at)..][..4], 300u32.to_be_bytes());
    }
}

/// A message of a question and what is written behind it.
fn whole(query: &[u8], written: &Written) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    for (at, count) in [6, 8, 10].into_iter().zip(written.counts) {
        message[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    message.extend(&written.body);
    message
}

#[test]
fn the_rcode_and_the_options_of_edns_are_read() {
    let query = asked("www.test");
    let mut message = answer(&query, &[]);
    message[3] = 3;
    message[11] = 1;
    message.extend([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 21]);
    message.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 8, 0, 5, 0, 1, 8, 16, 10]);
    let reply = parse(&message, &query).unwrap();
    assert_eq!((reply.rcode, reply.scope, reply.has_edns), (0x13, Some(16), true));
    assert_eq!(reply.cookie.as_deref(), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
}

proptest! {
    #[test]
    fn no_message_makes_it_panic_and_what_is_read_is_written_and_read_again(
        tail in proptest::collection::vec(any::<u8>(), 0..200), counts in any::<[u8; 3]>(),
    ) {
        let query = asked("www.shop.test");
        let mut message = query.clone();
        message[2] |= 0x80;
        for (at, count) in [7, 9, 11].into_iter().zip(counts) {
            message[at] = count % 4;
        }
        message.extend(&tail);
        if let Ok(reply) = parse(&message, &query) {
            let written = write(&wire("www.shop.test"), &reply.records).unwrap();
            let again = parse(&whole(&query, &written), &query).unwrap();
            prop_assert_eq!(again.records, reply.records);
        }
    }

    #[test]
    fn what_is_rewritten_is_the_same_when_it_is_rewritten_again(
        seed in 0..SEEDS.len(), changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6), cut in 0..20usize,
    ) {
        let query = asked("www.shop.test");
        let mut message = [&query[..2], SEEDS[seed]].concat();
        for (at, to) in changes {
            let at = usize::from(at) % message.len();
            message[at] = to;
        }
        message.truncate(message.len() - cut);
        if let Some(answer) = rewritten(&message, &query) {
            prop_assert_eq!(rewritten(&answer, &query), Some(answer));
        }
    }
}

/// Answers, without their identifier.
const SEEDS: [&[u8]; 7] = [
    include_bytes!("../../../../../fuzz/corpus/dns_upstream/address"),
    include_bytes!("../../../../../fuzz/corpus/dns_upstream/alias"),
    include_bytes!("../../../../../fuzz/corpus/dns_upstream/denial"),
    include_bytes!("../../../../../fuzz/corpus/dns_upstream/edns"),
    include_bytes!("../../../../../fuzz/corpus/dns_upstream/names"),
    include_bytes!("../../../../../fuzz/corpus/dns_upstream/nxdomain"),
    include_bytes!("../../../../../fuzz/corpus/dns_upstream/truncated"),
];

#[test]
fn the_answers_that_fuzzing_begins_with_are_read() {
    let query = asked("www.shop.test");
    for seed in &SEEDS[..6] {
        let answer = rewritten(&[&query[..2], seed].concat(), &query).unwrap();
        assert!(answer.len() > query.len());
    }
}
