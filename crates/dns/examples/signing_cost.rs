//! What it costs to sign a large zone, to start again, to update it and to sign it anew:
//! `cargo run --release -p dns --example signing_cost [RECORDS] [nsec3|plain]`.
//!
//! For each step seconds of CPU (of all threads) and of the clock, and the most memory so far. `plain` updates the zone without signing
//! it.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use aws_lc_rs::hmac;
use dns::{Algorithm, Dns, DnsConfig, DnsParts, Key, Keys, ZoneSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use telemetry::Registry;

const SECRET: &[u8] = b"01234567890123456789012345678901";
const SECRET_BASE64: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn main() {
    let records = std::env::args().nth(1).map_or(1_000_000, |records| records.parse().unwrap());
    let how = std::env::args().nth(2).unwrap_or_default();
    let dir = std::env::temp_dir().join(format!("signing-cost-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("zone"), large_zone(records)).unwrap();
    let sign = match how.as_str() {
        "plain" => "false",
        "nsec3" => "{ denial = 'nsec3' }",
        _ => "true",
    };
    let config: DnsConfig = toml::from_str(&format!(
        "listen = '127.0.0.1:0'\n[zone.'large.test']\nfile = 'zone'\nsign = {sign}\nupdate = [{{ key = 'a.key' }}]\n"
    ))
    .unwrap();
    let nothing = ZoneSet::default();
    let mut zones = timed("load", || ZoneSet::load(&config, &dir, &nothing).unwrap());
    timed("sign", || zones.sign(&dir.join("data"), SystemTime::now(), &nothing).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    serve(&runtime, &config, zones, &dir);
    let kept = fs::metadata(dir.join("data/keys/large.test/signatures")).map_or(0, |found| found.len());
    println!("signatures on disk: {} MB", kept >> 20);
    let mut zones = timed("load again", || ZoneSet::load(&config, &dir, &nothing).unwrap());
    timed("sign again, by what was kept", || {
        zones.sign(&dir.join("data"), SystemTime::now(), &nothing).unwrap();
    });
    // All of it is due by then.
    let late = SystemTime::now() + Duration::from_secs(13 * 86_400);
    let before = zones.clone();
    timed("sign anew, as signatures end", || zones.sign(&dir.join("data"), late, &before).unwrap());
    fs::remove_dir_all(&dir).unwrap();
}

fn serve(runtime: &tokio::runtime::Runtime, config: &DnsConfig, zones: ZoneSet, dir: &Path) {
    let parts = DnsParts {
        config: config.clone(),
        zones,
        cookie_key: [7; 16],
        keys: Keys::new([Key::new("a.key", Algorithm::HmacSha256, SECRET_BASE64).unwrap()]),
        data: dir.join("data"),
        dir: dir.to_owned(),
        node_data: dir.to_owned(),
        tls: tls::EdgeTls::default(),
    };
    let _entered = runtime.enter();
    let dns = timed("start", || Dns::start(&parts, Registry::new(), Vec::new()).unwrap());
    let at = dns.addresses().iter().find(|at| at.transport == cores::Transport::Tcp).unwrap().at;
    // The first waits for what is written after the start.
    while update(at, 0) != 0 {
        std::thread::sleep(Duration::from_millis(200));
    }
    for nth in 1..=3 {
        timed("one update", || assert_eq!(update(at, nth), 0));
    }
    timed("drain", || runtime.block_on(dns.drain(Duration::from_secs(10))));
}

/// Adds a record, and says the RCODE.
fn update(at: SocketAddr, nth: u8) -> u8 {
    let mut message = vec![0, nth, 0x28, 0, 0, 1, 0, 0, 0, 1, 0, 0];
    message.extend_from_slice(b"\x05large\x04test\0\0\x06\0\x01");
    message.extend_from_slice(b"\x03new\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02");
    message.push(nth);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let time = [&now.to_be_bytes()[2..], &300u16.to_be_bytes()].concat();
    let (name, algorithm) = (b"\x01a\x03key\0", b"\x0bhmac-sha256\0");
    // RFC 8945 §4.3.3.
    let variables = [&name[..], b"\0\xff\0\0\0\0", algorithm, &time, &[0; 4]].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let tag = hmac::sign(&key, &[&message[..], &variables].concat());
    let data = [&algorithm[..], &time, &[0, 32], tag.as_ref(), &[0, nth, 0, 0, 0, 0]].concat();
    message[11] = 1;
    message.extend_from_slice(name);
    message.extend_from_slice(b"\0\xfa\0\xff\0\0\0\0");
    message.extend_from_slice(&(data.len() as u16).to_be_bytes());
    message.extend_from_slice(&data);
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], &message].concat()).unwrap();
    let mut answer = [0; 14];
    stream.read_exact(&mut answer).unwrap();
    answer[5] & 15
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (begun, before) = (Instant::now(), cpu());
    let done = work();
    let (took, used) = (begun.elapsed().as_secs_f64(), (cpu() - before).as_secs_f64());
    println!("{what:<32} {used:>7.2} CPU-s {took:>7.2} s, at most {} MB", status("VmHWM:") >> 10);
    done
}

fn large_zone(records: usize) -> String {
    let mut text = String::from("$TTL 3600\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.53\n");
    for number in 0..records.saturating_sub(3) as u64 {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let address = mixed >> 40;
        writeln!(text, "{mixed:016x} A 10.{}.{}.{}", address & 255, address >> 8 & 255, address >> 16 & 255)
            .unwrap();
    }
    text
}

fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What all threads have used of CPUs, in hundredths of a second.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
