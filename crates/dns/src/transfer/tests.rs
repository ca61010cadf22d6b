//! Zones on their way out and in again.

use super::{
    Access, Asked, Difference, History, Incoming, IncomingFault, Outgoing, Plan, Received, applied, is_newer,
};
use crate::protocol::{MESSAGE_BYTES_MAX, Name};
use crate::zone::{Record, Zone, ZoneBuilder};
use proptest::prelude::*;
use std::sync::Arc;

const HEAD: &str = "$TTL 60\n@ NS ns\n@ NS ns.elsewhere.test.\nns A 192.0.2.53\n";

fn zone(serial: u32, lines: &str) -> Arc<Zone> {
    let mut builder = ZoneBuilder::new("example.org".parse().expect("a name"));
    builder.text("zone", format!("{HEAD}@ SOA ns admin {serial} 2 3 4 5\n{lines}").as_bytes());
    Arc::new(builder.finish().unwrap_or_else(|error| panic!("{error}")).zone)
}

fn records(zone: &Zone) -> Vec<Record> {
    let mut all: Vec<Record> = zone.records().collect();
    all.sort();
    all
}

/// Header and question of a query.
fn head(asked: Asked) -> Vec<u8> {
    let mut head = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07example\x03org\0".to_vec();
    head.extend_from_slice(&asked.rtype().to_int().to_be_bytes());
    head.extend_from_slice(&[0, 1]);
    head
}

fn messages(zone: &Arc<Zone>, plan: Plan, asked: Asked) -> Vec<Vec<u8>> {
    let mut outgoing = Outgoing::new(zone, plan, &head(asked), true);
    let mut all = Vec::new();
    let mut message = Vec::new();
    while outgoing.next_message(&mut message, MESSAGE_BYTES_MAX, 400) == Ok(true) {
        assert!(message.len() <= 0x3fff + 11 || message[7] == 1, "{} octets", message.len());
        all.push(message.clone());
    }
    assert!(outgoing.is_done());
    all
}

fn receive(asked: Asked, messages: &[Vec<u8>]) -> Result<Received, IncomingFault> {
    let apex: Name = "example.org".parse().expect("a name");
    let mut incoming = Incoming::new(apex, asked, 0x1234, 1 << 20);
    for (nth, message) in messages.iter().enumerate() {
        if incoming.take(message)? {
            assert_eq!(nth, messages.len() - 1);
        }
    }
    incoming.finish()
}

#[test]
fn a_zone_comes_over_whole() {
    let lines: String =
        (0..2000).map(|nth| format!("n{nth} TXT \"{nth:0>50}\"\nn{nth} A 192.0.2.1\n")).collect();
    let zone = zone(7, &lines);
    let sent = messages(&zone, Plan::Whole, Asked::Whole);
    assert!(sent.len() > 5);
    for asked in [Asked::Whole, Asked::Since(6)] {
        let sent = messages(&zone, Plan::Whole, asked);
        let Ok(Received::Whole(received)) = receive(asked, &sent) else { panic!("it is whole") };
        assert_eq!(records(&received), records(&zone));
    }
}

#[test]
fn differences_make_the_new_zone_of_the_old() {
    let states = [
        zone(1, "a A 192.0.2.1\na A 192.0.2.2\nb TXT x\nc.d MX 1 a\n"),
        zone(2, "a A 192.0.2.1\na 300 AAAA ::1\nb TXT y\nc.d MX 1 a\n"),
        zone(3, "a A 192.0.2.1\nb TXT y\ne.f.g CNAME a\n"),
    ];
    let mut history = History::default();
    for pair in states.windows(2) {
        history.push(Difference::between(&pair[0], &pair[1]));
    }
    for (from, state) in [(1, &states[0]), (2, &states[1])] {
        let differences = history.between(from, 3).expect("it is there");
        let sent = messages(&states[2], Plan::Differences(differences), Asked::Since(from));
        let Ok(Received::Differences(differences)) = receive(Asked::Since(from), &sent) else {
            panic!("there are differences");
        };
        let made = applied(state, &differences).expect("they fit");
        assert_eq!(records(&made), records(&states[2]));
        assert!(applied(&states[2], &differences).is_err(), "they begin elsewhere");
    }
    assert!(history.between(3, 3).is_none() && history.between(0, 3).is_none());
    let sent = messages(&states[2], Plan::Soa, Asked::Since(3));
    assert!(matches!(receive(Asked::Since(3), &sent), Ok(Received::Current)));
    let older = receive(Asked::Since(4), &sent).err();
    assert_eq!(older, Some(IncomingFault::Older { theirs: 3, ours: 4 }), "it confirms nothing");
}

#[test]
fn a_history_is_bounded_and_has_no_gap() {
    let mut history = History::default();
    let difference =
        |from: u32| Difference::between(&zone(from, "a A 192.0.2.1\n"), &zone(from + 1, "a A 192.0.2.2\n"));
    (0..150).for_each(|from| history.push(difference(from)));
    assert!(history.between(49, 150).is_none());
    assert_eq!(history.between(50, 150).map(|all| all.len()), Some(100));
    history.push(difference(200));
    assert!(history.between(149, 150).is_none(), "what does not lead on is forgotten");
    assert!(history.between(200, 201).is_some());
}

