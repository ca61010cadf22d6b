//! Names of others: looked up, kept, shared, and used when nobody else answers.

use crate::upstream::Upstream;
use crate::world::{Answer, World, hear, query_with_id};
use dns::Rtype;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn file(upstreams: &[&Upstream], more: &str) -> String {
    let forward: Vec<String> = upstreams.iter().map(|upstream| format!("'{}'", upstream.at)).collect();
    format!("listen = '127.0.0.1:0'\n[resolver]\nforward = [{}]\n{more}\n", forward.join(", "))
}

/// A query that wants to be looked up.
fn query(name: &str, rtype: Rtype) -> Vec<u8> {
    let mut message = query_with_id(name, rtype, 0x1234);
    message[2] = 1;
    message
}

fn ask(world: &World, name: &str) -> Answer {
    let client = world.udp();
    client.send(&query(name, Rtype::A)).unwrap();
    hear(&client)
}

/// The TTL of the last record, an address.
fn ttl(answer: &Answer) -> u32 {
    let at = answer.0.len() - 10;
    u32::from_be_bytes(answer.0[at..at + 4].try_into().unwrap())
}

const HIT: &str = r#"nines_dns_resolver_queries_total{cache="hit"}"#;
const MISS: &str = r#"nines_dns_resolver_queries_total{cache="miss"}"#;
const STALE: &str = r#"nines_dns_resolver_queries_total{cache="stale"}"#;

#[test]
fn an_answer_is_asked_for_once_and_then_kept() {
    let upstream = Upstream::of_address([192, 0, 2, 7], 300);
    let world = World::new(&file(&[&upstream], ""));
    let answer = ask(&world, "www.example");
    assert_eq!((answer.id(), answer.rcode(), answer.address()), (0x1234, 0, [192, 0, 2, 7]));
    assert_eq!(answer.0[2..4], [0x81, 0x80], "QR, RD and RA, but neither AA nor AD");
    assert_eq!(ttl(&answer), 300);
    let again = ask(&world, "WWW.Example");
    assert_eq!((again.address(), upstream.asked()), ([192, 0, 2, 7], 1));
    assert_eq!(again.0[12..24], *b"\x03WWW\x07Example", "with the case that was asked");
    assert!((299..=300).contains(&ttl(&again)));
    assert_eq!((world.metric(HIT), world.metric(MISS)), (1.0, 1.0));
    assert_eq!(world.metric("nines_dns_resolver_cache_entries"), 1.0);
    assert!(world.drain(Duration::from_secs(5)));
}

#[test]
fn whoever_may_not_ask_or_does_not_want_to_be_looked_up_for_is_refused() {
    let upstream = Upstream::of_address([192, 0, 2, 7], 300);
    let world = World::new(&file(&[&upstream], "allow = ['192.0.2.0/24']"));
    assert_eq!(ask(&world, "www.example").rcode(), 5);
    assert_eq!(world.metric("nines_dns_resolver_denied_total"), 1.0);
    let world = World::new(&file(&[&upstream], ""));
    assert_eq!(world.ask("www.example", Rtype::A).rcode(), 5, "without RD");
    assert_eq!(upstream.asked(), 0);
}

#[test]
fn what_is_not_there_is_kept_too_and_failures_for_a_moment() {
    let upstream = Upstream::new(|asked| {
        let is_there = asked.name().starts_with("fails");
        let mut answer = asked.empty(if is_there { 2 } else { 3 });
        if !is_there {
            answer[9] = 1;
            answer.extend(b"\x07example\x00\x00\x06\x00\x01\x00\x00\x0e\x10\x00\x16\x00\x00");
            answer.extend([1u32, 2, 3, 4, 60].iter().flat_map(|number| number.to_be_bytes()));
        }
        vec![answer]
    });
    let world = World::new(&file(&[&upstream], ""));
    for _ in 0..2 {
        let answer = ask(&world, "nothing.example");
        assert_eq!((answer.rcode(), answer.0[9]), (3, 1), "with its SOA");
        let ttl_at = answer.0.len() - 28;
        let ttl = u32::from_be_bytes(answer.0[ttl_at..ttl_at + 4].try_into().unwrap());
        assert!((59..=60).contains(&ttl), "{ttl}");
    }
    assert_eq!(upstream.asked(), 1);
    for _ in 0..3 {
        assert_eq!(ask(&world, "fails.example").rcode(), 2);
    }
    assert_eq!(upstream.asked(), 2, "nobody asks for a failure again at once");
}

