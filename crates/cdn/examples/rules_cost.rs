//! What deciding about a hit costs: `cargo run --release -p cdn --example rules_cost`.
//!
//! Each line is one step for the request of a browser, in nanoseconds; the last is all of them, as a hit takes them.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use cdn::key::{KeyHasher, QueryPolicy, Target, write_key};
use cdn::rules::{
    Asked, CacheStatus, Came, Lines, Method, Policy, Stored, Times, chosen, may_store, select, serve,
    write_age,
};
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

/// The fastest batch counts: others were disturbed.
const BATCHES: u32 = 100;
const TIMES: u32 = 3000;

const REQUEST: &[u8] = b"Host: shop.test\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"126\", \"Not/A)Brand\";v=\"8\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Dest: image\r\n\
    Referer: https://shop.test/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: a=1234567890abcdef; b=1234567890abcdef\r\n";

const RESPONSE: &[u8] = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Server: origin\r\n\
    Content-Type: image/png\r\n\
    Content-Length: 65536\r\n\
    Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    ETag: \"5f3a-1c\"\r\n\
    Cache-Control: public, max-age=2147483648\r\n\
    Vary: Accept-Encoding\r\n\
    Surrogate-Key: product-1 product-2\r\n";

fn main() {
    let policy = Policy::default();
    let now = SystemTime::now();
    let fields: Vec<(&[u8], &[u8])> = Lines::of(REQUEST).collect();
    let stored = stored(&fields, &policy, now);
    let plain = Stored { vary: Box::default(), ..stored.clone() };
    let asked = Asked::of(Method::Get, fields.iter().copied());
    let later = now + Duration::from_secs(5);
    let hasher = KeyHasher::new([1, 2]);
    let (mut out, mut key) = (Vec::new(), Vec::new());
    println!("{:<44} {:>10}", "step", "ns");
    time("the key and its hash", || key_of(&hasher, &mut key));
    time("the facts of the request", || Asked::of(Method::Get, black_box(&fields).iter().copied()));
    time("the variant, without Vary", || chosen([black_box(&plain)], &fields.iter().copied()));
    time("the variant, with Vary: Accept-Encoding", || chosen([black_box(&stored)], &fields.iter().copied()));
    time("whether it is served", || serve(black_box(&stored), &asked, &policy, None, later));
    time("what of it is sent", || select(black_box(&stored), &asked));
    time("Age and Cache-Status", || write(&stored, later, &mut out));
    time("all of it", || {
        let hash = key_of(&hasher, &mut key);
        let asked = Asked::of(Method::Get, black_box(&fields).iter().copied());
        let chosen = chosen([black_box(&stored)], &fields.iter().copied()).unwrap();
        let served = serve(chosen, &asked, &policy, None, later);
        write(chosen, later, &mut out);
        (hash, asked.bypass(&policy), served, select(chosen, &asked))
    });
    time("the facts of a response, and storing it", || stored_again(&fields, &policy, now));
}

fn stored_again(fields: &[(&[u8], &[u8])], policy: &Policy, now: SystemTime) -> Stored {
    stored(black_box(fields), policy, now)
}

fn stored(fields: &[(&[u8], &[u8])], policy: &Policy, now: SystemTime) -> Stored {
    let asked = Asked::of(Method::Get, fields.iter().copied());
    let response = Lines::of(RESPONSE);
    let came = Came::of(200, response.clone(), now);
    let times = Times { requested: now, received: now };
    may_store(&asked, &fields.iter().copied(), &came, response, policy, times).unwrap()
}

fn key_of(hasher: &KeyHasher, key: &mut Vec<u8>) -> u128 {
    let target =
        Target { scheme: b"https", host: b"shop.test", path: b"/images/products/1234.png", query: b"?v=17" };
    key.clear();
    write_key(black_box(&target), &QueryPolicy::All, key);
    hasher.hash(key)
}

fn write(stored: &Stored, now: SystemTime, out: &mut Vec<u8>) {
    out.clear();
    write_age(stored.age(now), out);
    CacheStatus::hit(stored.ttl(now)).write(out);
    black_box(out);
}

fn time<T>(what: &str, mut step: impl FnMut() -> T) {
    let mut fastest = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..TIMES {
            black_box(step());
        }
        fastest = fastest.min(start.elapsed());
    }
    println!("{what:<44} {:>10.0}", fastest.as_nanos() as f64 / f64::from(TIMES));
}
