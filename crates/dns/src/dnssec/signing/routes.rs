//! Routes of a zone that is signed here. What they can answer is finite, and signed beforehand where it is known and not too much; the rest
//! when it is first answered (`on_demand`).
//!
//! An alias within the zone is answered with records that are copied when the zone is signed, or by the choice that its target makes. What
//! one that leads out of it is answered with is known when it is asked for.

use super::canonical::Shared;
use super::plan::{Plan, canonical, expiration};
use crate::answer::ALIASES_MAX;
use crate::error::Error;
use crate::policy::{Candidates, Kind, Policy};
use crate::protocol::Name;
use crate::zone::node::{Node, RECORD_HEAD_BYTES, RrSet, TO_QUESTION};
use crate::zone::{Found, Key, Zone, ZoneBuilder};
use domain::base::iana::Rtype;
use std::sync::Arc;

/// Longer than that no route's answer is remembered, in seconds.
pub(crate) const TTL_MAX: u32 = 86_400;

const ADDRESSES: [Rtype; 2] = [Rtype::A, Rtype::AAAA];

/// What a route can answer, as far as it was signed beforehand.
#[derive(Debug, Default)]
pub(crate) struct SignedRoute {
    /// For A and AAAA, in the order of the candidates' bits.
    sets: [Vec<SignedSet>; 2],
}

#[derive(Debug)]
struct SignedSet {
    candidates: Candidates,
    /// Records in wire form, whose owner is the question's name.
    records: Box<[u8]>,
    signatures: Box<[u8]>,
    counts: (u16, u16),
}

impl SignedRoute {
    /// The addresses of these candidates, and their signatures. `None`: they cannot be chosen, or have none.
    pub(crate) fn find(&self, rtype: Rtype, candidates: Candidates) -> Option<(RrSet<'_>, RrSet<'_>)> {
        let sets = &self.sets[usize::from(rtype != Rtype::A)];
        let found = sets.binary_search_by_key(&candidates.bits(), |set| set.candidates.bits()).ok()?;
        Some(sets[found].rrsets(rtype))
    }

    /// Whether nothing was signed beforehand.
    pub(crate) fn is_empty(&self) -> bool {
        self.sets.iter().all(Vec::is_empty)
    }

    /// Octets that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let sets = self.sets.iter().flatten();
        sets.map(|set| size_of::<SignedSet>() + set.records.len() + set.signatures.len()).sum()
    }
}

impl SignedSet {
    fn rrsets(&self, rtype: Rtype) -> (RrSet<'_>, RrSet<'_>) {
        (
            RrSet::of_addresses(rtype, self.counts.0, &self.records),
            RrSet::of_addresses(Rtype::RRSIG, self.counts.1, &self.signatures),
        )
    }
}

/// Why a route cannot be signed.
fn unsigned(zone: &Zone, name: &Name, why: impl std::fmt::Display) -> Error {
    Error::Signing { zone: zone.apex().to_string(), why: format!("route {name}: {why}") }
}

/// Looks whether all that the routes of a zone can answer can be signed.
pub(crate) fn check(zone: &Zone) -> Result<(), Error> {
    place(zone, &mut ZoneBuilder::new(zone.apex().clone()))
}

/// Looks whether other servers can have what routes answer: they cannot prove that what the zone's own proofs list is not there.
pub(crate) fn check_copied(zone: &Zone) -> Result<(), Error> {
    let mut builder = ZoneBuilder::new(zone.apex().clone());
    place(zone, &mut builder)?;
    let why =
        "so other servers, which copy the zone, have no addresses that are signed: leave `transfer` out";
    for (name, kind) in builder.placed_routes() {
        match &**kind {
            Kind::Policy(policy) if policy.follows_endpoints() => {
                let what = "a candidate without `addresses` stands for its pool's endpoints";
                return Err(unsigned(zone, &name, format!("{what}, {why}")));
            }
            Kind::Alias(_) => {
                return Err(unsigned(zone, &name, format!("its alias leads to another zone, {why}")));
            }
            Kind::Policy(_) => {}
        }
    }
    Ok(())
}

/// The sets that a route can choose, if they are known beforehand and not too many.
fn sets(policy: &Policy) -> Vec<Candidates> {
    if policy.follows_endpoints() { Vec::new() } else { policy.possible().unwrap_or_default() }
}

/// Puts the routes of a zone over the one that is made of it; aliases become what they lead to.
pub(crate) fn place(source: &Zone, builder: &mut ZoneBuilder) -> Result<(), Error> {
    for (name, kind) in source.routes() {
        match &**kind {
            Kind::Policy(_) => builder.route_of(&name, Arc::clone(kind)),
            Kind::Alias(target) => alias(source, (&name, kind), target, builder)?,
        }
    }
    Ok(())
}