#[test]
fn five_hundred_clients_cause_one_question() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::new(move |asked| {
        opened.wait();
        vec![asked.address([192, 0, 2, 7], 300)]
    });
    let world = World::new(&file(&[&upstream], "timeout = '20s'\nlimit = { waiting = 500 }"));
    let clients: Vec<_> = (0..500).map(|_| world.udp()).collect();
    for (nth, client) in clients.iter().enumerate() {
        let mut message = query_with_id("popular.example", Rtype::A, nth as u16);
        message[2] = 1;
        client.send(&message).unwrap();
    }
    world.until("nines_dns_resolver_coalesced_total", 499.0);
    // One more is too many.
    assert_eq!(ask(&world, "popular.example").rcode(), 2);
    assert_eq!(world.metric("nines_dns_resolver_shed_total"), 1.0);
    let asked = upstream.asked();
    gate.wait();
    for (nth, client) in clients.iter().enumerate() {
        let answer = hear(client);
        assert_eq!((answer.id(), answer.address()), (nth as u16, [192, 0, 2, 7]));
    }
    // While the upstream was held up it may have been asked again, by the one look-up that there was.
    assert!(asked <= 2, "{asked}");
}

#[test]
fn what_is_over_is_used_while_nobody_answers() {
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = Arc::clone(&is_silent);
    let upstream = Upstream::new(move |asked| {
        if silent.load(Ordering::SeqCst) { Vec::new() } else { vec![asked.address([192, 0, 2, 7], 1)] }
    });
    let more = "timeout = '1s'\nstale = { for = '1h', wait = '200ms' }";
    let world = World::new(&file(&[&upstream], more));
    assert_eq!(ask(&world, "www.example").address(), [192, 0, 2, 7]);
    is_silent.store(true, Ordering::SeqCst);
    // Until its second is over it is fresh; then nobody answers.
    let stale = loop {
        let answer = ask(&world, "www.example");
        if world.metric(STALE) > 0.0 {
            break answer;
        }
    };
    assert_eq!((stale.address(), ttl(&stale)), ([192, 0, 2, 7], 30));
    // Once the look-up has failed it is used without another.
    world.until("nines_dns_resolver_lookups", 0.0);
    let asked = upstream.asked();
    assert_eq!((ask(&world, "www.example").address(), upstream.asked()), ([192, 0, 2, 7], asked));
}

#[test]
fn an_answer_that_is_too_long_comes_over_tcp_from_them_and_to_the_client() {
    let upstream = Upstream::new(|asked| {
        let mut answer = asked.empty(0);
        if !asked.over_tcp {
            answer[2] |= 2;
            return vec![answer];
        }
        answer[7] = 60;
        for nth in 0..60 {
            answer.extend(b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x29\x28");
            answer.extend(format!("{nth:0>40}").bytes());
        }
        vec![answer]
    });
    let world = World::new(&file(&[&upstream], ""));
    let client = world.udp();
    client.send(&query("long.example", Rtype::TXT)).unwrap();
    let answer = hear(&client);
    assert!(answer.is_truncated() && answer.answers() == 0 && answer.0.len() <= 512);
    let mut stream = world.tcp();
    stream.send(&[query("long.example", Rtype::TXT)]);
    assert_eq!(stream.hear().answers(), 60);
}

#[test]
fn a_connection_gets_its_answers_as_they_come() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::new(move |asked| {
        if asked.name().starts_with("slow") {
            opened.wait();
        }
        vec![asked.address([192, 0, 2, 7], 300)]
    });
    let world = World::new(&file(&[&upstream], "timeout = '20s'"));
    let mut stream = world.tcp();
    let with_id = |name, id| {
        let mut message = query_with_id(name, Rtype::A, id);
        message[2] = 1;
        message
    };
    stream.send(&[with_id("known.example", 1)]);
    assert_eq!(stream.hear().id(), 1);
    stream.send(&[with_id("slow.example", 2), with_id("known.example", 3)]);
    assert_eq!(stream.hear().id(), 3);
    gate.wait();
    assert_eq!(stream.hear().id(), 2);
    // A client that says that it is done still gets what it has asked for.
    stream.send(&[with_id("other.example", 4)]);
    stream.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.hear().id(), 4);
    assert!(stream.ends());
}

