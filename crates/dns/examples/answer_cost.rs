//! What it costs to load a zone and to answer from it: `cargo run --release -p dns --example answer_cost [RECORDS]`.
//!
//! CPU seconds and memory for a zone of a million records with random names, then nanoseconds for each kind of answer,
//! parsing included and not, on one thread: the tenth percentile of many batches, so that it counts little what else the machine
//! does. `small` is a zone that lies in the first cache, and `route` are names whose addresses are chosen, for clients all over
//! 100,000 networks at three places.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use dns::{
    Facts, Follower, LatencyConfig, Outcome, PlaceConfig, Places, PlacesConfig, PoolHealth, Pools, Query,
    Route, RoutesConfig, Transport, Which, Zone, ZoneBuilder, Zones, answer,
};
use notation::Named;
use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCHES: usize = 200;
const BATCH: usize = 4096;
/// Questions that are asked in turn, so that the large zone is not answered from a cache.
const QUESTIONS: usize = 1 << 18;

fn main() {
    let records = std::env::args().nth(1).map_or(1_000_000, |records| records.parse().unwrap());
    let small = Zones::new([Arc::new(built(small_zone().as_bytes()))]);
    let path = std::env::temp_dir().join(format!("answer-cost-{}.zone", std::process::id()));
    fs::write(&path, large_zone(records)).unwrap();
    let (before, started) = (cpu(), Instant::now());
    let mut builder = ZoneBuilder::new("large.test".parse().unwrap());
    builder.file(&path);
    let read = cpu() - before;
    let loaded = builder.finish().unwrap();
    let all = cpu() - before;
    fs::remove_file(&path).unwrap();
    let figures = loaded.zone.figures();
    println!(
        "{} records, {} names: loaded in {:.2} CPU-s (read {:.2}, laid out {:.2}), {:.2} s",
        figures.records,
        figures.names,
        all.as_secs_f64(),
        read.as_secs_f64(),
        (all - read).as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    println!(
        "zone {} MB, resident {} MB, at most {} MB",
        figures.bytes >> 20,
        status("VmRSS:") >> 10,
        status("VmHWM:") >> 10
    );
    let large = Zones::new([Arc::new(loaded.zone)]);
    println!("{:<34} {:>10} {:>12} {:>8}", "answer", "ns", "with parsing", "bytes");
    for (what, name, rtype) in [
        ("positive", "www.small.test", 1),
        ("positive, 3 records", "multi.small.test", 1),
        ("mail with addresses", "small.test", 15),
        ("no data", "www.small.test", 28),
        ("no name", "nothing.small.test", 1),
        ("wildcard", "anything.wild.small.test", 1),
        ("referral with glue", "www.sub.small.test", 1),
        ("alias", "alias.small.test", 1),
        ("dname", "www.moved.small.test", 1),
    ] {
        told(&format!("small: {what}"), &small, &[message(name, rtype)]);
    }
    let routed = Zones::new([Arc::new(routed())]);
    for (what, name, rtype) in [
        ("plain, beside them", "plain.routed.test", 1),
        ("healthy, 4 values", "all.routed.test", 1),
        ("healthy, failover", "failover.routed.test", 1),
        ("healthy, weighted", "weighted.routed.test", 1),
        ("healthy, nearest, weighted", "www.routed.test", 1),
        ("the same, AAAA", "www.routed.test", 28),
        ("the same, by an alias", "routed.test", 1),
        ("weighted, 16 candidates", "many.routed.test", 1),
    ] {
        let clients = (0..QUESTIONS as u64).map(|number| message_for(name, rtype, scattered(number) as u32));
        told(&format!("route: {what}"), &routed, &clients.collect::<Vec<_>>());
    }
    let asked = |kind: fn(u64) -> String| -> Vec<Vec<u8>> {
        (0..QUESTIONS as u64).map(|number| message(&kind(scattered(number) % records as u64), 1)).collect()
    };
    told("large: positive", &large, &asked(|number| format!("{}.large.test", label(number))));
    told("large: no name", &large, &asked(|number| format!("x{}.large.test", label(number))));
    told("large: no name, deep", &large, &asked(|number| format!("a.b.x{}.large.test", label(number))));
    told(
        "large: referral with glue",
        &large,
        &asked(|number| format!("www.cut{}.large.test", number % 1000)),
    );
    told("large: wildcard", &large, &asked(|number| format!("x{}.wild.large.test", label(number))));
}

fn told(what: &str, zones: &Zones, messages: &[Vec<u8>]) {
    let facts = Facts::of_transport(Transport::Udp);
    let mut out = Vec::with_capacity(4096);
    let queries: Vec<Query<'_>> =
        messages.iter().take(1 << 15).map(|message| Query::parse(message).unwrap()).collect();
    let mut at = 0;
    let answered = quick(|| {
        at = (at + 1) % queries.len();
        black_box::<Outcome<'_>>(answer(zones, &queries[at], &facts, &mut out));
    });
    let mut at = 0;
    let both = quick(|| {
        at = (at + 1) % messages.len();
        let query = Query::parse(black_box(&messages[at])).unwrap();
        black_box::<Outcome<'_>>(answer(zones, &query, &facts, &mut out));
    });
    println!("{what:<34} {answered:>10.0} {both:>12.0} {:>8}", out.len());
}

fn quick(mut one: impl FnMut()) -> f64 {
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..BATCH {
                one();
            }
            started.elapsed()
        })
        .collect();
    batches.sort_unstable();
    batches[BATCHES / 10].as_nanos() as f64 / BATCH as f64
}

fn built(text: &[u8]) -> Zone {
    let mut builder = ZoneBuilder::new("small.test".parse().unwrap());
    builder.text("small", text);
    builder.finish().unwrap().zone
}

