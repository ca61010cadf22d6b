//! A zone that is signed again: what is fresh stays, what is not is made anew, and keys take turns.

use super::world::{DAY, NOW, key, plan, signed};
use crate::answer::tests::world::plain_zone;
use crate::dnssec::signing::config::{Algorithm, DenialConfig, SignConfig};
use crate::dnssec::signing::{SignedZone, check};
use crate::zone::Zone;
use crate::zone::records::Record;
use domain::base::iana::Rtype;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn signatures(zone: &Zone) -> Vec<Record> {
    zone.records().filter(|record| record.rtype == Rtype::RRSIG).collect()
}

#[test]
fn only_what_changed_is_signed_again() {
    for denial in [DenialConfig::Nsec, DenialConfig::Nsec3] {
        let mut plan = plan(denial);
        let first =
            signed(&plain_zone("example.org", "a A 192.0.2.1\nb A 192.0.2.2\nc A 192.0.2.3"), None, &plan);
        plan.serial += 1;
        plan.now += DAY;
        let changed = plain_zone("example.org", "a A 192.0.2.1\nb A 192.0.2.9\nc A 192.0.2.3");
        let second = signed(&changed, Some(&first.zone), &plan);
        let (before, after) = (signatures(&first.zone), signatures(&second.zone));
        assert_eq!(before.len(), after.len());
        let made: Vec<&Record> = after.iter().filter(|record| !before.contains(record)).collect();
        // The SOA, and b.
        assert_eq!(made.len(), 2, "{made:?}");
    }
}

#[test]
fn signatures_are_made_anew_before_they_end() {
    let source = plain_zone("example.org", "a A 192.0.2.1");
    let mut plan = plan(DenialConfig::Nsec);
    let first = signed(&source, None, &plan);
    // A quarter of what is between the end and the renewal is up to chance.
    assert!((NOW + 14 * DAY - 7 * DAY / 4..=NOW + 14 * DAY).contains(&first.first_end));
    plan.now = first.first_end - 7 * DAY;
    let second = signed(&source, Some(&first.zone), &plan);
    let (before, after) = (signatures(&first.zone), signatures(&second.zone));
    assert!(after.iter().any(|record| !before.contains(record)));
    assert!(second.first_end > first.first_end);
    plan.now += 8 * DAY;
    let third = signed(&source, Some(&second.zone), &plan);
    assert!(signatures(&third.zone).iter().all(|record| !before.contains(record)));
}

#[test]
fn another_key_signs_everything_and_the_old_one_stays_known() {
    let source = plain_zone("example.org", "a A 192.0.2.1");
    let mut plan = plan(DenialConfig::Nsec);
    let first = signed(&source, None, &plan);
    let zone_key = key(Algorithm::EcdsaP256, false);
    plan.published.push(Arc::clone(&zone_key));
    plan.zone_signers = vec![zone_key];
    let second = signed(&source, Some(&first.zone), &plan);
    let apex = second.zone.apex_node();
    assert_eq!(apex.rrset(Rtype::DNSKEY).unwrap().records, 2);
    assert_eq!(
        (apex.rrset(Rtype::CDS).unwrap().records, apex.rrset(Rtype::CDNSKEY).unwrap().records),
        (1, 1)
    );
    let tag = |rtype| apex.signatures(rtype).unwrap().first_rdata()[16..18].to_vec();
    assert_eq!(tag(Rtype::DNSKEY), plan.entries[0].tag().to_be_bytes());
    assert_eq!(tag(Rtype::SOA), plan.zone_signers[0].tag().to_be_bytes());
}

fn at(seconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.into())
}

