//! What is encoded is read back by the decoders, however it was cut, and whatever was flushed.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

use encoding::{Coding, Encoder};
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;
use std::io::{Read, Write};

/// All that a client can read of these bytes, which need not be the whole.
fn decoded(coding: Coding, encoded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Zstd => {
            let mut decoder = zstd_safe::DCtx::create();
            let mut source = zstd_safe::InBuffer::around(encoded);
            loop {
                plain.reserve(64 << 10);
                let (end, room) = (plain.len(), plain.capacity());
                let mut sink = zstd_safe::OutBuffer::around_pos(&mut plain, end);
                decoder.decompress_stream(&mut sink, &mut source).unwrap();
                if source.pos() == encoded.len() && plain.len() < room {
                    return plain;
                }
            }
        }
        Coding::Br => {
            let mut decoder = brotli::Decompressor::new(encoded, 4096);
            let mut piece = [0; 4096];
            // Before the end has come it reads what there is, and then fails for want of more.
            while let Ok(bytes @ 1..) = decoder.read(&mut piece) {
                plain.extend_from_slice(&piece[..bytes]);
            }
            plain
        }
        Coding::Gzip => {
            let mut decoder = Decompress::new_gzip(15);
            loop {
                plain.reserve(64 << 10);
                let room = plain.capacity();
                let from = decoder.total_in() as usize;
                decoder.decompress_vec(&encoded[from..], &mut plain, FlushDecompress::Sync).unwrap();
                if decoder.total_in() as usize == encoded.len() && plain.len() < room {
                    return plain;
                }
            }
        }
    }
}

/// Whether the bytes hold one whole encoded body, and nothing after it.
fn is_whole(coding: Coding, encoded: &[u8]) -> bool {
    match coding {
        Coding::Zstd => zstd_safe::find_frame_compressed_size(encoded) == Ok(encoded.len()),
        Coding::Br => {
            let mut decoder = brotli::DecompressorWriter::new(Vec::new(), 4096);
            decoder.write_all(encoded).is_ok() && decoder.close().is_ok()
        }
        Coding::Gzip => {
            let mut decoder = Decompress::new_gzip(15);
            let mut plain = Vec::with_capacity(4 << 20);
            let status = decoder.decompress_vec(encoded, &mut plain, FlushDecompress::Finish);
            status.is_ok_and(|status| status == flate2::Status::StreamEnd)
                && decoder.total_in() == encoded.len() as u64
        }
    }
}

/// Text that repeats itself with changes, and noise in between.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::collection::vec("[a-z]{1,9} ", 1..40);
    let parts = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6000);
    (words, parts, any::<bool>()).prop_map(|(words, parts, is_noisy)| {
        let mut body = Vec::new();
        for (index, noise) in parts {
            body.extend_from_slice(index.get(&words).as_bytes());
            if is_noisy {
                body.push(noise);
            }
        }
        body
    })
}

fn coding() -> impl Strategy<Value = Coding> {
    prop::sample::select(Coding::ALL.to_vec())
}

