//! Any bytes on a connection to an upstream are whole messages and a rest, each of which is as any message of an upstream.
#![no_main]

use dns::{framed_messages, rewritten};
use libfuzzer_sys::fuzz_target;

/// What was asked: an address of `www.shop.test`.
const ASKED: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04shop\x04test\x00\x00\x01\x00\x01";

fuzz_target!(|input: &[u8]| {
    let (found, may_go_on) = framed_messages(input);
    let framed: Vec<u8> =
        found.iter().flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat()).collect();
    assert!(input.starts_with(&framed) && found.iter().all(|message| message.len() >= 12));
    let rest = &input[framed.len()..];
    let next = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
    assert_eq!(may_go_on, next.is_none_or(|length| length >= 12 && rest.len() < 2 + length));
    for message in found {
        if let Some(answer) = rewritten(&message, ASKED) {
            assert!(answer.len() <= 65_535 && answer[12..].starts_with(&ASKED[12..]));
        }
    }
});
