//! Signatures that outlive a restart, and zones whose content comes and goes.

use super::world::{DAY, NOW};
use crate::answer::tests::world::plain_zone;
use crate::dnssec::signing::SignedZone;
use crate::dnssec::signing::config::{DenialConfig, SignConfig};
use crate::transfer::{Difference, applied};
use crate::zone::{Record, Zone};
use domain::base::iana::Rtype;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LINES: &str = "a A 192.0.2.1\nb A 192.0.2.2\nb TXT text\nsub NS ns.sub\nns.sub A 192.0.2.3\nsub DS 1 13 2 \
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n*.w MX 5 Mail";

fn at(seconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.into())
}

fn config(denial: DenialConfig) -> SignConfig {
    SignConfig { denial, keys: crate::dnssec::KeyLayout::KskZsk, ..SignConfig::default() }
}

fn signed(config: &SignConfig, folder: &Path, lines: &str, now: u32) -> SignedZone {
    SignedZone::new(config.clone(), folder, plain_zone("example.org", lines), None, at(now)).expect("keys")
}

fn records(zone: &Zone) -> Vec<Record> {
    let mut all: Vec<Record> = zone.records().collect();
    all.sort();
    all
}

fn signatures(zone: &Zone) -> Vec<Record> {
    records(zone).into_iter().filter(|record| record.rtype == Rtype::RRSIG).collect()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("example.org/signatures")
}

#[test]
fn a_zone_is_the_same_after_a_restart() {
    for denial in [DenialConfig::Nsec, DenialConfig::Nsec3] {
        let (folder, config) = (tempfile::tempdir().expect("a folder"), config(denial));
        let first = signed(&config, folder.path(), LINES, NOW);
        first.keep(false).expect("there is room");
        let again = signed(&config, folder.path(), LINES, NOW + DAY);
        assert_eq!(records(&again.zone()), records(&first.zone()), "the serial number included");
        assert_eq!(again.first_end(), first.first_end());
        assert!(!again.has_to_keep(true), "nothing was made");
        assert!(!again.step(at(NOW + DAY)).expect("keys"));
        // Not what ends soon.
        let late = signed(&config, folder.path(), LINES, NOW + 13 * DAY);
        let kept = signatures(&first.zone());
        assert!(signatures(&late.zone()).iter().all(|record| !kept.contains(record)));
        assert_eq!(late.zone().figures().serial, 8);
    }
}

#[test]
fn a_zone_whose_routes_are_signed_anew_after_a_restart_has_another_serial() {
    let (folder, config) = (tempfile::tempdir().expect("a folder"), config(DenialConfig::Nsec));
    let route = "www.answers = [{ addresses = ['192.0.2.1'] }]";
    let source = Arc::new(super::routes::zone_with(route, "a A 192.0.2.1", &crate::Pools::default()));
    let start = |now| SignedZone::new(config.clone(), folder.path(), Arc::clone(&source), None, at(now));
    let first = start(NOW).expect("keys");
    first.keep(true).expect("there is room");
    let serial = first.zone().figures().serial;
    assert_eq!(start(NOW + DAY).expect("keys").zone().figures().serial, serial + 1);
}

#[test]
fn what_changed_over_a_restart_is_signed_and_has_another_serial() {
    for denial in [DenialConfig::Nsec, DenialConfig::Nsec3] {
        let (folder, config) = (tempfile::tempdir().expect("a folder"), config(denial));
        let first = signed(&config, folder.path(), LINES, NOW);
        first.keep(false).expect("there is room");
        let changed = LINES.replace("192.0.2.2", "192.0.2.9");
        let again = signed(&config, folder.path(), &changed, NOW + DAY);
        assert_eq!(again.zone().figures().serial, 8);
        let before = signatures(&first.zone());
        let now = signatures(&again.zone());
        assert_eq!(now.len(), before.len());
        assert_eq!(now.iter().filter(|record| !before.contains(record)).count(), 2, "the SOA, and b");
        // What is not signed is a part of the zone too.
        again.keep(true).expect("there is room");
        let glue = changed.replace("192.0.2.3", "192.0.2.33");
        let third = signed(&config, folder.path(), &glue, NOW + DAY);
        assert_eq!(third.zone().figures().serial, 9);
        third.keep(true).expect("there is room");
        // Nor is a zone the same that proves otherwise what is not there.
        let other = match denial {
            DenialConfig::Nsec => DenialConfig::Nsec3,
            DenialConfig::Nsec3 => DenialConfig::Nsec,
        };
        let other = SignConfig { denial: other, ..config };
        assert_eq!(signed(&other, folder.path(), &glue, NOW + DAY).zone().figures().serial, 10);
    }
}

