//! What a pick costs: `cargo run --release -p balance --example pick_cost`.
//!
//! Each line is one policy over so many equal endpoints: the nanoseconds from a pick to its finish, on one
//! thread and then on two that share the pool.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use balance::{Outcome, Pool, PoolConfig, PoolContext, Wish, hash_key};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const PICKS: u32 = 2_000_000;
const POLICIES: [&str; 8] = [
    "random",
    "round-robin",
    "weighted-round-robin",
    "least-loaded",
    "power-of-two",
    "peak-ewma",
    "ring-hash",
    "maglev",
];

fn main() {
    println!(
        "{:<22} {:>9} {:>10} {:>10} {:>12} {:>11}",
        "policy", "endpoints", "pick ns", "finish ns", "both, 2 thr", "avoiding 1"
    );
    for endpoints in [3, 50] {
        for policy in POLICIES {
            let pool = pool(policy, endpoints);
            let (pick, finish) = apart(&pool);
            let shared = together(&pool, 2);
            let avoiding = avoiding(&pool);
            println!(
                "{policy:<22} {endpoints:>9} {pick:>10.1} {finish:>10.1} {shared:>12.1} {avoiding:>11.1}"
            );
        }
    }
}

fn pool(policy: &str, endpoints: usize) -> Arc<Pool> {
    let servers: Vec<String> = (0..endpoints).map(|number| format!("\"10.0.0.{number}:80\"")).collect();
    let hash = if matches!(policy, "ring-hash" | "maglev") { "hash = \"path\"" } else { "" };
    let text = format!("servers = [{}]\nbalance = \"{policy}\"\n{hash}", servers.join(", "));
    let config: PoolConfig = toml::from_str(&text).unwrap();
    let registry = telemetry::Registry::new();
    let pool = Pool::new(PoolContext { name: "web".into(), at: None, secret: [7; 16], registry }, config);
    // Every endpoint has been measured once.
    let (mut rng, now) = (SmallRng::seed_from_u64(1), Instant::now());
    for _ in 0..endpoints * 20 {
        pick(&pool, &mut rng, now, 0).finish(
            Outcome::Answered { status: 200 },
            Duration::from_millis(1),
            now,
        );
    }
    pool
}

fn pick(pool: &Arc<Pool>, rng: &mut SmallRng, now: Instant, key: u64) -> balance::Picked {
    let wish = Wish { hash: Some(key), ..Wish::default() };
    pool.pick(black_box(&wish), now, rng).unwrap()
}

/// Picks in batches of 64 that are in flight together, so that picking and finishing can be told apart.
fn apart(pool: &Arc<Pool>) -> (f64, f64) {
    const BATCH: u32 = 64;
    let mut rng = SmallRng::seed_from_u64(2);
    let keys: Vec<u64> = (0..1024u64).map(|key| hash_key(&key.to_be_bytes())).collect();
    let (mut picking, mut finishing) = (Duration::ZERO, Duration::ZERO);
    let mut batch = Vec::with_capacity(BATCH as usize);
    for round in 0..PICKS / BATCH {
        let now = Instant::now();
        for number in 0..BATCH {
            batch.push(pick(pool, &mut rng, now, keys[((round * BATCH + number) % 1024) as usize]));
        }
        let picked = Instant::now();
        for one in batch.drain(..) {
            one.finish(Outcome::Answered { status: 200 }, Duration::from_micros(300), picked);
        }
        picking += picked - now;
        finishing += picked.elapsed();
    }
    let each = |time: Duration| time.as_nanos() as f64 / f64::from(PICKS / BATCH * BATCH);
    (each(picking), each(finishing))
}

/// Threads that pick and finish on one pool at the same time.
fn together(pool: &Arc<Pool>, threads: u64) -> f64 {
    let start = Barrier::new(threads as usize);
    let run = |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        start.wait();
        let now = Instant::now();
        for number in 0..PICKS {
            pick(pool, &mut rng, now, hash_key(&[number as u8])).finish(
                Outcome::Answered { status: 200 },
                Duration::from_micros(300),
                now,
            );
        }
        now.elapsed().as_nanos() as f64 / f64::from(PICKS)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|seed| {
                let run = &run;
                scope.spawn(move || run(seed))
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum::<f64>() / threads as f64
    })
}

/// A retry: one endpoint has been tried already.
fn avoiding(pool: &Arc<Pool>) -> f64 {
    let mut rng = SmallRng::seed_from_u64(3);
    let now = Instant::now();
    let tried = [pick(pool, &mut rng, now, 0).endpoint().id()];
    let wish = Wish { hash: Some(7), avoid: &tried, sticky: None };
    for _ in 0..PICKS {
        drop(pool.pick(black_box(&wish), now, &mut rng).unwrap());
    }
    now.elapsed().as_nanos() as f64 / f64::from(PICKS)
}
