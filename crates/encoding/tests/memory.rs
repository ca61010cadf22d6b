//! An encoder's memory does not grow with the body. Alone in its process, whose memory it reads.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

use encoding::{Coding, Encoder};

const MIB: usize = 1 << 20;

fn resident_peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn memory_is_bounded_whatever_the_length() {
    // What it says in the docs of `Encoder`, with what the thread keeps and the stack adds.
    for (coding, level, bytes_max) in [
        (Coding::Gzip, 9, 2 * MIB),
        (Coding::Zstd, 3, 4 * MIB),
        (Coding::Br, 4, 6 * MIB),
        (Coding::Br, 6, 8 * MIB),
        (Coding::Zstd, 9, 16 * MIB),
    ] {
        let before = resident_peak_bytes();
        let mut encoder = Encoder::lend(coding, level, None).unwrap();
        let mut out = Vec::with_capacity(MIB);
        let mut state = 1u32;
        for _ in 0..32 {
            let piece: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"etaoinshrdlu <>/"[(state >> 28) as usize]
            })
            .take(64 << 10)
            .collect();
            encoder.push(&piece, &mut out).unwrap();
            out.clear();
        }
        encoder.finish(&mut out).unwrap();
        let grown = resident_peak_bytes() - before;
        println!("{coding} {level}: {} KiB", grown >> 10);
        assert!(grown < bytes_max, "{coding} {level}: {grown} bytes for 2 MiB");
    }
}
