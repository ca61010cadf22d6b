//! What updates do, and what of it is on disk.

use super::decide::decide;
use super::journal::{Entries, Journal, fingerprint, read};
use super::request::{FORMERR, NOTZONE, NXDOMAIN, NXRRSET, REFUSED, Request, YXDOMAIN, YXRRSET};
use super::rules::{Pattern, UpdateRule, UpdateRules};
use super::{content_on_disk, judge_update};
use crate::protocol::Name;
use crate::transfer::{Access, Difference, Overlay};
use crate::zone::{Record, Zone, ZoneBuilder};
use domain::base::iana::{Class, Rtype};
use proptest::prelude::*;
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

const LINES: &str = "$TTL 60
@ SOA ns a 7 1 1 1 1
@ NS ns
@ MX 1 mx
ns A 192.0.2.53
www A 192.0.2.1
www A 192.0.2.2
www TXT Text
alias CNAME www
a.b.c A 192.0.2.3
mx AAAA ::1
";

fn zone() -> Zone {
    built(LINES)
}

fn built(lines: &str) -> Zone {
    let mut builder = ZoneBuilder::new("u.test".parse().expect("a name"));
    builder.text("zone", lines.as_bytes());
    builder.finish().expect("a good zone").zone
}

fn name(text: &str) -> Name {
    let text = if text == "@" { "u.test".to_owned() } else { format!("{text}.u.test") };
    text.parse().expect("a name")
}

/// A record of a message: class, TTL, data.
#[derive(Debug, Clone)]
struct Of(Name, Rtype, Class, u32, Vec<u8>);

