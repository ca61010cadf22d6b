//! Any bytes are answered whole, within their transport's size and with their own question, or not at all. The input's first byte
//! says what they came over.
#![no_main]

use dns::{Facts, Query, Transport, ZoneBuilder, Zones, answer, reject};
use domain::base::Message;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

/// Something of everything: wildcards, cuts, aliases that lead everywhere, an RRset that fits in no datagram.
const LINES: &str = "
$TTL 60
@ SOA ns admin 1 2 3 4 5
@ NS ns
@ MX 1 mx
ns A 192.0.2.1
mx AAAA 2001:db8::1
* TXT wild
*.w CNAME a
a CNAME b.a
b.a CNAME x.d
d DNAME e
f DNAME g.f
x.e A 192.0.2.2
s NS ns.s
s DS 1 8 2 00
ns.s A 192.0.2.3
l CNAME ns.s
o CNAME elsewhere.test.
$GENERATE 1-100 m A 10.0.0.$
";

static ZONES: LazyLock<Zones> = LazyLock::new(|| {
    let zones = [("a", LINES), ("c.a", "@ 60 SOA . . 1 2 3 4 5\n@ 60 NS .\n")];
    Zones::new(zones.map(|(apex, lines)| {
        let mut builder = ZoneBuilder::new(apex.parse().expect("a name"));
        builder.text("zone", lines.as_bytes());
        Arc::new(builder.finish().expect("a good zone").zone)
    }))
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, message)) = input.split_first() else { return };
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https];
    let facts = Facts {
        nsid: (kind & 4 != 0).then_some(b"nsid"),
        server_cookie: (kind & 8 != 0).then_some(b"0123456789abcdef"),
        version: (kind & 16 != 0).then_some("version"),
        ..Facts::of_transport(transports[usize::from(kind & 3)])
    };
    let mut out = Vec::new();
    let question = match Query::parse(message) {
        Ok(query) => {
            let outcome = answer(&ZONES, &query, &facts, &mut out);
            assert_eq!(outcome.truncated, out[2] & 2 != 0);
            &message[12..12 + query.name_as_asked().len() + 4]
        }
        Err(rejection) => {
            let is_answered = message.len() >= 12 && message[2] & 0x80 == 0;
            assert_eq!(reject(&rejection, &facts, &mut out).is_some(), is_answered);
            if !is_answered {
                assert!(out.is_empty());
                return;
            }
            b""
        }
    };
    assert!(out[..2] == message[..2] && out[2] & 0x80 != 0);
    assert!(out[12..].starts_with(question));
    assert!(out.len() <= if facts.transport == Transport::Udp { 1232 } else { 65535 });
    let parsed = Message::from_octets(&out[..]).expect("a header");
    let records = parsed.sections().map(|(_, answer, authority, additional)| {
        [answer, authority, additional].map(|section| section.map(|record| record.expect("a record")).count())
    });
    let counts = parsed.header_counts();
    let counts = [counts.ancount(), counts.nscount(), counts.arcount()].map(usize::from);
    assert_eq!(records.expect("whole sections"), counts);
});
