//! What a response costs to encode, by coding, level and length:
//! `cargo run --release -p encoding --example cost [FILE]`. Without a file it makes up a page.

#![allow(clippy::print_stdout)]

use encoding::{Coding, Encoder};
use std::time::{Duration, Instant};

/// As much as the edge reads at once.
const PIECE_BYTES: usize = 16 << 10;
const MEASURED_FOR: Duration = Duration::from_millis(200);

fn main() {
    let page = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path).expect("a file that can be read"),
        None => made_up(100_000),
    };
    println!(
        "{:10} {:>8} {:>8} {:>8} {:>12} {:>12}",
        "", "body", "encoded", "ratio", "µs, length", "µs, without"
    );
    for bytes in [1 << 10, 4 << 10, 16 << 10, page.len()] {
        for coding in Coding::ALL {
            for level in 1..=if coding == Coding::Br { 6 } else { 9 } {
                report(coding, level, &page[..bytes.min(page.len())]);
            }
        }
    }
}

fn report(coding: Coding, level: u8, body: &[u8]) {
    let mut out = Vec::with_capacity(body.len());
    let costs = [Some(body.len() as u64), None].map(|length| {
        let start = Instant::now();
        let mut best = Duration::MAX;
        while start.elapsed() < MEASURED_FOR {
            let begun = Instant::now();
            encode(coding, level, length, body, &mut out);
            best = best.min(begun.elapsed());
        }
        best.as_micros()
    });
    println!(
        "{:10} {:8} {:8} {:8.3} {:12} {:12}",
        format!("{coding} {level}"),
        body.len(),
        out.len(),
        out.len() as f64 / body.len() as f64,
        costs[0],
        costs[1],
    );
}

fn encode(coding: Coding, level: u8, length: Option<u64>, body: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut encoder = Encoder::lend(coding, level, length).expect("memory");
    for piece in body.chunks(PIECE_BYTES) {
        encoder.push(piece, out).expect("a piece is encoded");
    }
    encoder.finish(out).expect("the end is encoded");
}

/// HTML of that length whose words and numbers are drawn by a generator of its own.
fn made_up(bytes: usize) -> Vec<u8> {
    let mut state = 9u64;
    let mut draw = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let words: Vec<String> = (0..1500)
        .map(|_| {
            (0..=draw(3))
                .map(|_| ["ba", "ne", "lor", "ti", "sun", "ke", "ra", "mo"][draw(8) as usize])
                .collect()
        })
        .collect();
    let mut page = String::from("<!doctype html>\n");
    while page.len() < bytes {
        page += &format!("<article class=\"product\" id=\"p{}\">\n  <p class=\"text\">", draw(1 << 20));
        for _ in 0..20 + draw(30) {
            // Low numbers are drawn more often, as few words make most of a text.
            let below = 1 + draw(words.len() as u64);
            page += &words[draw(below) as usize];
            page.push(' ');
        }
        page += &format!("</p>\n  <span class=\"price\">{}.{:02}</span>\n</article>\n", draw(900), draw(100));
    }
    page.truncate(bytes);
    page.into_bytes()
}