fn message(prerequisites: &[Of], changes: &[Of]) -> Vec<u8> {
    let mut message = vec![0, 1, 0x28, 0, 0, 1, 0, prerequisites.len() as u8, 0, changes.len() as u8, 0, 0];
    message.extend_from_slice(b"\x01u\x04test\0\0\x06\0\x01");
    for Of(owner, rtype, class, ttl, data) in prerequisites.iter().chain(changes) {
        message.extend_from_slice(owner.as_wire());
        message.extend_from_slice(&rtype.to_int().to_be_bytes());
        message.extend_from_slice(&class.to_int().to_be_bytes());
        message.extend_from_slice(&ttl.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}

fn changed(changes: &[Of]) -> Result<Option<Zone>, u8> {
    judge_update(&zone(), &message(&[], changes))
}

fn a(last: u8) -> Vec<u8> {
    vec![192, 0, 2, last]
}

fn add(owner: &str, rtype: Rtype, ttl: u32, data: &[u8]) -> Of {
    Of(name(owner), rtype, Class::IN, ttl, data.to_vec())
}

fn delete(owner: &str, rtype: Rtype, data: &[u8]) -> Of {
    Of(name(owner), rtype, Class::NONE, 0, data.to_vec())
}

fn delete_all(owner: &str, rtype: Rtype) -> Of {
    Of(name(owner), rtype, Class::ANY, 0, Vec::new())
}

/// The records of a name and type: TTL and data.
fn of(zone: &Zone, owner: &str, rtype: Rtype) -> Vec<(u32, Vec<u8>)> {
    let owner = name(owner);
    let all = zone.records().filter(|record| *record.owner == *owner.as_wire() && record.rtype == rtype);
    all.map(|record| (record.ttl, record.data.to_vec())).collect()
}

fn new(changes: &[Of]) -> Zone {
    changed(changes).expect("it is allowed").expect("it changes something")
}

fn wire(text: &str) -> Vec<u8> {
    name(text).as_wire().to_vec()
}

#[test]
fn prerequisites_hold_or_say_which_does_not() {
    let with = |prerequisite: Of| judge_update(&zone(), &message(&[prerequisite], &[])).err();
    let any = |owner: &str, rtype, class| Of(name(owner), rtype, class, 0, Vec::new());
    assert_eq!(with(any("www", Rtype::ANY, Class::ANY)), None);
    assert_eq!(with(any("none", Rtype::ANY, Class::ANY)), Some(NXDOMAIN));
    assert_eq!(with(any("b.c", Rtype::ANY, Class::ANY)), Some(NXDOMAIN), "nothing but names below it");
    assert_eq!(with(any("none", Rtype::ANY, Class::NONE)), None);
    assert_eq!(with(any("www", Rtype::ANY, Class::NONE)), Some(YXDOMAIN));
    assert_eq!(with(any("www", Rtype::A, Class::ANY)), None);
    assert_eq!(with(any("www", Rtype::MX, Class::ANY)), Some(NXRRSET));
    assert_eq!(with(any("www", Rtype::MX, Class::NONE)), None);
    assert_eq!(with(any("www", Rtype::A, Class::NONE)), Some(YXRRSET));
    let is = |last: u8| Of(name("www"), Rtype::A, Class::IN, 0, a(last));
    let both = |one, other| judge_update(&zone(), &message(&[one, other], &[])).err();
    assert_eq!(both(is(2), is(1)), None);
    assert_eq!(with(is(1)), Some(NXRRSET), "all of it");
    assert_eq!(both(is(1), is(3)), Some(NXRRSET));
    let mut later = is(1);
    later.3 = 1;
    assert_eq!(with(later), Some(FORMERR), "a TTL");
    assert_eq!(with(Of(name("www"), Rtype::A, Class::ANY, 0, a(1))), Some(FORMERR), "data");
    assert_eq!(with(Of(name("www"), Rtype::ANY, Class::IN, 0, a(1))), Some(FORMERR));
    assert_eq!(with(Of(name("www"), Rtype::A, Class::CH, 0, a(1))), Some(FORMERR));
    let elsewhere = "x.elsewhere.test".parse().expect("a name");
    assert_eq!(with(Of(elsewhere, Rtype::ANY, Class::ANY, 0, Vec::new())), Some(NOTZONE));
}

#[test]
fn what_is_malformed_changes_nothing() {
    let good = add("x", Rtype::A, 1, &a(9));
    let wrong = |change: Of| changed(&[good.clone(), change]).err();
    assert_eq!(wrong(add("y", Rtype::ANY, 1, &[])), Some(FORMERR));
    assert_eq!(wrong(add("y", Rtype::AXFR, 1, &[])), Some(FORMERR));
    assert_eq!(wrong(add("y", Rtype::A, 1, &[1, 2, 3])), Some(FORMERR));
    assert_eq!(wrong(add("y", Rtype::MX, 1, &[0, 1, 3])), Some(FORMERR));
    assert_eq!(wrong(Of(name("y"), Rtype::A, Class::ANY, 1, Vec::new())), Some(FORMERR));
    assert_eq!(wrong(Of(name("y"), Rtype::A, Class::NONE, 1, a(1))), Some(FORMERR));
    assert_eq!(wrong(Of(name("y"), Rtype::ANY, Class::NONE, 0, Vec::new())), Some(FORMERR));
    let elsewhere = "x.elsewhere.test".parse().expect("a name");
    assert_eq!(wrong(Of(elsewhere, Rtype::A, Class::IN, 1, a(1))), Some(NOTZONE));
}

#[test]
fn records_are_added_and_deleted_as_they_say() {
    let zone = new(&[add("www", Rtype::A, 300, &a(3)), delete("www", Rtype::A, &a(1))]);
    assert_eq!(of(&zone, "www", Rtype::A), [(300, a(2)), (300, a(3))], "an RRset has one TTL");
    assert_eq!(zone.figures().serial, 8);
    let zone = new(&[delete_all("www", Rtype::ANY), add("www", Rtype::CNAME, 1, &wire("ns"))]);
    assert_eq!(of(&zone, "www", Rtype::CNAME).len(), 1);
    let zone = new(&[add("alias", Rtype::CNAME, 1, &wire("ns"))]);
    assert_eq!(of(&zone, "alias", Rtype::CNAME), [(1, wire("ns"))], "there is one at most");
    let zone = new(&[delete("www", Rtype::TXT, b"\x04Text")]);
    assert!(of(&zone, "www", Rtype::TXT).is_empty());
    let zone = new(&[delete("@", Rtype::MX, &[&[0, 1][..], b"\x02MX\x01U\x04TEST\0"].concat())]);
    assert!(of(&zone, "@", Rtype::MX).is_empty(), "names have no case");
}

#[test]
fn some_changes_are_passed_over() {
    let nothing = |changes: &[Of]| assert!(changed(changes).expect("it is allowed").is_none());
    nothing(&[add("www", Rtype::CNAME, 1, &wire("ns"))]);
    nothing(&[add("alias", Rtype::A, 1, &a(1))]);
    nothing(&[delete_all("@", Rtype::NS), delete_all("@", Rtype::SOA)]);
    nothing(&[delete("@", Rtype::NS, &wire("ns"))]);
    nothing(&[delete("www", Rtype::TXT, b"\x04text")]);
    nothing(&[delete_all("none", Rtype::ANY)]);
    nothing(&[add("www", Rtype::A, 60, &a(1)), delete("www", Rtype::A, &a(9))]);
    nothing(&[delete("www", Rtype::A, &a(1)), add("www", Rtype::A, 60, &a(1))]);
    let zone = new(&[delete_all("@", Rtype::ANY)]);
    assert!(of(&zone, "@", Rtype::MX).is_empty() && of(&zone, "@", Rtype::NS).len() == 1);
    let soa = |serial: u32| {
        let mut data = [wire("ns"), wire("x")].concat();
        [serial, 1, 1, 1, 1].iter().for_each(|number| data.extend_from_slice(&number.to_be_bytes()));
        data
    };
    nothing(&[add("@", Rtype::SOA, 60, &soa(7))]);
    nothing(&[add("www", Rtype::SOA, 60, &soa(9))]);
    assert_eq!(new(&[add("@", Rtype::SOA, 60, &soa(20))]).figures().serial, 20);
    assert_eq!(changed(&[add("x", Rtype::RRSIG, 1, &[0; 30])]).err(), Some(REFUSED), "signers make these");
}

#[test]
fn a_key_may_what_its_rules_say() {
    let zone = built(LINES);
    let apex = zone.apex().clone();
    let access = Access { networks: Vec::new(), key: Some(name("key")) };
    let names = ["*.dyn", "exact"].map(|pattern| Pattern::parse(pattern, &apex).expect("a name"));
    let rules = UpdateRules(vec![UpdateRule::new(access, names.to_vec(), vec![Rtype::A])]);
    let may = |change: Of, key: Option<Name>| {
        let request = Request::parse(&message(&[], &[change]), &apex).expect("it is well-formed");
        let client = IpAddr::from([127, 0, 0, 1]);
        decide(&request, &mut Overlay::new(&zone), &rules, client, key.as_ref(), None).is_ok()
    };
    let key = || Some(name("key"));
    assert!(may(add("x.dyn", Rtype::A, 1, &a(1)), key()) && may(add("exact", Rtype::A, 1, &a(1)), key()));
    assert!(may(delete_all("exact", Rtype::A), key()));
    assert!(!may(add("dyn", Rtype::A, 1, &a(1)), key()) && !may(add("x.exact", Rtype::A, 1, &a(1)), key()));
    assert!(
        !may(add("exact", Rtype::TXT, 1, b"\x01x"), key()) && !may(delete_all("exact", Rtype::ANY), key())
    );
    assert!(
        !may(add("exact", Rtype::A, 1, &a(1)), None)
            && !may(add("exact", Rtype::A, 1, &a(1)), Some(name("x")))
    );
}

fn difference(zone: &Zone, changes: &[Of]) -> (Difference, Zone) {
    let made =
        judge_update(zone, &message(&[], changes)).expect("it is allowed").expect("it changes something");
    (Difference::between(zone, &made), made)
}

fn sorted(zone: &Zone) -> Vec<Record> {
    let mut all: Vec<Record> = zone.records().collect();
    all.sort();
    all
}

/// A journal with two entries, the folder it is in, the zone before and after.
fn journalled() -> (tempfile::TempDir, std::path::PathBuf, Arc<Zone>, Zone) {
    let dir = tempfile::tempdir().expect("a folder");
    let base = Arc::new(zone());
    let path = super::journal::path(dir.path(), base.apex());
    let (mut journal, entries) = Journal::open(&path).expect("there is room").expect("nobody has it");
    assert!(entries.base.is_none());
    assert!(Journal::open(&path).expect("there is room").is_none(), "one has it");
    journal.rewrite(&fingerprint(&base), None).expect("there is room");
    let (first, zone) = difference(&base, &[add("one", Rtype::A, 1, &a(1)), delete_all("www", Rtype::A)]);
    let (second, zone) =
        difference(&zone, &[add("two", Rtype::MX, 1, &[&[0, 1][..], &wire("www")].concat())]);
    journal.append(&first).expect("there is room");
    journal.append(&second).expect("there is room");
    (dir, path, base, zone)
}

#[test]
fn what_was_appended_is_laid_over_the_file_again() {
    let (dir, path, base, after) = journalled();
    let content = content_on_disk(dir.path(), &base).expect("it fits");
    assert_eq!(sorted(&content), sorted(&after));
    let (mut journal, entries) = Journal::open(&path).expect("it is there").expect("nobody has it");
    assert_eq!(entries.differences.len(), 2);
    let net = Difference::between(&base, &after);
    journal.rewrite(&fingerprint(&base), Some(&net)).expect("there is room");
    assert_eq!(read(&path).expect("it is there").differences, [net]);
    assert_eq!(sorted(&content_on_disk(dir.path(), &base).expect("it fits")), sorted(&after));
}

#[test]
fn a_torn_end_is_cut_off_and_nothing_else() {
    let (_dir, path, _, _) = journalled();
    let bytes = fs::read(&path).expect("it is there");
    let count = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("it can be written");
        read(&path).map(|Entries { differences, .. }| differences.len()).ok()
    };
    let first = (0..bytes.len()).find(|at| count(&bytes[..*at]) == Some(1)).expect("one is shorter");
    for at in 0..bytes.len() {
        let expected = if at < 48 { None } else { Some(usize::from(at >= first)) };
        assert_eq!(count(&bytes[..at]), expected, "cut at {at}");
        let mut filled = bytes.clone();
        filled[at..].fill(0);
        if at >= 48 {
            // An entry may end with zeroes of its own.
            let whole = [first, bytes.len()].iter().filter(|end| filled[..**end] == bytes[..**end]).count();
            assert_eq!(count(&filled), Some(whole), "zeroes from {at}");
        }
    }
    for at in 48..first {
        let mut broken = bytes.clone();
        broken[at] ^= 4;
        assert_eq!(count(&broken), None, "what was acknowledged is not passed over, octet {at}");
    }
    // After a cut it goes on from there.
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("it can be written");
    let (mut journal, entries) = Journal::open(&path).expect("it is there").expect("nobody has it");
    assert_eq!(entries.differences.len(), 1);
    journal.append(&entries.differences[0].clone()).expect("there is room");
    assert_eq!(read(&path).expect("it is there").differences.len(), 2);
}

#[test]
fn nothing_is_appended_to_a_journal_that_a_restart_would_not_read() {
    let (dir, path, base, _) = journalled();
    let (mut journal, entries) = Journal::open(&path).expect("it is there").expect("nobody has it");
    let again = entries.differences[0].clone();
    // No other one can be written: the one that is there goes on.
    let new = crate::records_file::beside(&path, &format!("{}.new", std::process::id()));
    fs::create_dir(&new).expect("there is room");
    journal.rewrite(&fingerprint(&base), None).expect_err("there is a folder in its place");
    journal.append(&again).expect("it is the same file");
    assert_eq!(read(&path).expect("it is there").differences.len(), 3);
    // Another one was written, but is not known to be there.
    let other = dir.path().join("other");
    fs::copy(&path, &other).and_then(|_| fs::rename(&other, &path)).expect("there is room");
    journal.rewrite(&fingerprint(&base), None).expect_err("there is a folder in its place");
    journal.append(&again).expect_err("it would be gone after a restart");
}

#[test]
fn zones_have_journals_of_their_own_whatever_they_are_called() {
    let dir = tempfile::tempdir().expect("a folder");
    let opened = ["u.test", "u.test.lock"].map(|apex| {
        let path = super::journal::path(dir.path(), &apex.parse().expect("a name"));
        Journal::open(&path).expect("there is room").expect("nobody has it")
    });
    assert!(opened.iter().all(|(_, entries)| entries.base.is_none()));
}

#[test]
fn a_journal_is_laid_over_another_file() {
    let (dir, _, _, _) = journalled();
    let over = |lines: &str| content_on_disk(dir.path(), &Arc::new(built(lines)));
    let same_serial = over(&format!("{LINES}new A 192.0.2.77\n")).expect("it fits");
    assert_eq!(same_serial.figures().serial, 10, "the journal ended with 9");
    for owner in ["one", "new", "a.b.c"] {
        assert_eq!(of(&same_serial, owner, Rtype::A).len(), 1, "{owner}");
    }
    assert!(of(&same_serial, "www", Rtype::A).is_empty());
    let newer = over(&LINES.replace(" 7 1 1", " 700 1 1")).expect("it fits");
    assert_eq!(newer.figures().serial, 700);
    let conflict = over(&format!("{LINES}one CNAME www\n")).expect_err("it is both");
    assert!(conflict.contains("one.u.test has a CNAME"), "{conflict}");
}

fn change() -> impl Strategy<Value = Of> {
    let owner = prop_oneof!["[a-c]", Just("@".to_owned()), Just("a.b".to_owned()), Just("www".to_owned())];
    let data = prop_oneof![
        (1u8..4).prop_map(|last| (Rtype::A, a(last))),
        "[xyX]".prop_map(|text| (Rtype::TXT, [&[1], text.as_bytes()].concat())),
        "[a-c]".prop_map(|target| (Rtype::CNAME, wire(&target))),
        "[a-c]".prop_map(|target| (Rtype::NS, wire(&target))),
        "[a-c]".prop_map(|target| (Rtype::DNAME, wire(&target))),
    ];
    (owner, data, 0u8..4, 0u32..3).prop_map(|(owner, (rtype, data), kind, ttl)| match kind {
        0 => delete(&owner, rtype, &data),
        1 => delete_all(&owner, rtype),
        2 if ttl == 0 => delete_all(&owner, Rtype::ANY),
        _ => add(&owner, rtype, ttl, &data),
    })
}

proptest! {
    #[test]
    fn any_update_makes_a_zone_or_nothing_and_its_difference_makes_the_same(
        changes in proptest::collection::vec(change(), 0..8)
    ) {
        let zone = zone();
        let Ok(Some(made)) = judge_update(&zone, &message(&[], &changes)) else { return Ok(()) };
        prop_assert!(made.figures().serial == 8 && !of(&made, "@", Rtype::NS).is_empty());
        let mut overlay = Overlay::new(&zone);
        overlay.apply(&Difference::between(&zone, &made)).expect("it begins there");
        let same = overlay.build("test").expect("a zone");
        prop_assert_eq!(sorted(&same), sorted(&made));
    }

    #[test]
    fn any_octets_are_an_update_or_not(at in 0usize..400, octet: u8, octets in proptest::collection::vec(any::<u8>(), 0..100)) {
        let zone = zone();
        let _ = judge_update(&zone, &octets);
        let mut message = message(&[delete_all("www", Rtype::A)], &[add("x", Rtype::MX, 1, &[&[0, 1][..], &wire("www")].concat())]);
        let at = at % message.len();
        message[at] = octet;
        let _ = judge_update(&zone, &message);
    }
}
