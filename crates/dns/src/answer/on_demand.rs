//! What a route of a signed zone answers that was not signed beforehand: signed now, or known from the last time (`dnssec::signing::on_demand`).
//!
//! The bitmap of the zone's own NSEC or NSEC3 lists every type that the route may have. Where it has none of one at the moment, that proof
//! would be bogus; in its place stands the same without that type, as true as the answer is, and remembered for no longer (RFC 9824 makes such
//! proofs for all names). Whoever is asked for another type shows the zone's own.

use super::Kind;
use super::resolution::{Looked, Resolution, Step};
use crate::dnssec::signing::on_demand::{OnDemand, Signatures, TooMany};
use crate::dnssec::signing::routes::{self, SignedRoute};
use crate::policy::{Chosen, Policy};
use crate::protocol::Name;
use crate::protocol::response::Full;
use crate::zone::node::{Node, RECORD_HEAD_BYTES, RrSet, TO_QUESTION};
use domain::base::iana::Rtype;
use std::sync::Arc;

/// An NSEC or NSEC3 that was made for this answer, in the place of the one at this node.
pub(super) struct MadeDenial {
    pub(super) node: u32,
    record: Vec<u8>,
    rtype: Rtype,
    signatures: Signatures,
}

impl MadeDenial {
    pub(super) fn rrset(&self) -> RrSet<'_> {
        RrSet::of_addresses(self.rtype, 1, &self.record)
    }

    pub(super) fn signatures(&self) -> RrSet<'_> {
        self.signatures.rrset()
    }
}

impl<'z> Resolution<'_, 'z, '_> {
    /// The draw that a choice at this node is made by.
    #[inline]
    pub(super) fn draw(&self, own: Node<'z>, policy: &Policy) -> u64 {
        let draw = self.asked.facts.draw;
        let is_on_demand = || self.zone.signed_route(own).is_some_and(SignedRoute::is_empty);
        if self.denial.is_some() && policy.draws_sets() && is_on_demand() {
            return policy.drawn_to_sign(draw);
        }
        draw
    }

    /// Whether this zone's own proof at a node lists a type that its route answers, be it an alias to one that has none of it.
    pub(super) fn is_listed(&self, own: Node<'z>, rtype: Rtype) -> bool {
        self.zone.route(own).is_some_and(|kind| routes::types(kind).any(|listed| listed == rtype))
    }

    /// The addresses of who was chosen, signed; `own` is the node in this zone that answers.
    pub(super) fn chosen_signed(
        &mut self,
        (own, policy): (Node<'z>, &Policy),
        chosen: Chosen,
        rtype: Rtype,
        looked: Looked<'_>,
    ) -> Result<Step, Full> {
        if let Some(signed) =
            self.zone.signed_route(own).and_then(|route| route.find(rtype, chosen.candidates))
        {
            self.put_chosen(signed, looked)?;
            return Ok(Step::Done(Kind::Positive));
        }
        let draw = policy.drawn_to_sign(self.asked.facts.draw);
        let (wire, count) = policy.wire_now(chosen.candidates, rtype, draw);
        if count == 0 {
            let ttl = policy.ttl.min(self.zone.figures().negative_ttl);
            return Ok(self.absent(own, rtype, ttl, looked));
        }
        self.put_on_demand(own, RrSet::of_addresses(rtype, count, &wire), looked)
    }

    /// An RRset of addresses, from wherever it is, signed as one of the name that this node stands for.
    pub(super) fn put_on_demand(
        &mut self,
        own: Node<'z>,
        rrset: RrSet<'_>,
        looked: Looked<'_>,
    ) -> Result<Step, Full> {
        // A key that goes is waited for as long as a route's answers can be remembered: another zone's may be for longer.
        let capped;
        let rrset = if rrset.ttl() > routes::TTL_MAX {
            capped = with_ttl(rrset, routes::TTL_MAX);
            RrSet::of_addresses(rrset.rtype, rrset.records, &capped)
        } else {
            rrset
        };
        let datas = rrset.rdatas().map(<[u8]>::to_vec).collect();
        let Some(signatures) = self.signatures(own, rrset.rtype, rrset.ttl(), datas) else {
            return Ok(self.failed());
        };
        self.put_chosen((rrset, signatures.rrset()), looked)?;
        Ok(Step::Done(Kind::Positive))
    }

    /// The route at this node has none of a type that it may have.
    pub(super) fn absent(&mut self, own: Node<'z>, rtype: Rtype, ttl: u32, looked: Looked<'_>) -> Step {
        if let Some(denial) = self.denial {
            let at = denial.at(self.zone, own);
            let made = at.and_then(|at| self.denial_without(at, denial.rtype(), rtype, ttl));
            if made.is_none() {
                return self.failed();
            }
            self.made_denial = made;
        }
        self.prove_no_data(looked);
        self.negative(ttl);
        Step::Done(Kind::NoData)
    }

    /// The NSEC or NSEC3 at a node, signed without a type in its bitmap.
    fn denial_without(&mut self, at: u32, rtype: Rtype, without: Rtype, ttl: u32) -> Option<Box<MadeDenial>> {
        let node = self.zone.node(at);
        let rrset = node.rrset(rtype)?;
        let mut data = Vec::new();
        self.zone.uncompress(rrset, rrset.starts().next()?, &mut data);
        let bitmap_at = match rtype {
            Rtype::NSEC => Name::from_wire(&data).ok()?.wire_len(),
            // RFC 5155 §3.2: two lengths, of the salt and of the hash.
            _ => {
                let hash_at = 5 + usize::from(*data.get(4)?);
                hash_at + 1 + usize::from(*data.get(hash_at)?)
            }
        };
        crate::dnssec::signing::bitmap::remove(&mut data, bitmap_at, without.to_int())?;
        let signatures = self.signatures(node, rtype, ttl, vec![data.clone()])?;
        let mut record = Vec::with_capacity(RECORD_HEAD_BYTES + data.len());
        record.extend_from_slice(&TO_QUESTION);
        record.extend_from_slice(&rtype.to_int().to_be_bytes());
        record.extend_from_slice(&[0, 1]);
        record.extend_from_slice(&ttl.to_be_bytes());
        record.extend_from_slice(&(data.len() as u16).to_be_bytes());
        record.extend_from_slice(&data);
        Some(Box::new(MadeDenial { node: at, record, rtype, signatures }))
    }

    /// The signatures of an RRset at the name of this node; `None` where none is made now.
    fn signatures(
        &mut self,
        own: Node<'z>,
        rtype: Rtype,
        ttl: u32,
        datas: Vec<Vec<u8>>,
    ) -> Option<Signatures> {
        let on_demand: &Arc<OnDemand> = self.zone.on_demand()?;
        let owner = Name::from_wire(&[own.relative_name(), self.zone.apex().as_wire()].concat()).ok()?;
        match on_demand.signatures(&owner, rtype, ttl, datas, self.asked.facts.now) {
            Ok(signatures) => {
                self.response.signed.made += signatures.made;
                Some(signatures)
            }
            Err(TooMany) => {
                self.response.signed.is_refused = true;
                None
            }
        }
    }
}

/// Addresses in wire form, with another TTL.
fn with_ttl(addresses: RrSet<'_>, ttl: u32) -> Vec<u8> {
    let mut wire = addresses.wire.to_vec();
    let record_bytes = wire.len() / usize::from(addresses.records);
    for record in wire.chunks_exact_mut(record_bytes) {
        // Behind the owner, the type and the class.
        record[6..10].copy_from_slice(&ttl.to_be_bytes());
    }
    wire
}
