//! Any bytes from an upstream are no answer, or one that is written anew: whole, about the question, and the same when it is read again.
#![no_main]

use dns::rewritten;
use domain::base::Message;
use libfuzzer_sys::fuzz_target;

/// What was asked: an address of `www.shop.test`. The input has the octets after the identifier.
const ASKED: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04shop\x04test\x00\x00\x01\x00\x01";

fuzz_target!(|input: &[u8]| {
    let message = [&ASKED[..2], input].concat();
    let Some(answer) = rewritten(&message, ASKED) else { return };
    assert!(answer.len() <= 65_535 && answer.starts_with(&ASKED[..2]) && answer[12..].starts_with(&ASKED[12..]));
    let parsed = Message::from_octets(&answer[..]).expect("a header");
    let (_, answers, authority, additional) = parsed.sections().expect("whole sections");
    for section in [answers, authority, additional] {
        assert!(section.into_iter().all(|record| record.is_ok()));
    }
    assert_eq!(rewritten(&answer, ASKED).as_ref(), Some(&answer));
});
