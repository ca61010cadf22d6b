//! Signatures that are made when they are first needed: for what a route answers that was not among the sets signed beforehand, such as the
//! endpoints of a pool, or another zone's addresses; and for the proof that it has none of a type at the moment.
//!
//! What is signed once is kept until its signature has to be made anew. How many sets there are is bounded by the states of the world, and by
//! [`SETS_MAX`]; how many signatures are made in a second, by [`PER_SECOND_MAX`]: whoever comes beyond that gets none.

use super::canonical::Shared;
use super::key::Key;
use super::plan::{Plan, Times, begin, canonical, expiration};
use super::routes::write_signature;
use crate::error::Error;
use crate::protocol::Name;
use crate::zone::node::RrSet;
use crate::zone::sign::labels;
use domain::base::iana::Rtype;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Sets of a zone whose signatures are kept: about 400 octets each.
const SETS_MAX: usize = 4096;
/// Cores that sign or look do not wait for each other, unless it is for the same part.
const PARTS: usize = 16;
/// Signatures of a zone in a second: a few hundredths of a core.
const PER_SECOND_MAX: u32 = 1000;

/// Signs for a zone that is served.
#[derive(Debug)]
pub(crate) struct OnDemand {
    apex: Name,
    keys: Box<[Arc<Key>]>,
    validity: u32,
    refresh: u32,
    parts: [Mutex<HashMap<Box<[u8]>, Kept>>; PARTS],
    hash: RandomState,
    rate: Rate,
}

/// The signatures of an RRset: records in wire form, whose owner is the question's name.
#[derive(Debug, Clone)]
pub(crate) struct Signatures {
    wire: Arc<[u8]>,
    count: u16,
    /// How many were made for this answer.
    pub(crate) made: u16,
}

/// No more signatures are made in this second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

#[derive(Debug)]
struct Kept {
    signatures: Signatures,
    begin: u32,
    end: u32,
    /// Since room was last made.
    is_used: bool,
}

impl Signatures {
    pub(crate) fn rrset(&self) -> RrSet<'_> {
        RrSet::of_addresses(Rtype::RRSIG, self.count, &self.wire)
    }
}

impl OnDemand {
    /// Signs as a plan says. What was signed `before` is kept, if it was by the same keys.
    pub(crate) fn of(plan: &Plan, apex: &Name, before: Option<&Arc<Self>>) -> Arc<Self> {
        let is_same = |before: &&Arc<Self>| {
            let keys = |keys: &[Arc<Key>]| keys.iter().map(|key| key.dnskey()).collect::<Vec<_>>();
            before.validity == plan.validity
                && before.refresh == plan.refresh
                && keys(&before.keys) == keys(&plan.zone_signers)
        };
        before.filter(is_same).cloned().unwrap_or_else(|| {
            Arc::new(Self {
                apex: apex.clone(),
                keys: plan.zone_signers.clone().into(),
                validity: plan.validity,
                refresh: plan.refresh,
                parts: Default::default(),
                hash: RandomState::new(),
                rate: Rate::default(),
            })
        })
    }

    /// The signatures of an RRset at a name (a wildcard where one stands for the name), at this time in seconds since 1970.
    pub(crate) fn signatures(
        &self,
        owner: &Name,
        rtype: Rtype,
        ttl: u32,
        datas: Vec<Vec<u8>>,
        now: u32,
    ) -> Result<Signatures, TooMany> {
        let shared = Shared { owner: owner.as_wire(), rtype, ttl };
        let wanted = canonical(&shared, datas);
        let part = &self.parts[self.hash.hash_one(&wanted) as usize % PARTS];
        // Held while it is signed: whoever asks for the same meanwhile finds it.
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let times = Times { now, validity: self.validity, refresh: self.refresh };
        let known = part.get_mut(&*wanted).map(|kept| {
            kept.is_used = true;
            &*kept
        });
        if let Some(kept) = known.filter(|kept| times.is_fresh(kept.begin, kept.end)) {
            return Ok(kept.signatures.clone());
        }
        if !self.rate.takes(self.keys.len() as u32, now) {
            // One that will be valid for as long as the answer is remembered is as good.
            let is_good = |kept: &&Kept| kept.begin <= now && kept.end > now.saturating_add(ttl);
            return known.filter(is_good).map(|kept| kept.signatures.clone()).ok_or(TooMany);
        }
        let made = self.sign(&shared, labels(owner), &wanted, times).map_err(|_| TooMany)?;
        make_room(&mut part);
        let signatures = made.signatures.clone();
        part.insert(wanted.into(), made);
        Ok(Signatures { made: signatures.count, ..signatures })
    }

    fn sign(&self, shared: &Shared<'_>, labels: u8, wanted: &[u8], times: Times) -> Result<Kept, Error> {
        let (mut wire, mut first_end, mut last_begin) = (Vec::new(), u32::MAX, 0);
        for key in &self.keys {
            let data = times.sign(key, (shared, labels), self.apex.as_wire(), wanted)?;
            first_end = first_end.min(expiration(&data).unwrap_or(0));
            last_begin = last_begin.max(begin(&data).unwrap_or(u32::MAX));
            write_signature(&mut wire, shared.ttl, &data);
        }
        let signatures = Signatures { wire: wire.into(), count: self.keys.len() as u16, made: 0 };
        Ok(Kept { signatures, begin: last_begin, end: first_end, is_used: true })
    }
}