#[test]
fn the_serial_number_and_the_keys_are_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let source = plain_zone("example.org", "a A 192.0.2.1");
    let config = SignConfig::default();
    let first = SignedZone::new(config.clone(), folder.path(), Arc::clone(&source), None, at(NOW)).unwrap();
    assert_eq!(first.zone().figures().serial, 7, "that of the source");
    let again =
        SignedZone::new(config.clone(), folder.path(), Arc::clone(&source), None, at(NOW + 60)).unwrap();
    assert_eq!(again.zone().figures().serial, 8, "signatures were not kept and are others, so the zone is");
    let keys = |zone: &Zone| zone.apex_node().rrset(Rtype::DNSKEY).unwrap().first_rdata().to_vec();
    assert_eq!(keys(&first.zone()), keys(&again.zone()));
    // Nothing to do, nothing done.
    assert!(!again.step(at(NOW + 120)).unwrap());
    assert_eq!(again.zone().figures().serial, 8);
    // What is due says when.
    assert!(again.due() > u64::from(NOW) + 3600);
    let renewed = u64::from(again.first_end()) - 7 * u64::from(DAY);
    assert!(again.step(UNIX_EPOCH + Duration::from_secs(renewed)).unwrap());
    assert_eq!(again.zone().figures().serial, 9);
    // Other records.
    again.replace_source(&plain_zone("example.org", "a A 192.0.2.2"));
    assert_eq!(again.due(), 0);
    assert!(again.step(UNIX_EPOCH + Duration::from_secs(renewed + 1)).unwrap());
    assert_eq!(again.zone().figures().serial, 10);
    let status = again.status();
    assert_eq!(
        (status.keys.len(), status.keys[0].role.as_str(), status.keys[0].state.as_str()),
        (1, "csk", "active")
    );
    assert!(status.keys[0].ds.as_ref().unwrap().starts_with("example.org. IN DS "));
}

#[test]
fn a_zone_key_rolls_over_while_the_zone_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let source = plain_zone("example.org", "a A 192.0.2.1");
    let config = SignConfig {
        keys: crate::dnssec::KeyLayout::KskZsk,
        roll_over: Some(notation::Duration::secs(30 * 86_400)),
        ..SignConfig::default()
    };
    let zone = SignedZone::new(config, folder.path(), source, None, at(NOW)).unwrap();
    let signer =
        |zone: &Zone| zone.apex_node().signatures(Rtype::SOA).unwrap().first_rdata()[16..18].to_vec();
    let (mut signers, mut most, mut serial) = (vec![signer(&zone.zone())], 0, zone.zone().figures().serial);
    let end = u64::from(NOW) + 365 * 86_400;
    let mut steps = 0;
    while zone.due() < end {
        let now = zone.due();
        if zone.step(UNIX_EPOCH + Duration::from_secs(now)).unwrap() {
            let served = zone.zone();
            assert!(served.figures().serial > serial);
            serial = served.figures().serial;
            assert!(u64::from(zone.first_end()) > now + 6 * 86_400);
            if signer(&served) != *signers.last().unwrap() {
                signers.push(signer(&served));
            }
            most = most.max(served.apex_node().rrset(Rtype::DNSKEY).unwrap().records);
        }
        steps += 1;
        assert!(steps < 2000);
    }
    assert_eq!((signers.len(), most), (13, 3));
}

#[test]
fn what_is_signed_already_or_holds_what_is_made_here_is_refused() {
    let why = |zone: &Zone| check(zone, &SignConfig::default(), false).unwrap_err().to_string();
    let plain = plain_zone("example.org", "a A 192.0.2.1");
    assert!(check(&plain, &SignConfig::default(), false).is_ok());
    let signed = signed(&plain, None, &plan(DenialConfig::Nsec)).zone;
    assert!(why(&signed).contains("it is signed already"));
    assert!(why(&plain_zone("example.org", "*.a NS ns.elsewhere.test.")).contains("NS at a wildcard"));
    assert!(why(&plain_zone("example.org", "a NSEC b A")).contains("which are made here"));
}

#[test]
fn keys_of_another_algorithm_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let source = plain_zone("example.org", "a A 192.0.2.1");
    SignedZone::new(SignConfig::default(), folder.path(), Arc::clone(&source), None, at(NOW)).unwrap();
    let other = SignConfig { algorithm: Algorithm::Ed25519, ..SignConfig::default() };
    let said = SignedZone::new(other, folder.path(), source, None, at(NOW)).unwrap_err().to_string();
    assert!(said.contains("is of algorithm 13, not of 15"), "{said}");
}