fn encoded(coding: Coding, level: u8, body: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::lend(coding, level, Some(body.len() as u64)).unwrap();
    let mut out = Vec::new();
    encoder.push(body, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_body_is_read_back_however_it_was_cut(
        coding in coding(),
        level in 0..=9u8,
        body in body(),
        pieces in prop::collection::vec((1..9000usize, prop::bool::weighted(0.2)), 1..20),
        is_length_known: bool,
    ) {
        let mut encoder =
            Encoder::lend(coding, level, is_length_known.then_some(body.len() as u64)).unwrap();
        let (mut out, mut pushed) = (Vec::new(), 0);
        for (bytes, is_flushed) in pieces.into_iter().cycle() {
            let piece = &body[pushed..body.len().min(pushed + bytes)];
            encoder.push(piece, &mut out).unwrap();
            pushed += piece.len();
            if is_flushed {
                encoder.flush(&mut out).unwrap();
                prop_assert_eq!(decoded(coding, &out).len(), pushed, "a flush gives out all that was pushed");
            }
            if pushed == body.len() {
                break;
            }
        }
        encoder.finish(&mut out).unwrap();
        prop_assert!(is_whole(coding, &out));
        prop_assert!(decoded(coding, &out) == body);
    }

    #[test]
    fn a_body_that_was_left_half_done_leaves_no_trace(
        coding in coding(), first in body(), second in body(), level in 1..=9u8
    ) {
        let mut encoder = Encoder::lend(coding, level, None).unwrap();
        encoder.push(&first, &mut Vec::new()).unwrap();
        drop(encoder);
        let out = encoded(coding, level, &second);
        prop_assert!(is_whole(coding, &out) && decoded(coding, &out) == second);
    }
}

#[test]
fn nothing_is_a_body_too() {
    for coding in Coding::ALL {
        for length in [None, Some(0)] {
            let mut out = Vec::new();
            let mut encoder = Encoder::lend(coding, 3, length).unwrap();
            encoder.flush(&mut out).unwrap();
            encoder.finish(&mut out).unwrap();
            assert!(is_whole(coding, &out), "{coding}");
            assert_eq!(decoded(coding, &out), b"");
        }
    }
}

#[test]
fn flushing_twice_is_flushing_once() {
    for coding in Coding::ALL {
        let mut out = Vec::new();
        let mut encoder = Encoder::lend(coding, 3, None).unwrap();
        encoder.push(b"data: 1\n\n", &mut out).unwrap();
        for _ in 0..3 {
            encoder.flush(&mut out).unwrap();
            assert_eq!(decoded(coding, &out), b"data: 1\n\n", "{coding}");
        }
        assert!(out.len() < 64, "{coding}: {} bytes", out.len());
    }
}

#[test]
fn noise_grows_by_little() {
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    for coding in Coding::ALL {
        for level in [1, 3, 6, 9] {
            let out = encoded(coding, level, &noise);
            assert!(decoded(coding, &out) == noise);
            // gzip's first level never looks back at whether it was worth it.
            let share = if (coding, level) == (Coding::Gzip, 1) { 16 } else { 1000 };
            assert!(out.len() < noise.len() + noise.len() / share + 64, "{coding} {level}: {}", out.len());
        }
    }
}

#[test]
fn a_higher_level_is_smaller_and_every_level_is_smaller_than_the_text() {
    let text: Vec<u8> =
        (0..20_000u32).flat_map(|n| format!("<li>{}</li>\n", n * n % 7919).into_bytes()).collect();
    for coding in Coding::ALL {
        let sizes = [1, 9].map(|level| encoded(coding, level, &text).len());
        assert!(sizes[1] < sizes[0] && sizes[0] < text.len() / 2, "{coding}: {sizes:?}");
    }
}

#[test]
fn a_body_that_is_not_as_long_as_announced_is_an_error_of_zstd_and_is_not_hidden() {
    let mut out = Vec::new();
    let mut short = Encoder::lend(Coding::Zstd, 3, Some(100)).unwrap();
    short.push(b"too short", &mut out).unwrap();
    let error = short.finish(&mut out).unwrap_err();
    assert_eq!(error.to_string(), "zstd encoder: Src size is incorrect");
    drop(short);
    let mut next = Encoder::lend(Coding::Zstd, 3, None).unwrap();
    out.clear();
    next.push(b"the next body", &mut out).unwrap();
    next.finish(&mut out).unwrap();
    assert_eq!(decoded(Coding::Zstd, &out), b"the next body");
}

#[test]
#[should_panic(expected = "nothing is encoded after the end of a body")]
fn nothing_comes_after_the_end() {
    let mut encoder = Encoder::lend(Coding::Gzip, 3, None).unwrap();
    encoder.finish(&mut Vec::new()).unwrap();
    let _ = encoder.push(b"more", &mut Vec::new());
}