#[test]
fn who_guesses_is_not_believed_and_the_true_answer_is_waited_for() {
    let upstream = Upstream::new(|asked| {
        let mut lies: Vec<_> = (0..5).map(|_| asked.address([6, 6, 6, 6], 300)).collect();
        lies[0][0] ^= 1;
        lies[1][13] = b'x';
        lies[2][2] &= 0x7f;
        lies[3].truncate(20);
        lies[4][5] = 0;
        lies.push(asked.address([192, 0, 2, 7], 300));
        lies
    });
    let world = World::new(&file(&[&upstream], "random_case = true"));
    assert_eq!(ask(&world, "www.example").address(), [192, 0, 2, 7]);
    let foreign = format!("nines_dns_resolver_upstream_foreign_total{{upstream=\"{}\"}}", upstream.at);
    assert_eq!(world.metric(&foreign), 5.0);
}

#[test]
fn the_next_is_asked_when_one_fails_or_is_silent() {
    let fails = Upstream::new(|asked| vec![asked.empty(2)]);
    let silent = Upstream::new(|_| Vec::new());
    let good = Upstream::of_address([192, 0, 2, 7], 300);
    let world = World::new(&file(&[&fails, &silent, &good], ""));
    for nth in 0..5 {
        assert_eq!(ask(&world, &format!("n{nth}.example")).address(), [192, 0, 2, 7]);
    }
    let status = world.dns().resolver().unwrap();
    assert_eq!(status.upstreams.len(), 3);
    assert!(status.upstreams[2].rtt_us.is_some() && status.upstreams[1].rtt_us.is_none());
    assert_eq!(status.entries, 5);
}

#[test]
fn own_zones_come_first_and_what_leads_out_of_them_is_looked_up() {
    let upstream = Upstream::of_address([192, 0, 2, 7], 300);
    let zone = "[zone.'shop.test']\nrecords = ['@ SOA ns1 admin 7 3600 600 86400 300', '@ NS ns1', 'ns1 A 192.0.2.53', \
                'www A 192.0.2.1', 'out CNAME cdn.example.', 'in CNAME out', 'sub NS ns.sub', 'ns.sub A 192.0.2.54']\n";
    let world = World::new(&format!("{}{zone}", file(&[&upstream], "")));
    let answer = ask(&world, "www.shop.test");
    assert_eq!((answer.address(), &answer.0[2..4]), ([192, 0, 2, 1], &[0x85, 0x80][..]));
    assert_eq!(upstream.asked(), 0);
    let answer = ask(&world, "in.shop.test");
    assert_eq!((answer.answers(), answer.address(), answer.0[2]), (3, [192, 0, 2, 7], 0x81));
    assert_eq!(ask(&world, "www.sub.shop.test").address(), [192, 0, 2, 7]);
    // Whoever does not ask for that is told where it is.
    assert_eq!(world.ask("in.shop.test", Rtype::A).answers(), 2);
}

