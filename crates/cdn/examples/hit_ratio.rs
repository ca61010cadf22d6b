//! How often requests find what they ask for, on traces that are generated: `cargo run --release -p cdn --example hit_ratio [OUT]`.
//!
//! Each trace is played to the memory store and to a plain LRU of the same size. With OUT, a folder, each trace is written there too,
//! a line a request: the time, the object, its bytes as they are counted; other simulators can read that.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use cdn::key::{Key, KeyHasher};
use cdn::rules::Stored;
use cdn::store::{Body, Memory, Object};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

const REQUESTS: usize = 1_000_000;

struct Trace {
    name: &'static str,
    requests: Vec<u64>,
    body_bytes: fn(u64) -> usize,
}

fn main() {
    let out = std::env::args().nth(1);
    println!(
        "{:<28} {:>12} {:>10} {:>10} {:>10} {:>10}",
        "trace", "bytes", "S3-FIFO", "by bytes", "LRU", "by bytes"
    );
    for trace in traces() {
        let weights: HashMap<u64, u64> =
            trace.requests.iter().map(|id| (*id, object(*id, (trace.body_bytes)(*id)).weight())).collect();
        let footprint: u64 = weights.values().sum();
        if let Some(folder) = &out {
            write(&trace, &weights, Path::new(folder));
        }
        for part in [1000, 100, 10] {
            let bytes = footprint / part;
            let (ours, lru) = (play(&trace, bytes), play_lru(&trace, &weights, bytes));
            println!(
                "{:<28} {bytes:>12} {:>9.2}% {:>9.2}% {:>9.2}% {:>9.2}%",
                trace.name, ours.0, ours.1, lru.0, lru.1
            );
        }
    }
}

fn traces() -> Vec<Trace> {
    let small = |_| 800;
    vec![
        Trace { name: "zipf 0.8", requests: zipf(0.8, 100_000, None), body_bytes: small },
        Trace { name: "zipf 1.0", requests: zipf(1.0, 100_000, None), body_bytes: small },
        Trace { name: "zipf 1.0 with scans", requests: zipf(1.0, 100_000, Some(50_000)), body_bytes: small },
        Trace {
            name: "zipf 1.0, sizes of the web",
            requests: zipf(1.0, 100_000, None),
            body_bytes: of_the_web,
        },
        Trace {
            name: "the same with scans",
            requests: zipf(1.0, 100_000, Some(50_000)),
            body_bytes: of_the_web,
        },
    ]
}

/// From 1 KB on, with a heavy tail up to 4 MB (Pareto with 1.2).
fn of_the_web(id: u64) -> usize {
    let uniform = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64;
    (1000.0 / (1.0 - uniform).powf(1.0 / 1.2)).min(4e6) as usize
}

/// Requests for objects whose popularity falls with their rank. After each `scan` of them come half as many for what is asked for once.
fn zipf(alpha: f64, objects: usize, scan: Option<usize>) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(9);
    let mut sums = Vec::with_capacity(objects);
    let mut sum = 0.0;
    for rank in 1..=objects {
        sum += (rank as f64).powf(-alpha);
        sums.push(sum);
    }
    let mut requests = Vec::with_capacity(REQUESTS);
    let mut next_scanned = 1 << 32;
    while requests.len() < REQUESTS {
        let at = rng.random_range(0.0..sum);
        requests.push(sums.partition_point(|sum| *sum <= at) as u64);
        if scan.is_some_and(|scan| requests.len() % scan == 0) {
            requests.extend(next_scanned..next_scanned + scan.unwrap() as u64 / 2);
            next_scanned += scan.unwrap() as u64 / 2;
        }
    }
    requests.truncate(REQUESTS);
    requests
}

/// The hit ratio of the memory store, by requests and by bytes.
fn play(trace: &Trace, bytes: u64) -> (f64, f64) {
    let memory = Memory::new(bytes, bytes / 8);
    let (mut hits, mut hit_bytes, mut all_bytes) = (0u64, 0, 0);
    for id in &trace.requests {
        let key = key(*id);
        let found = memory.find(&key, |_| true);
        let weight = found.as_ref().map(|object| object.weight());
        let weight = weight.unwrap_or_else(|| {
            let object = object(*id, (trace.body_bytes)(*id));
            let weight = object.weight();
            memory.put(object);
            weight
        });
        all_bytes += weight;
        hits += u64::from(found.is_some());
        hit_bytes += if found.is_some() { weight } else { 0 };
    }
    (100.0 * hits as f64 / trace.requests.len() as f64, 100.0 * hit_bytes as f64 / all_bytes as f64)
}

fn play_lru(trace: &Trace, weights: &HashMap<u64, u64>, bytes: u64) -> (f64, f64) {
    let (mut used_at, mut order) = (HashMap::new(), BTreeMap::new());
    let (mut kept, mut hits, mut hit_bytes, mut all_bytes) = (0, 0u64, 0, 0);
    for (now, id) in trace.requests.iter().enumerate() {
        let weight = weights[id];
        all_bytes += weight;
        if let Some(before) = used_at.insert(*id, now) {
            order.remove(&before);
            hits += 1;
            hit_bytes += weight;
        } else if weight > bytes {
            used_at.remove(id);
            continue;
        } else {
            kept += weight;
        }
        order.insert(now, *id);
        while kept > bytes {
            let (_, oldest) = order.pop_first().unwrap();
            used_at.remove(&oldest);
            kept -= weights[&oldest];
        }
    }
    (100.0 * hits as f64 / trace.requests.len() as f64, 100.0 * hit_bytes as f64 / all_bytes as f64)
}

fn write(trace: &Trace, weights: &HashMap<u64, u64>, folder: &Path) {
    let file = std::fs::File::create(folder.join(format!("{}.csv", trace.name))).unwrap();
    let mut out = std::io::BufWriter::new(file);
    for (time, id) in trace.requests.iter().enumerate() {
        writeln!(out, "{time},{id},{}", weights[id]).unwrap();
    }
}

fn key(id: u64) -> Key {
    KeyHasher::new([1, 2]).key(&id.to_le_bytes())
}

fn object(id: u64, body_bytes: usize) -> Object {
    let now = SystemTime::UNIX_EPOCH;
    let stored = Stored {
        status: 200,
        unsent: [].into(),
        lines: [].into(),
        requested: now,
        received: now,
        initial_age: 0,
        lifetime: 0,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        not_stored: None,
        must_revalidate: false,
        no_cache: false,
        vary: [].into(),
        tags: [].into(),
        length: None,
        range: None,
    };
    // A body weighs what it weighs wherever its bytes are.
    static ZEROES: [u8; 4_000_001] = [0; 4_000_001];
    Object::new(key(id), stored, Body::copy_of(&ZEROES[..body_bytes]), 0)
}