/// A pool that is up.
struct Up;

impl PoolHealth for Up {
    fn follow(&self, follower: Follower) {
        follower.tell(2);
    }

    fn addresses(&self, _: Which, look: &mut dyn FnMut(&[IpAddr])) {
        look(&[]);
    }

    fn causes(&self) -> String {
        String::new()
    }
}

fn routed() -> Zone {
    let pair = "{ pool = 'a', at = 'eu', weight = 90, addresses = ['192.0.2.1', '2001:db8::1'] },
         { pool = 'b', at = 'eu', weight = 10, addresses = ['192.0.2.2', '2001:db8::2'] },
         { pool = 'c', at = 'us', addresses = ['192.0.2.3', '2001:db8::3'] },
         { pool = 'd', at = 'asia', addresses = ['192.0.2.4', '2001:db8::4'] }";
    let plain = pair.replace(", at = 'eu'", "").replace(", at = 'us'", "").replace(", at = 'asia'", "");
    let bare = plain.replace(", weight = 90", "").replace(", weight = 10", "");
    let many: Vec<String> =
        (1..=16).map(|nth| format!("{{ pool = 'a', addresses = ['192.0.2.{nth}'] }}")).collect();
    let routes: RoutesConfig = toml::from_str(&format!(
        "all.answers = [{bare}]
         failover = {{ choose = ['healthy', 'failover'], answers = [{bare}] }}
         weighted = {{ choose = ['healthy', 'weighted'], answers = [{plain}] }}
         www = {{ choose = ['healthy', 'nearest', 'weighted'], answers = [{pair}] }}
         '@'.alias = 'www'
         many = {{ choose = ['healthy', 'weighted'], answers = [{}] }}",
        many.join(", ")
    ))
    .unwrap();
    let places = [("eu", 0), ("us", 1), ("asia", 2)].map(|(name, own)| {
        let networks = (0..100_000).filter(|number| number % 3 == own).map(network).map(notation::Name::new);
        (notation::Name::new(name), PlaceConfig { networks: networks.collect(), ..PlaceConfig::default() })
    });
    let places: Named<PlaceConfig> = places.into_iter().collect();
    let latency: [LatencyConfig; 0] = [];
    let config = PlacesConfig { place: &places, latency: &latency, geo: None };
    let places = Arc::new(Places::load(config, Path::new(".")).unwrap());
    println!("{} ranges of clients", places.ranges());
    let pools = Pools::default();
    pools.bind(["a", "b", "c", "d"].map(|name| (name, Arc::new(Up) as Arc<dyn PoolHealth>)));
    let apex: dns::Name = "routed.test".parse().unwrap();
    let mut builder = ZoneBuilder::new(apex.clone());
    builder.text(
        "routed",
        b"$TTL 3600\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.53\nplain A 192.0.2.1",
    );
    for (name, route) in &routes {
        builder.route(name, Route::new(route, &apex, &places, &pools).unwrap());
    }
    builder.finish().unwrap().zone
}

/// A /24 that follows from the number.
fn network(number: u64) -> String {
    let bits = scattered(number);
    format!("{}.{}.{}.0/24", bits & 255, bits >> 8 & 255, bits >> 16 & 255)
}

fn small_zone() -> String {
    "$TTL 3600
@ SOA ns admin 1 3600 600 86400 300
@ NS ns
@ NS ns.elsewhere.test.
@ MX 10 mx1
@ MX 20 mx2
ns A 192.0.2.53
mx1 A 192.0.2.25
mx2 A 192.0.2.26
www A 192.0.2.1
multi A 192.0.2.1
multi A 192.0.2.2
multi A 192.0.2.3
*.wild A 192.0.2.4
sub NS ns.sub
sub NS ns2.sub
ns.sub A 192.0.2.54
ns2.sub A 192.0.2.55
alias CNAME www
moved DNAME small.test.
"
    .to_owned()
}

fn large_zone(records: usize) -> String {
    let mut text = String::from(
        "$ORIGIN large.test.\n$TTL 3600\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.53\n*.wild A 192.0.2.4\n",
    );
    for number in 0..1000 {
        writeln!(text, "cut{number} NS ns.cut{number}\nns.cut{number} A 192.0.2.54").unwrap();
    }
    for number in 0..records.saturating_sub(2004) as u64 {
        let address = scattered(number);
        writeln!(
            text,
            "{} A 10.{}.{}.{}",
            label(number),
            address & 255,
            address >> 8 & 255,
            address >> 16 & 255
        )
        .unwrap();
    }
    text
}

/// Ten letters and digits that follow from the number.
fn label(number: u64) -> String {
    format!("{:010x}", scattered(number ^ 0x5eed) & 0xff_ffff_ffff)
}

/// SplitMix64: the same every time, and without a pattern.
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn message(name: &str, rtype: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.parse::<dns::Name>().unwrap().as_wire());
    message.extend_from_slice(&rtype.to_be_bytes());
    // Class IN, and an OPT record that takes 1232 octets.
    message.extend_from_slice(&[0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    message
}

/// The same for a client of this address: its resolver tells the /24.
fn message_for(name: &str, rtype: u16, client: u32) -> Vec<u8> {
    let mut message = message(name, rtype);
    let length = message.len();
    message[length - 1] = 11;
    message.extend_from_slice(&[0, 8, 0, 7, 0, 1, 24, 0]);
    message.extend_from_slice(&client.to_be_bytes()[..3]);
    message
}

/// Kibibytes that the kernel tells of this process.
fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What this thread has used of a CPU.
fn cpu() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split_whitespace().next().unwrap().parse().unwrap())
}
