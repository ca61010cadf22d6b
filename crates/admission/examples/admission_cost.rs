//! What it costs to be let in: `cargo run --release -p admission --example admission_cost`.
//!
//! Nanoseconds for each decision, on one thread, and on two that share what decides: the median of many batches.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use admission::{Key, Networks, PerClient, RateLimit, RateTable};
use notation::{Name, TextOr};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

const BATCHES: usize = 400;
const BATCH: usize = 8192;
const CLIENTS: usize = 4096;

fn main() {
    println!("{:<44} {:>10} {:>12}", "decision", "ns", "2 threads");
    for entries in [10, 1_000, 50_000] {
        let v4: Vec<IpAddr> =
            (0..entries).map(|number| Ipv4Addr::from_bits(scattered(number) as u32 & !0xff).into()).collect();
        let v6: Vec<IpAddr> = (0..entries)
            .map(|number| Ipv6Addr::from_bits(u128::from(scattered(number) >> 3 | 1 << 61) << 64).into())
            .collect();
        for (family, addresses, prefix) in [("IPv4", v4, 24), ("IPv6", v6, 64)] {
            let texts =
                addresses.iter().map(|address| TextOr::Text(Name::new(format!("{address}/{prefix}"))));
            let networks = Networks::load(&texts.collect::<Vec<_>>(), Path::new(".")).unwrap();
            // Half of those who come are in one of the networks.
            let asked = asked(&addresses);
            told(&format!("{} networks of {family}", networks.len()), |at| networks.contains(asked[at]));
        }
    }
    let clients: Vec<Key> =
        (0..CLIENTS as u32).map(|number| Key::of_client(Ipv4Addr::from_bits(number).into())).collect();
    let now = Instant::now();
    let table = RateTable::new(RateTable::ENTRIES, now, &telemetry::Registry::new());
    let limit = RateLimit::new("site a.test", "100/s".parse().unwrap(), None);
    told("a client's key", |at| Key::of_client(Ipv4Addr::from_bits(at as u32).into()));
    told("a request of 4096 clients", |at| table.check(&limit, clients[at], now).is_allowed);
    told("a request of one client", |_| table.check(&limit, clients[0], now).is_allowed);
    let many: Vec<Key> = (0..1 << 20).map(|number: u32| Key::of_value(&number.to_be_bytes())).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    told("a request of a million clients, table full", |_| {
        let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        table.check(&limit, many[at % many.len()], now).is_allowed
    });
    let open = PerClient::new();
    told("a connection, opened and closed", |at| open.try_enter(clients[at], 10).is_some());
}

fn asked(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let other = |number: usize, address: &IpAddr| match (number % 2, address) {
        (0, IpAddr::V4(v4)) => Ipv4Addr::from_bits(v4.to_bits() | 7).into(),
        (0, IpAddr::V6(v6)) => Ipv6Addr::from_bits(v6.to_bits() | 7).into(),
        (_, IpAddr::V4(_)) => Ipv4Addr::from_bits(scattered(number + 1_000_000) as u32).into(),
        (_, IpAddr::V6(_)) => {
            Ipv6Addr::from_bits(u128::from(scattered(number) >> 3 | 1 << 61) << 64 | 1 << 63).into()
        }
    };
    (0..CLIENTS)
        .map(|number| other(number, &addresses[scattered(number) as usize % addresses.len()]))
        .collect()
}

/// Numbers without order.
fn scattered(number: usize) -> u64 {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn told<T>(what: &str, decide: impl Fn(usize) -> T + Sync) {
    let (alone, together) = (nanos(1, &decide), nanos(2, &decide));
    println!("{what:<44} {alone:>10.1} {together:>12.1}");
}

/// The median of many short batches, so that whatever else the machine does in between is left out.
fn nanos<T>(threads: usize, decide: &(impl Fn(usize) -> T + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    let run = |thread: usize| {
        barrier.wait();
        let mut batches: Vec<f64> = (0..BATCHES)
            .map(|batch| {
                let start = Instant::now();
                for decision in 0..BATCH {
                    let at = (batch * BATCH + decision) * 31 + thread * 7;
                    black_box(decide(black_box(at % CLIENTS)));
                }
                start.elapsed().as_secs_f64() * 1e9 / BATCH as f64
            })
            .collect();
        batches.sort_by(f64::total_cmp);
        batches[BATCHES / 2]
    };
    let run = &run;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        let figures: Vec<f64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        figures.iter().sum::<f64>() / figures.len() as f64
    })
}
