//! Any question about any small zone is answered as the reference answers it, and any bytes are answered or not, but whole.

use super::reference::{APEX, Labels, Store, labels};
use super::world::{ask, read, zones};
use crate::{Facts, Query, Rtype, Transport, ZoneBuilder, Zones, answer, reject};
use proptest::prelude::*;
use std::sync::Arc;

const LABELS: [&str; 4] = ["a", "b", "*", "x-1"];

pub(crate) fn name() -> impl Strategy<Value = Labels> {
    proptest::collection::vec(proptest::sample::select(&LABELS[..]), 0..4)
        .prop_map(|below| [APEX].into_iter().chain(below).map(str::to_owned).collect())
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => name().prop_map(|name| format!("{}.", super::reference::text(&name))),
        1 => Just("elsewhere.".to_owned()),
    ]
}

pub(crate) fn record() -> impl Strategy<Value = (Labels, Rtype, String)> {
    let data = prop_oneof![
        4 => (0..4u8).prop_map(|last| (Rtype::A, format!("192.0.2.{last}"))),
        2 => target().prop_map(|target| (Rtype::CNAME, target)),
        2 => target().prop_map(|target| (Rtype::NS, target)),
        1 => target().prop_map(|target| (Rtype::DNAME, target)),
        2 => (0..3u8, target()).prop_map(|(preference, target)| (Rtype::MX, format!("{preference} {target}"))),
    ];
    (name(), data).prop_map(|(name, (rtype, data))| (name, rtype, data))
}

fn served(store: &Store) -> Zones {
    let mut builder = ZoneBuilder::new(APEX.parse().expect("a name"));
    builder.lines("test", store.lines());
    zones([Arc::new(builder.finish().unwrap_or_else(|error| panic!("{error}")).zone)])
}

const TYPES: [Rtype; 7] = [Rtype::A, Rtype::CNAME, Rtype::NS, Rtype::DNAME, Rtype::MX, Rtype::DS, Rtype::SOA];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 150 } else { 20_000 }))]

    #[test]
    fn answers_are_those_of_the_reference(
        records in proptest::collection::vec(record(), 0..12),
        asked in proptest::collection::vec(name(), 12),
    ) {
        let store = Store::new(&records);
        let zones = served(&store);
        let known = records.iter().map(|(name, _, _)| name.clone());
        for name in asked.into_iter().chain(known) {
            let name = super::reference::text(&name);
            for rtype in TYPES {
                let mut got = ask(&zones, &format!("{name} {rtype}"));
                for section in [&mut got.answer, &mut got.authority, &mut got.additional] {
                    section.sort();
                }
                let expected = store.answer(&name, rtype);
                let got = (got.status(), got.answer, got.authority, got.additional);
                let expected = (expected.status, expected.answer, expected.authority, expected.additional);
                prop_assert_eq!(got, expected, "{} {} of\n{}", name, rtype, store.lines().join("\n"));
            }
        }
    }

    #[test]
    fn a_response_echoes_the_question_and_fits(
        records in proptest::collection::vec(record(), 0..40),
        name in name(),
        flips in any::<u64>(),
        rtype in any::<u16>(),
        payload in any::<u16>(),
        is_edns in any::<bool>(),
    ) {
        let zones = served(&Store::new(&records));
        let mut message = super::world::question(
            &super::reference::text(&name), Rtype::from_int(rtype), crate::Class::IN,
        );
        for (bit, byte) in message[12..].iter_mut().enumerate() {
            if byte.is_ascii_alphabetic() && flips >> (bit % 64) & 1 == 1 {
                *byte = byte.to_ascii_uppercase();
            }
        }
        let question = message[12..].to_vec();
        if is_edns {
            super::edns::add_opt(&mut message, payload, [0; 4], &[]);
        }
        let query = Query::parse(&message).expect("a query");
        let mut out = Vec::new();
        answer(&zones, &query, &Facts::of_transport(Transport::Udp), &mut out);
        read(&out);
        prop_assert_eq!(&out[12..12 + question.len()], &question[..]);
        let limit = if is_edns { payload.clamp(512, 1232) } else { 512 };
        prop_assert!(out.len() <= usize::from(limit));
    }

    #[test]
    fn any_bytes_are_answered_whole_or_not_at_all(mut bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let zones = served(&Store::new(&[]));
        // As it is, and with a header that lets it pass further.
        for attempt in 0..2 {
            if attempt == 1 && bytes.len() > 12 {
                bytes[2..12].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
            }
            let mut out = Vec::new();
            let facts = Facts::of_transport(Transport::Udp);
            match Query::parse(&bytes) {
                Ok(query) => { answer(&zones, &query, &facts, &mut out); }
                Err(rejection) => {
                    let outcome = reject(&rejection, &facts, &mut out);
                    prop_assert_eq!(outcome.is_some(), rejection.is_answered());
                    if outcome.is_none() {
                        prop_assert!(out.is_empty());
                        prop_assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0);
                        continue;
                    }
                }
            }
            read(&out);
            prop_assert_eq!(&out[..2], &bytes[..2]);
        }
    }
}

#[test]
fn the_reference_follows_the_rfc() {
    let store = Store::new(&[
        (labels("*.w.test"), Rtype::A, "192.0.2.1".to_owned()),
        (labels("a.test"), Rtype::CNAME, "x.w.test.".to_owned()),
    ]);
    let expected = store.answer("a.test", Rtype::A);
    assert_eq!(expected.status, "NOERROR aa");
    assert_eq!(expected.answer, ["a.test 60 CNAME x.w.test.", "x.w.test 60 A 192.0.2.1"]);
}