#[test]
fn names_that_are_nobody_s_and_names_on_lists_are_not_looked_up() {
    let upstream = Upstream::of_address([192, 0, 2, 7], 300);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ads"), "ads.example\n0.0.0.0 track.example\n").unwrap();
    let more = "block = ['ads']\nblock_answer = 'zero'";
    let world = World::in_dir(&file(&[&upstream], more), dir);
    assert_eq!(ask(&world, "localhost").address(), [127, 0, 0, 1]);
    assert_eq!(ask(&world, "4.3.2.10.in-addr.arpa").rcode(), 3);
    assert_eq!(ask(&world, "a.onion").rcode(), 3);
    assert_eq!(ask(&world, "x.ads.example").address(), [0; 4]);
    assert_eq!(ask(&world, "track.example").address(), [0; 4]);
    assert_eq!(upstream.asked(), 0);
    assert_eq!(world.metric("nines_dns_resolver_blocked_total"), 2.0);
    assert_eq!(ask(&world, "x.track.example").address(), [192, 0, 2, 7]);
    world.reload(&file(&[&upstream], "block = ['ads']\nspecial_names = false"));
    assert_eq!(ask(&world, "x.ads.example").rcode(), 3);
    assert_eq!(ask(&world, "localhost").address(), [192, 0, 2, 7]);
}

#[test]
fn a_reload_keeps_answers_unless_others_are_asked() {
    let first = Upstream::of_address([192, 0, 2, 1], 300);
    let second = Upstream::of_address([192, 0, 2, 2], 300);
    let world = World::new(&file(&[&first], ""));
    assert_eq!(ask(&world, "www.example").address(), [192, 0, 2, 1]);
    world.reload(&file(&[&first], "memory = '1MiB'"));
    assert_eq!((ask(&world, "www.example").address(), first.asked()), ([192, 0, 2, 1], 1));
    world.reload(&file(&[&second], ""));
    assert_eq!(ask(&world, "www.example").address(), [192, 0, 2, 2]);
    world.reload("listen = '127.0.0.1:0'");
    assert_eq!(ask(&world, "www.example").rcode(), 5);
}

/// A query that tells a client's network.
fn with_subnet(name: &str, subnet: [u8; 3]) -> Vec<u8> {
    let mut message = query(name, Rtype::A);
    message[11] = 1;
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0]);
    message.extend(subnet);
    message
}

#[test]
fn networks_of_clients_are_told_only_if_the_file_says_so_and_answers_are_kept_for_them() {
    let upstream = Upstream::new(|asked| {
        // The subnet, if one is told, is the last that is said.
        let is_told = asked.message[asked.message.len() - 11..].starts_with(&[0, 8, 0, 7]);
        let subnet =
            if is_told { asked.message[asked.message.len() - 3..].try_into().unwrap() } else { [0; 3] };
        let [a, b, c]: [u8; 3] = subnet;
        let mut answer = asked.address([a, b, c, 1], 300);
        if is_told {
            answer[11] = 1;
            answer.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24]);
            answer.push(if asked.name().starts_with("all") { 0 } else { 24 });
            answer.extend(subnet);
        }
        vec![answer]
    });
    let ask = |world: &World, name, subnet| {
        let client = world.udp();
        client.send(&with_subnet(name, subnet)).unwrap();
        let answer = hear(&client).0;
        // The address stands before OPT; the scope in the option at the end.
        let opt = answer.len() - 22;
        (<[u8; 4]>::try_from(&answer[opt - 4..opt]).unwrap(), answer[answer.len() - 4])
    };
    let world = World::new(&file(&[&upstream], ""));
    assert_eq!(ask(&world, "www.example", [10, 1, 1]), ([0, 0, 0, 1], 0));
    let world = World::new(&file(&[&upstream], "client_subnet = true"));
    let before = upstream.asked();
    for _ in 0..2 {
        assert_eq!(ask(&world, "www.example", [10, 1, 1]), ([10, 1, 1, 1], 24));
        assert_eq!(ask(&world, "www.example", [10, 1, 2]), ([10, 1, 2, 1], 24));
    }
    assert_eq!(upstream.asked() - before, 2);
    assert_eq!(ask(&world, "all.example", [10, 1, 1]), ([10, 1, 1, 1], 0));
    assert_eq!(ask(&world, "all.example", [10, 1, 2]), ([10, 1, 1, 1], 0));
    assert_eq!(upstream.asked() - before, 3);
}