/// Makes room for one more: those go that were not used since the last time, or else one of all.
fn make_room(part: &mut HashMap<Box<[u8]>, Kept>) {
    if part.len() < SETS_MAX / PARTS {
        return;
    }
    part.retain(|_, kept| std::mem::take(&mut kept.is_used));
    if part.len() >= SETS_MAX / PARTS
        && let Some(any) = part.keys().next().cloned()
    {
        part.remove(&any);
    }
}

/// So much in a second: the second, and what was taken in it.
#[derive(Debug, Default)]
struct Rate(AtomicU64);

impl Rate {
    fn takes(&self, count: u32, now: u32) -> bool {
        let of = |second: u64| if second >> 32 == u64::from(now) { second as u32 } else { 0 };
        let taken = self.0.fetch_update(Relaxed, Relaxed, |second| {
            let taken = of(second) + count;
            (taken <= PER_SECOND_MAX).then_some(u64::from(now) << 32 | u64::from(taken))
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnssec::signing::config::{Algorithm, DenialConfig};

    const NOW: u32 = 1_800_000_000;
    const DAY: u32 = 86_400;

    fn plan(keys: usize) -> Plan {
        let keys: Vec<Arc<Key>> =
            (0..keys).map(|_| Arc::new(Key::generate(Algorithm::Ed25519, true).unwrap())).collect();
        Plan {
            published: keys.clone(),
            key_signers: keys.clone(),
            zone_signers: keys.clone(),
            entries: keys,
            denial: DenialConfig::Nsec,
            serial: 1,
            now: NOW,
            validity: 14 * DAY,
            refresh: 7 * DAY,
        }
    }

    fn apex() -> Name {
        "shop.test".parse().unwrap()
    }

    fn asked(of: &OnDemand, nth: u32, now: u32) -> Result<Signatures, TooMany> {
        of.signatures(&apex(), Rtype::A, 20, vec![nth.to_be_bytes().to_vec()], now)
    }

    #[test]
    fn a_set_is_signed_once_until_its_signature_is_old() {
        let of = OnDemand::of(&plan(1), &apex(), None);
        let first = asked(&of, 1, NOW).unwrap();
        assert_eq!(first.made, 1);
        let again = asked(&of, 1, NOW + 5 * DAY).unwrap();
        assert_eq!((again.made, &again.wire), (0, &first.wire));
        assert_eq!(asked(&of, 2, NOW).unwrap().made, 1, "another set");
        let renewed = asked(&of, 1, NOW + 7 * DAY + 1).unwrap();
        assert!(renewed.made == 1 && renewed.wire != first.wire);
        let earlier = asked(&of, 1, NOW).unwrap();
        assert_eq!(earlier.made, 1, "the clock was set back, and it is not valid yet");
    }

    #[test]
    fn no_more_than_so_many_are_made_in_a_second_and_what_is_kept_is_answered() {
        let of = OnDemand::of(&plan(2), &apex(), None);
        let made = (0..2000).filter(|nth| asked(&of, *nth, NOW).is_ok()).count();
        assert_eq!(made, PER_SECOND_MAX as usize / 2, "each with two keys");
        assert_eq!(asked(&of, 2000, NOW).unwrap_err(), TooMany);
        assert_eq!(asked(&of, 0, NOW).unwrap().made, 0);
        assert_eq!(asked(&of, 2000, NOW + 1).unwrap().made, 2);
        let later = NOW + 8 * DAY;
        (0..2000).for_each(|nth| drop(asked(&of, 5000 + nth, later)));
        assert_eq!(asked(&of, 0, later).unwrap().made, 0, "it is old, and valid for six days still");
        let late = NOW + 14 * DAY;
        (0..2000).for_each(|nth| drop(asked(&of, 9000 + nth, late)));
        assert_eq!(asked(&of, 0, late).unwrap_err(), TooMany, "it is not valid any more");
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_used_stays() {
        let of = OnDemand::of(&plan(1), &apex(), None);
        for nth in 0..3 * SETS_MAX as u32 {
            let now = NOW + nth / 500;
            assert!(asked(&of, nth, now).is_ok() && asked(&of, 0, now).unwrap().made <= u16::from(nth == 0));
        }
        let kept: usize = of.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert!(kept <= SETS_MAX);
    }

    #[test]
    fn what_was_signed_stays_as_long_as_the_keys_and_times_do() {
        let plan = plan(1);
        let first = OnDemand::of(&plan, &apex(), None);
        let later = Plan { now: NOW + 60, serial: 2, ..plan.clone() };
        assert!(Arc::ptr_eq(&first, &OnDemand::of(&later, &apex(), Some(&first))));
        let shorter = Plan { validity: DAY, ..plan.clone() };
        assert!(!Arc::ptr_eq(&first, &OnDemand::of(&shorter, &apex(), Some(&first))));
        let other = Plan { zone_signers: self::plan(1).zone_signers, ..plan };
        assert!(!Arc::ptr_eq(&first, &OnDemand::of(&other, &apex(), Some(&first))));
    }
}
