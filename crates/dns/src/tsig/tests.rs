//! Both sides of a signed conversation, and what may happen to it on the way.

use super::session::{Session, Unverified, unsigned, verify};
use super::{Algorithm, Key, Keys, RECORD_BYTES_MAX, judge};
use domain::utils::base16;
use proptest::prelude::*;
use std::sync::Arc;

const NOW: u64 = 1_700_000_000;
const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn keys() -> Keys {
    let key = |name, algorithm| Key::new(name, algorithm, SECRET).expect("a good key");
    Keys::new([
        key("a.key", Algorithm::HmacSha256),
        key("b.key", Algorithm::HmacSha384),
        key("c.key", Algorithm::HmacSha512),
    ])
}

fn key(name: &str) -> Arc<Key> {
    Arc::clone(keys().named(name).expect("it is there"))
}

fn query() -> Vec<u8> {
    b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07example\0\0\x06\0\x01".to_vec()
}

fn signed(name: &str) -> (Session, Vec<u8>) {
    let mut message = query();
    let session = Session::request(&key(name), &mut message, NOW);
    (session, message)
}

#[test]
fn what_is_signed_is_verified_and_comes_apart_again() {
    for name in ["a.key", "b.key", "c.key"] {
        let (_, message) = signed(name);
        let (session, start) = verify(&keys(), &message, NOW + 299).expect("signed").expect("good");
        assert_eq!(*session.key().name.to_string(), *name);
        assert_eq!(unsigned(&message, start), query());
        assert!(message.len() - start <= RECORD_BYTES_MAX);
    }
    assert!(verify(&keys(), &query(), NOW).is_none());
}

#[test]
fn a_signature_is_the_one_that_others_make() {
    // Made by dnspython: the key `a.key`, at 1700000000, for the query above.
    let (_, message) = signed("a.key");
    let mac = base16::encode_string(&message[message.len() - 6 - 32..message.len() - 6]);
    assert_eq!(mac.to_lowercase(), EXPECTED);
}

const EXPECTED: &str = "05ddb96ac9c0ccd71935d8cf184015721d8db8a7b4702c299d0c1109284ac8b6";

#[test]
fn an_answer_of_many_messages_is_signed_as_one() {
    let (mut client, request) = signed("a.key");
    let (mut server, _) = verify(&keys(), &request, NOW).expect("signed").expect("good");
    for nth in 0..3u8 {
        let mut answer = query();
        answer[2] = 0x80;
        answer[3] = nth;
        server.sign(&mut answer, NOW + u64::from(nth));
        assert_eq!(client.clone().verify_answer(&answer, NOW + 1000), Err("it was signed at another time"));
        assert_eq!(client.verify_answer(&answer, NOW), Ok(true));
        assert!(client.is_whole());
        assert!(client.clone().verify_answer(&answer, NOW).is_err(), "each message has its place");
    }
}

#[test]
fn messages_between_signed_ones_are_part_of_what_is_signed() {
    let (mut client, request) = signed("b.key");
    let (mut server, _) = verify(&keys(), &request, NOW).expect("signed").expect("good");
    let mut first = query();
    server.sign(&mut first, NOW);
    assert_eq!(client.clone().verify_answer(&query(), NOW), Err("it is not signed"), "the first has to be");
    assert_eq!(client.verify_answer(&first, NOW), Ok(true));
    assert_eq!(client.verify_answer(&query(), NOW), Ok(false));
    assert!(!client.is_whole(), "the last has to be signed");
    for _ in 1..99 {
        assert_eq!(client.verify_answer(&query(), NOW), Ok(false));
    }
    assert!(client.verify_answer(&query(), NOW).is_err());
}

fn error(message: &[u8], now: u64) -> u16 {
    judge(&keys(), message, now).expect("signed").expect_err("not good")
}