fn alias(
    source: &Zone,
    (name, kind): (&Name, &Arc<Kind>),
    target: &Name,
    builder: &mut ZoneBuilder,
) -> Result<(), Error> {
    let mut target = Box::new(target.clone());
    let apex = Key::of_process().name(source.apex());
    for _ in 0..ALIASES_MAX {
        let found = target
            .is_within(source.apex())
            .then(|| source.look_up(&target, apex, Key::of_process().name(&target)));
        let node = match found {
            Some(Found::Name(node) | Found::Wildcard(node)) => node,
            Some(Found::Nothing) => return Ok(()),
            // Other zones change without this one.
            None | Some(Found::Cut { .. } | Found::Dname { .. }) => {
                builder.route_of(name, Arc::clone(kind));
                return Ok(());
            }
        };
        match source.route_kind(node).map(|kind| (kind, &**kind)) {
            Some((kind, Kind::Policy(_))) => {
                builder.route_of(name, Arc::clone(kind));
                return Ok(());
            }
            Some((_, Kind::Alias(next))) => target = next.clone(),
            None => match node.rrset(Rtype::CNAME) {
                Some(next) => target = source.name_in(next.first_rdata()),
                None => {
                    copy_addresses(name, node, builder);
                    return Ok(());
                }
            },
        }
    }
    Err(unsigned(source, name, "its alias leads in a circle"))
}

fn copy_addresses(name: &Name, node: Node<'_>, builder: &mut ZoneBuilder) {
    for rrset in ADDRESSES.iter().filter_map(|rtype| node.rrset(*rtype)) {
        for data in rrset.rdatas() {
            builder.record(name, rrset.rtype, rrset.ttl(), data);
        }
    }
}

/// The types that a route may answer. That there is none of one at the moment is proven when it is asked for.
pub(crate) fn types(kind: &Kind) -> impl Iterator<Item = Rtype> {
    ADDRESSES.into_iter().filter(move |rtype| match kind {
        Kind::Policy(policy) => policy.may_have(*rtype),
        Kind::Alias(_) => true,
    })
}

/// Signs what a route can answer, as far as it is known. `before` is what was signed of the same name before.
pub(crate) fn sign(
    zone: &Zone,
    (name, kind): (&Name, &Kind),
    before: Option<&SignedRoute>,
    plan: &Plan,
    first_end: &mut u32,
) -> Result<SignedRoute, Error> {
    let mut signed = SignedRoute::default();
    let Kind::Policy(policy) = kind else { return Ok(signed) };
    let mut set = |candidates, rtype, before: Option<(RrSet<'_>, RrSet<'_>)>| -> Result<_, Error> {
        let (records, count) = policy.wire_of(candidates, rtype);
        if count == 0 {
            return Ok(None);
        }
        let shared = Shared { owner: name.as_wire(), rtype, ttl: policy.ttl };
        let wanted = of_wire(&shared, RrSet::of_addresses(rtype, count, &records));
        let same = before.filter(|(old, _)| old.ttl() == policy.ttl && of_wire(&shared, *old) == wanted);
        let mut signatures = Vec::new();
        for key in &plan.zone_signers {
            let kept =
                same.and_then(|(_, signatures)| signatures.rdatas().find(|rrsig| plan.is_fresh(key, rrsig)));
            let data = match kept {
                Some(kept) => kept.to_vec(),
                None => {
                    let labels = crate::zone::sign::labels(name);
                    plan.sign(key, (&shared, labels), zone.apex().as_wire(), &wanted)?
                }
            };
            *first_end = (*first_end).min(expiration(&data).unwrap_or(0));
            write_signature(&mut signatures, policy.ttl, &data);
        }
        let counts = (count, plan.zone_signers.len() as u16);
        Ok(Some(SignedSet { candidates, records: records.into(), signatures: signatures.into(), counts }))
    };
    for (nth, rtype) in ADDRESSES.into_iter().enumerate() {
        for candidates in sets(policy) {
            let before = before.and_then(|before| before.find(rtype, candidates));
            signed.sets[nth].extend(set(candidates, rtype, before)?);
        }
        signed.sets[nth].sort_unstable_by_key(|set| set.candidates.bits());
    }
    Ok(signed)
}

fn of_wire(shared: &Shared<'_>, rrset: RrSet<'_>) -> Vec<u8> {
    canonical(shared, rrset.rdatas().map(<[u8]>::to_vec).collect())
}

pub(super) fn write_signature(wire: &mut Vec<u8>, ttl: u32, data: &[u8]) {
    let start = wire.len();
    wire.extend_from_slice(&TO_QUESTION);
    wire.extend_from_slice(&Rtype::RRSIG.to_int().to_be_bytes());
    wire.extend_from_slice(&[0, 1]);
    wire.extend_from_slice(&ttl.to_be_bytes());
    wire.extend_from_slice(&(data.len() as u16).to_be_bytes());
    debug_assert_eq!(wire.len() - start, RECORD_HEAD_BYTES);
    wire.extend_from_slice(data);
}
