//! Any bytes are judged by the signature they may have, and none of them have a good one.
#![no_main]

use dns::{Algorithm, Key, Keys, judge_signature};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    Keys::new([
        Key::new("k", Algorithm::HmacSha256, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").expect("a key")
    ])
});

fuzz_target!(|message: &[u8]| {
    // One that is in the corpus is good at its time, and at no other.
    if let Some(Err(error)) = judge_signature(&KEYS, message, 1_700_000_000) {
        assert!([1, 16, 17, 18, 22].contains(&error));
    }
    assert_ne!(judge_signature(&KEYS, message, u64::MAX), Some(Ok(())));
});