#[test]
fn a_damaged_file_costs_time_alone() {
    let (folder, config) = (tempfile::tempdir().expect("a folder"), config(DenialConfig::Nsec));
    let first = signed(&config, folder.path(), LINES, NOW);
    first.keep(false).expect("there is room");
    let bytes = fs::read(file(folder.path())).expect("it is there");
    for (nth, at) in (0..bytes.len()).step_by(97).enumerate() {
        let mut broken = bytes.clone();
        if nth % 2 == 0 {
            broken[at] ^= 1;
        } else {
            broken.truncate(at);
        }
        fs::write(file(folder.path()), &broken).expect("it can be written");
        let again = signed(&config, folder.path(), LINES, NOW + DAY);
        assert_eq!(again.zone().figures().serial, 8 + nth as u32);
        let before = signatures(&first.zone());
        assert!(signatures(&again.zone()).iter().all(|record| !before.contains(record)));
    }
}

#[test]
fn a_process_that_lags_behind_does_not_overwrite_what_is_newer() {
    let (folder, config) = (tempfile::tempdir().expect("a folder"), config(DenialConfig::Nsec));
    let old = signed(&config, folder.path(), LINES, NOW);
    let new = signed(&config, folder.path(), &LINES.replace("192.0.2.2", "192.0.2.9"), NOW);
    new.keep(true).expect("there is room");
    let kept = fs::read(file(folder.path())).expect("it is there");
    old.keep(true).expect("there is nothing to do");
    assert_eq!(fs::read(file(folder.path())).expect("it is there"), kept);
}

#[test]
fn content_that_is_withdrawn_is_gone_at_once_and_back_when_it_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let nothing = Arc::new(Zone::withdrawn("example.org".parse().expect("a name")));
    let zone = SignedZone::new(SignConfig::default(), folder.path(), Arc::clone(&nothing), None, at(NOW));
    let zone = zone.expect("nothing is needed for nothing");
    assert!(zone.zone().is_withdrawn());
    let content = plain_zone("example.org", LINES);
    for _ in 0..2 {
        zone.replace_source(&content);
        assert!(zone.zone().is_withdrawn(), "what is to be signed is not served before it is");
        assert!(zone.step(at(NOW)).expect("keys"));
        assert_eq!(zone.zone().figures().serial, 7, "it is the same");
        // The same once more is nothing new.
        zone.replace_source(&plain_zone("example.org", LINES));
        assert!(!zone.step(at(NOW)).expect("keys"));
        zone.replace_source(&nothing);
        assert!(zone.zone().is_withdrawn());
        assert!(!zone.step(at(NOW)).expect("keys"));
    }
}

#[test]
fn a_difference_of_signed_zones_makes_the_signed_zone_and_tells_what_changed() {
    for denial in [DenialConfig::Nsec, DenialConfig::Nsec3] {
        let (folder, config) = (tempfile::tempdir().expect("a folder"), config(denial));
        let zone = signed(&config, folder.path(), LINES, NOW);
        let before = zone.zone();
        zone.replace_source(&plain_zone("example.org", &LINES.replace("192.0.2.2", "192.0.2.9")));
        assert!(zone.step(at(NOW + DAY)).expect("keys"));
        let difference = Difference::between(&before, &zone.zone());
        // The address and its signature, and that of the SOA.
        assert_eq!((difference.removed.len(), difference.added.len()), (3, 3), "{difference:?}");
        let made = applied(&before, std::slice::from_ref(&difference)).expect("it begins there");
        assert_eq!(records(&made), records(&zone.zone()));
        // A name more.
        let before = zone.zone();
        zone.replace_source(&plain_zone("example.org", &format!("{LINES}\nmore A 192.0.2.7")));
        assert!(zone.step(at(NOW + DAY)).expect("keys"));
        let difference = Difference::between(&before, &zone.zone());
        assert!(difference.removed.len() < 10, "{difference:?}");
        let made = applied(&before, &[difference]).expect("it begins there");
        assert_eq!(records(&made), records(&zone.zone()));
    }
}
