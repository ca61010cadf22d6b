//! Routes of a zone that is signed here: what they can answer is finite, and signed beforehand.
//!
//! An alias is answered with records that are copied when the zone is signed, or by the choice that its target makes.

use super::canonical::Shared;
use super::plan::{Plan, canonical, expiration};
use crate::answer::ALIASES_MAX;
use crate::error::Error;
use crate::policy::{Candidates, Kind, Policy, SETS_MAX};
use crate::protocol::Name;
use crate::zone::node::{Node, RECORD_HEAD_BYTES, RrSet, TO_QUESTION};
use crate::zone::{Found, Key, Zone, ZoneBuilder};
use domain::base::iana::Rtype;
use std::sync::Arc;

const ADDRESSES: [Rtype; 2] = [Rtype::A, Rtype::AAAA];

/// All that a route can answer, signed.
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
        let SignedSet { records, signatures, counts, .. } = &sets[found];
        Some((
            RrSet::of_addresses(rtype, counts.0, records),
            RrSet::of_addresses(Rtype::RRSIG, counts.1, signatures),
        ))
    }

    /// Octets that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let sets = self.sets.iter().flatten();
        sets.map(|set| size_of::<SignedSet>() + set.records.len() + set.signatures.len()).sum()
    }
}

/// Why a route cannot be signed.
fn unsigned(zone: &Zone, name: &Name, why: impl std::fmt::Display) -> Error {
    Error::Signing { zone: zone.apex().to_string(), why: format!("route {name}: {why}") }
}

/// Looks whether all that the routes of a zone can answer can be signed.
pub(crate) fn check(zone: &Zone) -> Result<(), Error> {
    let mut builder = ZoneBuilder::new(zone.apex().clone());
    place(zone, &mut builder)?;
    for (name, kind) in zone.routes() {
        if let Kind::Policy(policy) = &**kind {
            sets(zone, &name, policy)?;
        }
    }
    Ok(())
}

/// The sets that a route can choose. Each has both families, or each has the same one: that there is none could not be proven of a
/// name that sometimes has one.
fn sets(zone: &Zone, name: &Name, policy: &Policy) -> Result<Vec<Candidates>, Error> {
    if policy.follows_endpoints() {
        return Err(unsigned(
            zone,
            name,
            "a candidate without `addresses` stands for its pool's endpoints, which nobody can sign beforehand: give it `addresses`",
        ));
    }
    for rtype in ADDRESSES {
        if let Some(without) = policy.label_without(rtype).filter(|_| policy.may_have(rtype)) {
            return Err(unsigned(
                zone,
                name,
                format!(
                    "{without} has no {rtype}, while another candidate has: in a signed zone all have it, or none, as \
                     what sometimes is there cannot be denied"
                ),
            ));
        }
    }
    policy.possible().map_err(|count| {
        unsigned(
            zone,
            name,
            format!(
                "it can be answered with {count} different sets of candidates, and each would be signed (max {SETS_MAX}): \
                 have fewer candidates, fewer `values`, or `weighted` or `failover` at the end"
            ),
        )
    })
}

/// Puts the routes of a zone over the one that is made of it; aliases become what they lead to.
pub(crate) fn place(source: &Zone, builder: &mut ZoneBuilder) -> Result<(), Error> {
    for (name, kind) in source.routes() {
        match &**kind {
            Kind::Policy(_) => builder.route_of(&name, Arc::clone(kind)),
            Kind::Alias(target) => alias(source, &name, target, builder)?,
        }
    }
    Ok(())
}

fn alias(source: &Zone, name: &Name, target: &Name, builder: &mut ZoneBuilder) -> Result<(), Error> {
    let mut target = Box::new(target.clone());
    let apex = Key::of_process().name(source.apex());
    for _ in 0..ALIASES_MAX {
        if !target.is_within(source.apex()) {
            return Err(unsigned(
                source,
                name,
                format!(
                    "its alias leads to {target}, which is outside the zone: in a signed zone it must be within"
                ),
            ));
        }
        let node = match source.look_up(&target, apex, Key::of_process().name(&target)) {
            Found::Name(node) | Found::Wildcard(node) => node,
            Found::Cut { .. } => {
                return Err(unsigned(
                    source,
                    name,
                    format!("its alias leads to {target}, which is delegated"),
                ));
            }
            Found::Dname { .. } => {
                return Err(unsigned(
                    source,
                    name,
                    format!("its alias leads to {target}, which is below a DNAME"),
                ));
            }
            Found::Nothing => return Ok(()),
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

/// The types that a choice may answer.
pub(crate) fn types(kind: &Kind) -> impl Iterator<Item = Rtype> {
    ADDRESSES.into_iter().filter(move |rtype| match kind {
        Kind::Policy(policy) => policy.may_have(*rtype),
        Kind::Alias(_) => false,
    })
}

/// Signs all that a route can answer. `before` is what was signed of the same name before.
pub(crate) fn sign(
    zone: &Zone,
    (name, kind): (&Name, &Kind),
    before: Option<&SignedRoute>,
    plan: &Plan,
    first_end: &mut u32,
) -> Result<SignedRoute, Error> {
    let mut signed = SignedRoute::default();
    let Kind::Policy(policy) = kind else { return Ok(signed) };
    for candidates in sets(zone, name, policy)? {
        for (rtype, into) in ADDRESSES.into_iter().zip(&mut signed.sets) {
            let (records, count) = policy.wire_of(candidates, rtype);
            if count == 0 {
                continue;
            }
            let shared = Shared { owner: name.as_wire(), rtype, ttl: policy.ttl };
            let rrset = RrSet::of_addresses(rtype, count, &records);
            let wanted = of_wire(&shared, rrset);
            let same = before
                .and_then(|before| before.find(rtype, candidates))
                .filter(|(old, _)| old.ttl() == policy.ttl && of_wire(&shared, *old) == wanted);
            let mut signatures = Vec::new();
            for key in &plan.zone_signers {
                let kept = same
                    .and_then(|(_, signatures)| signatures.rdatas().find(|rrsig| plan.is_fresh(key, rrsig)));
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
            into.push(SignedSet {
                candidates,
                records: records.into(),
                signatures: signatures.into(),
                counts,
            });
        }
    }
    for sets in &mut signed.sets {
        sets.sort_unstable_by_key(|set| set.candidates.bits());
    }
    Ok(signed)
}

fn of_wire(shared: &Shared<'_>, rrset: RrSet<'_>) -> Vec<u8> {
    canonical(shared, rrset.rdatas().map(<[u8]>::to_vec).collect())
}

fn write_signature(wire: &mut Vec<u8>, ttl: u32, data: &[u8]) {
    let start = wire.len();
    wire.extend_from_slice(&TO_QUESTION);
    wire.extend_from_slice(&Rtype::RRSIG.to_int().to_be_bytes());
    wire.extend_from_slice(&[0, 1]);
    wire.extend_from_slice(&ttl.to_be_bytes());
    wire.extend_from_slice(&(data.len() as u16).to_be_bytes());
    debug_assert_eq!(wire.len() - start, RECORD_HEAD_BYTES);
    wire.extend_from_slice(data);
}
