//! What a hit costs: `cargo run --release -p cdn --example hit_cost`.
//!
//! Each line: the nanoseconds of processor time from a key to the object in hand (look-up, check against purges, mark of use, clone of the `Arc`), on
//! each of so many threads at once. Then what a put and a purge cost.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use cdn::purge::{Mode, Target};
use cdn::rules::Stored;
use cdn::store::{Body, Object};
use cdn::{Engine, EngineConfig, Key};
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::SystemTime;

const OBJECTS: usize = 100_000;
const HITS: usize = 2_000_000;

fn main() {
    let cache = Engine::open(&EngineConfig::of_memory(1 << 30)).unwrap();
    let url = |at| format!("https://www.example.com/images/of/a/shop/{at}.jpg?width=400");
    let keys: Vec<Key> = (0..OBJECTS).map(|at| cache.key(url(at).as_bytes())).collect();
    let start = cpu_ns();
    for key in &keys {
        cache.put(Object::new(key.clone(), stored(), Body::copy_of(&[0; 1024]), 0)).unwrap();
    }
    println!("{:<52} {:>8.0} ns", "put of 1 KiB, with its copy", each(start, OBJECTS));
    for threads in [1, 2] {
        for (what, spread) in [("one object", 1), ("1,000 objects", 1000), ("100,000 objects", OBJECTS)] {
            let cost = hits(&cache, &keys[..spread], threads);
            println!("{:<52} {cost:>8.0} ns", format!("hit, {what}, {threads} threads"));
        }
    }
    let start = cpu_ns();
    for key in keys.iter().cycle().take(HITS) {
        black_box(cache.find(black_box(&Key { hash: !key.hash, bytes: key.bytes.clone() }), |_| true));
    }
    println!("{:<52} {:>8.0} ns", "miss, with a copy of the key", each(start, HITS));
    let start = cpu_ns();
    cache.purge(Target::Tag("product-1"), Mode::Hard).unwrap();
    println!("{:<52} {:>8.0} ns", "purge of a tag on 100,000 objects", each(start, 1));
    let start = cpu_ns();
    assert!(keys.iter().all(|key| cache.find(key, |_| true).is_none()));
    println!("{:<52} {:>8.0} ns", "first look-up of each after it", each(start, OBJECTS));
    let start = cpu_ns();
    cache.tend().unwrap();
    println!("{:<52} {:>8.0} ns", "freeing each", each(start, OBJECTS));
}

fn hits(cache: &Engine, keys: &[Key], threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let run = |thread: usize| {
        barrier.wait();
        let start = cpu_ns();
        let mut at = thread * 7919;
        for _ in 0..HITS {
            // In no order, as clients ask.
            at = (at + 7919) % keys.len();
            black_box(cache.find(black_box(&keys[at]), |object| object.stored.vary.is_empty())).unwrap();
        }
        each(start, HITS)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let run = &run;
                    move || run(thread)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<f64>() / threads as f64
    })
}

fn each(start: u64, count: usize) -> f64 {
    (cpu_ns() - start) as f64 / count as f64
}

/// Processor time of this thread: what others do on the machine does not count, but for the caches that they take.
fn cpu_ns() -> u64 {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    figures.split(' ').next().unwrap().parse().unwrap()
}

fn stored() -> Stored {
    let now = SystemTime::now();
    Stored {
        status: 200,
        unsent: [].into(),
        lines: (*b"Content-Type: image/jpeg\r\nCache-Control: max-age=3600\r\n").into(),
        requested: now,
        received: now,
        initial_age: 0,
        lifetime: 3600,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        not_stored: None,
        must_revalidate: false,
        no_cache: false,
        vary: [].into(),
        tags: ["product-1".into()].into(),
        length: Some(1024),
        range: None,
    }
}