#[test]
fn each_fault_has_its_error() {
    let (_, message) = signed("a.key");
    let mut other = query();
    Session::request(
        &Arc::new(Key::new("other.key", Algorithm::HmacSha256, SECRET).expect("good")),
        &mut other,
        NOW,
    );
    assert_eq!(error(&other, NOW), 17, "BADKEY");
    let mut other = query();
    Session::request(
        &Arc::new(Key::new("a.key", Algorithm::HmacSha512, SECRET).expect("good")),
        &mut other,
        NOW,
    );
    assert_eq!(error(&other, NOW), 17, "another algorithm is another key");
    let mut changed = message.clone();
    changed[14] ^= 0x20;
    assert_eq!(error(&changed, NOW), 16, "BADSIG");
    for now in [NOW + 301, NOW - 301] {
        assert_eq!(error(&message, now), 18, "BADTIME");
    }
    let mut early = message.clone();
    early.extend_from_slice(&query()[12..]);
    early[5] = 2;
    assert_eq!(error(&early, NOW), 1, "it is at the end");
}

#[test]
fn a_signature_that_is_cut_short_is_told_so_or_malformed() {
    let cut = |to: usize| {
        let (_, message) = signed("a.key");
        let mac = message.len() - 6 - 32;
        let mut short = message[..mac + to].to_vec();
        short.extend_from_slice(&message[mac + 32..]);
        short[mac - 1] = to as u8;
        // Owner, type, class and TTL are before the length.
        let length = mac - 10 - 13 - 2;
        let octets = u16::from_be_bytes([short[length], short[length + 1]]) - (32 - to as u16);
        short[length..length + 2].copy_from_slice(&octets.to_be_bytes());
        error(&short, NOW)
    };
    assert_eq!(cut(16), 22, "BADTRUNC");
    assert_eq!(cut(15), 1);
    assert_eq!(cut(0), 16);
}

#[test]
fn a_client_learns_why_it_was_refused() {
    let (mut client, request) = signed("a.key");
    let refused = |now: u64, keys: &Keys| -> Unverified {
        verify(keys, &request, now).expect("signed").expect_err("not good")
    };
    let mut answer = query();
    refused(NOW + 1000, &keys()).sign(&mut answer, NOW + 1000);
    assert_eq!(client.verify_answer(&answer, NOW), Err("the clocks of both sides differ (BADTIME)"));
    let mut answer = query();
    refused(NOW, &Keys::default()).sign(&mut answer, NOW);
    assert_eq!(client.verify_answer(&answer, NOW), Err("the other side does not know the key (BADKEY)"));
}

#[test]
fn a_key_is_checked_and_never_shown() {
    let wrong =
        |secret: &str| Key::new("k", Algorithm::HmacSha256, secret).expect_err("not a key").to_string();
    assert_eq!(wrong("not base 64!"), "its secret is not base 64");
    assert_eq!(wrong("MDEy"), "its secret has 3 bytes, fewer than the 16 that cannot be guessed");
    assert!(Key::new("a..b", Algorithm::HmacSha256, SECRET).is_err());
    assert_eq!(format!("{:?}", key("a.key")), "Key(a.key)");
}

proptest! {
    #[test]
    fn whatever_happens_to_a_signed_message_is_noticed(at in 0usize..110, change in 1u8..) {
        let (_, mut message) = signed("a.key");
        let at = at % message.len();
        // The identifier may change on the way: the original one is signed. Letters of the names of keys have no case.
        prop_assume!(at >= 2);
        let mut other = message.clone();
        other[at] ^= change;
        let is_case = change == 0x20 && other[at].is_ascii_alphabetic() && at > query().len();
        prop_assume!(!is_case);
        prop_assert!(!matches!(judge(&keys(), &other, NOW), Some(Ok(()))), "octet {at}");
        message[0] ^= change;
        prop_assert_eq!(judge(&keys(), &message, NOW), Some(Ok(())));
    }

    #[test]
    fn any_octets_are_judged(message in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = judge(&keys(), &message, NOW);
    }
}