#[test]
fn what_is_no_transfer_of_the_zone_is_refused() {
    let (old, zone) = (zone(6, ""), zone(7, "a A 192.0.2.1\n"));
    let good = messages(&zone, Plan::Whole, Asked::Whole).remove(0);
    let said = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = good.clone();
        change(&mut message);
        receive(Asked::Whole, &[message]).err().map(|fault| fault.to_string()).unwrap_or_default()
    };
    assert_eq!(said(&|_| {}), "");
    assert_eq!(said(&|message| message[0] = 0), "a message is no answer to what was asked");
    assert_eq!(said(&|message| message[2] &= 0x7f), "a message is no answer to what was asked");
    assert_eq!(said(&|message| message[3] = 5), "the other side answered REFUSED");
    assert_eq!(said(&|message| message[2] |= 2), "a message is truncated, or has several questions");
    assert_eq!(said(&|message| message[13] = b'x'), "a message answers another question");
    assert_eq!(said(&|message| message.truncate(60)), "a message is malformed");
    assert_eq!(said(&|message| message[7] -= 1), "it ended before its end");
    let difference = Arc::new(Difference::between(&old, &zone));
    let sent = messages(&zone, Plan::Differences(vec![difference]), Asked::Since(6));
    assert!(receive(Asked::Since(5), &sent).is_err(), "it begins elsewhere");
    let mut twice = sent.clone();
    twice.push(sent[0].clone());
    let apex: Name = "example.org".parse().expect("a name");
    let mut incoming = Incoming::new(apex.clone(), Asked::Since(6), 0x1234, 1 << 20);
    assert_eq!(incoming.take(&sent[0]), Ok(true));
    assert!(incoming.take(&sent[0]).is_err(), "records follow its end");
    let mut incoming = Incoming::new(apex, Asked::Whole, 0x1234, 100);
    assert_eq!(incoming.take(&good), Err(IncomingFault::TooLarge(100)));
}

#[test]
fn who_may_is_said_by_networks_and_a_key() {
    let key = |name: &str| name.parse::<Name>().expect("a name");
    let near = "192.0.2.7".parse().expect("an address");
    let far = "198.51.100.7".parse().expect("an address");
    let networks = vec!["192.0.2.0/24".parse().expect("a network")];
    let (right, wrong) = (key("right"), key("wrong"));
    let by_network = Access { networks: networks.clone(), key: None };
    assert!(by_network.allows(near, None) && !by_network.allows(far, None));
    assert!(by_network.allows("::ffff:192.0.2.7".parse().expect("an address"), None));
    let by_key = Access { networks: Vec::new(), key: Some(right.clone()) };
    assert!(
        by_key.allows(far, Some(&right)) && !by_key.allows(far, Some(&wrong)) && !by_key.allows(far, None)
    );
    let by_both = Access { networks, key: Some(right.clone()) };
    assert!(by_both.allows(near, Some(&right)) && !by_both.allows(far, Some(&right)));
    assert!(!by_both.allows(near, None));
    assert!(!Access::default().allows(near, Some(&right)), "closed");
}

#[test]
fn serial_numbers_go_round() {
    assert!(is_newer(1, 0) && is_newer(0, u32::MAX) && is_newer(5, u32::MAX - 5));
    assert!(!is_newer(0, 0) && !is_newer(0, 1) && !is_newer(u32::MAX, 0));
    assert!(!is_newer(0, 1 << 31) && !is_newer(1 << 31, 0), "there is no order between these");
}

fn lines() -> impl Strategy<Value = String> {
    let line = (
        "[a-c](\\.[a-c]){0,2}",
        prop_oneof![
            (1u8..4).prop_map(|last| format!("A 192.0.2.{last}")),
            "[xy]".prop_map(|text| format!("TXT {text}")),
            "[a-c]".prop_map(|name| format!("MX 1 {name}")),
            "[a-c]".prop_map(|name| format!("SRV 1 1 1 {name}.far.test.")),
        ],
    )
        .prop_map(|(owner, data)| format!("{owner} {data}\n"));
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn any_two_states_differ_by_what_makes_one_of_the_other(old in lines(), new in lines()) {
        let (old, new) = (zone(1, &old), zone(2, &new));
        let difference = Difference::between(&old, &new);
        let made = applied(&old, std::slice::from_ref(&difference)).expect("it fits");
        prop_assert_eq!(records(&made), records(&new));
        let sent = messages(&new, Plan::Differences(vec![Arc::new(difference.clone())]), Asked::Since(1));
        let Ok(Received::Differences(received)) = receive(Asked::Since(1), &sent) else { panic!("differences") };
        prop_assert_eq!(received, vec![difference]);
    }

    #[test]
    fn any_octets_are_refused_or_taken(message in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400, octet: u8) {
        let apex: Name = "example.org".parse().expect("a name");
        let _ = Incoming::new(apex.clone(), Asked::Whole, 0, 1 << 16).take(&message);
        let mut sent = messages(&zone(7, "a MX 1 b\n"), Plan::Whole, Asked::Since(1)).remove(0);
        let at = at % sent.len();
        sent[at] = octet;
        let _ = Incoming::new(apex, Asked::Since(1), 0x1234, 1 << 16).take(&sent);
    }
}
