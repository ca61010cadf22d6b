//! The key that the zone above points to is replaced while the zone is served, by a process that is restarted at each step.

use super::world::NOW;
use crate::answer::tests::world::plain_zone;
use crate::dnssec::KeyLayout;
use crate::dnssec::signing::SignedZone;
use crate::dnssec::signing::config::SignConfig;
use crate::zone::Zone;
use domain::base::iana::Rtype;
use notation::Duration;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
const HOUR: u64 = 3600;

fn config(keys: KeyLayout) -> SignConfig {
    let age = Some(Duration::secs(90 * DAY));
    match keys {
        KeyLayout::Csk => SignConfig { roll_over: age, ..SignConfig::default() },
        KeyLayout::KskZsk => SignConfig { keys, ksk_roll_over: age, ..SignConfig::default() },
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

fn begun(folder: &Path, keys: KeyLayout, now: u64) -> SignedZone {
    let source = plain_zone("example.org", "a A 192.0.2.1");
    SignedZone::new(config(keys), folder, source, None, at(now)).unwrap()
}

/// The tags of the signatures of a type at the apex.
fn signers(zone: &Zone, rtype: Rtype) -> Vec<u16> {
    let rrset = zone.apex_node().signatures(rtype).unwrap();
    let mut tags: Vec<u16> = rrset.rdatas().map(|data| u16::from_be_bytes([data[16], data[17]])).collect();
    tags.sort_unstable();
    tags
}

/// The tags that CDS names.
fn named(zone: &Zone) -> Vec<u16> {
    let rrset = zone.apex_node().rrset(Rtype::CDS).unwrap();
    rrset.rdatas().map(|data| u16::from_be_bytes([data[0], data[1]])).collect()
}

fn sorted(mut tags: Vec<u16>) -> Vec<u16> {
    tags.sort_unstable();
    tags
}

#[test]
fn the_next_key_signs_keys_at_once_and_the_zone_when_the_zone_above_is_known_to_follow() {
    for keys in [KeyLayout::Csk, KeyLayout::KskZsk] {
        let folder = tempfile::tempdir().unwrap();
        let mut now = u64::from(NOW);
        let zone = begun(folder.path(), keys, now);
        let entry = |zone: &SignedZone, nth: usize| {
            let all = zone.status().keys.into_iter().filter(|key| key.role != "zsk");
            all.map(|key| (key.tag, key.state)).nth(nth)
        };
        let (old, _) = entry(&zone, 0).unwrap();
        let zone_signer = signers(&zone.zone(), Rtype::SOA);
        assert_eq!(named(&zone.zone()), [old]);
        assert_eq!(zone.keys_change(), Some(now + 90 * DAY));

        now += 90 * DAY;
        let zone = begun(folder.path(), keys, now);
        let (new, state) = entry(&zone, 1).unwrap();
        assert_eq!(state, "published");
        assert_eq!(signers(&zone.zone(), Rtype::DNSKEY), sorted(vec![old, new]));
        assert_eq!(
            (signers(&zone.zone(), Rtype::SOA), named(&zone.zone())),
            (zone_signer.clone(), vec![old])
        );
        assert!(zone.submission().is_none() && zone.ds_seen(None, now).is_err());
        assert!(zone.roll_over(now).unwrap_err().to_string().contains("on its way already: published"));

        // The TTL of the keys is an hour, and so is what is allowed for secondaries.
        now += 2 * HOUR;
        assert!(zone.step(at(now - 1)).is_ok() && named(&zone.zone()) == [old]);
        let zone = begun(folder.path(), keys, now);
        assert_eq!((named(&zone.zone()), entry(&zone, 1).unwrap().1.as_str()), (vec![new], "submitted"));
        assert_eq!(signers(&zone.zone(), Rtype::SOA), zone_signer);
        assert_eq!(zone.submission().map(|submission| submission.key.tag()), Some(new));

        now += 30 * DAY;
        let zone = begun(folder.path(), keys, now);
        assert_eq!(
            signers(&zone.zone(), Rtype::DNSKEY),
            sorted(vec![old, new]),
            "nothing without the zone above"
        );
        assert_eq!(zone.ds_seen(Some(HOUR), now).unwrap(), (new, now + HOUR));
        assert!(zone.submission().is_none());
        assert!(!zone.step(at(now)).unwrap(), "that shows nowhere");
        assert_eq!(zone.keys_change(), Some(now + HOUR));

        now += HOUR;
        let zone = begun(folder.path(), keys, now);
        assert_eq!(entry(&zone, 0).unwrap(), (old, "retired".to_owned()));
        assert_eq!(signers(&zone.zone(), Rtype::DNSKEY), [new]);
        let expected = if keys == KeyLayout::Csk { vec![new] } else { zone_signer };
        assert_eq!((signers(&zone.zone(), Rtype::SOA), named(&zone.zone())), (expected, vec![new]));
        let published = |zone: &SignedZone| zone.zone().apex_node().rrset(Rtype::DNSKEY).unwrap().records;
        let all = published(&zone);

        now += 2 * HOUR;
        let zone = begun(folder.path(), keys, now);
        assert_eq!((published(&zone), entry(&zone, 1)), (all - 1, None));
        assert_eq!(entry(&zone, 0).unwrap(), (new, "active".to_owned()));
    }
}

#[test]
fn a_key_is_replaced_when_that_is_wished() {
    let folder = tempfile::tempdir().unwrap();
    let now = u64::from(NOW);
    let zone = begun(folder.path(), KeyLayout::Csk, now);
    let tag = zone.roll_over(now + 5).unwrap();
    assert!(zone.step(at(now + 5)).unwrap());
    assert!(signers(&zone.zone(), Rtype::DNSKEY).contains(&tag));
    assert_eq!(zone.keys_change(), Some(now + 5 + 2 * HOUR));
}
