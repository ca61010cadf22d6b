//! What DNSSEC adds to an answer for those who want it: signatures beside RRsets, and proofs of what is not there (RFC 4035 §3.1,
//! RFC 5155 §7.2). None of it is done for a zone that is not signed, or for a query without DO.

use super::resolution::{Looked, Resolution};
use crate::dnssec::{Denial, Proof};
use crate::protocol::Name;
use crate::protocol::response::{Full, Response, Section};
use crate::zone::Zone;
use crate::zone::node::{Node, RrSet};
use domain::base::iana::Rtype;

/// An RRset that begins further behind could have names that its pointers do not reach.
pub(super) const COMPRESSED_BYTES_MAX: usize = 9000;

impl<'z> Resolution<'_, 'z, '_> {
    /// Adds an RRset of a node, with its signatures if they are wanted: both or nothing. Says where it begins.
    #[inline]
    pub(super) fn put(
        &mut self,
        section: Section,
        node: Node<'z>,
        rrset: RrSet<'z>,
        owner_at: usize,
    ) -> Result<usize, Full> {
        if self.denial.is_none() {
            return self.response.add(section, rrset, owner_at);
        }
        self.put_signed(section, node, rrset, owner_at)
    }

    fn put_signed(
        &mut self,
        section: Section,
        node: Node<'z>,
        rrset: RrSet<'z>,
        owner_at: usize,
    ) -> Result<usize, Full> {
        if rrset.is_compressed() && self.response.bytes() > COMPRESSED_BYTES_MAX {
            return Err(Full);
        }
        let start = self.response.add(section, rrset, owner_at)?;
        if let Some(signatures) = node.signatures(rrset.rtype) {
            self.beside(section, signatures, owner_at, (start, rrset.records))?;
        }
        Ok(start)
    }

    /// Adds the addresses that a route has chosen. Chance decides which comes first.
    pub(super) fn put_chosen(
        &mut self,
        (addresses, signatures): (RrSet<'_>, RrSet<'_>),
        looked: Looked<'_>,
    ) -> Result<(), Full> {
        let record_bytes = addresses.wire.len() / usize::from(addresses.records);
        let first = (self.asked.facts.draw >> 32) as usize % usize::from(addresses.records);
        let turned =
            [&addresses.wire[first * record_bytes..], &addresses.wire[..first * record_bytes]].concat();
        let turned = RrSet::of_addresses(addresses.rtype, addresses.records, &turned);
        let start = self.response.add(Section::Answer, turned, looked.owner_at)?;
        self.beside(Section::Answer, signatures, looked.owner_at, (start, addresses.records))?;
        self.prove_expansion(looked);
        Ok(())
    }

    /// Adds signatures, or takes back what they sign: where it began, and how many records it has.
    fn beside(
        &mut self,
        section: Section,
        signatures: RrSet<'_>,
        owner_at: usize,
        (start, records): (usize, u16),
    ) -> Result<(), Full> {
        let added = self.response.add(section, signatures, owner_at);
        if added.is_err() {
            self.response.take_back(section, start, records);
        }
        added.map(drop)
    }

    /// Remembers what has to be proven, if it has to be.
    #[inline]
    pub(super) fn prove(&mut self, proof: impl FnOnce(&Denial, &Zone, &mut Proof)) {
        if let Some(denial) = self.denial {
            proof(denial, self.zone, &mut self.proof);
        }
    }

    /// The name is there by a wildcard: that there is nothing closer.
    #[inline]
    pub(super) fn prove_expansion(&mut self, looked: Looked<'_>) {
        if looked.is_expanded && self.denial.is_some() {
            let encloser = self.zone.encloser_labels(looked.name, self.apex);
            self.prove(|denial, zone, proof| denial.expanded(zone, looked.name, encloser, proof));
        }
    }

    /// The name is there, and has no data of the type that is asked for.
    #[inline]
    pub(super) fn prove_no_data(&mut self, looked: Looked<'_>) {
        if self.denial.is_none() {
            return;
        }
        if looked.is_expanded {
            let encloser = self.zone.encloser_labels(looked.name, self.apex);
            self.prove(|denial, zone, proof| denial.no_data_by_wildcard(zone, looked.name, encloser, proof));
        } else {
            self.prove(|denial, zone, proof| denial.no_data(zone, looked.name, looked.name.labels(), proof));
        }
    }

    /// The name is not there.
    #[inline]
    pub(super) fn prove_no_name(&mut self, name: &Name) {
        if self.denial.is_some() {
            let encloser = self.zone.encloser_labels(name, self.apex);
            self.prove(|denial, zone, proof| denial.no_name(zone, name, encloser, proof));
        }
    }

    /// RFC 4035 §3.1.4: whether the zone below a cut, whose name is the last `labels` labels of this one, is signed.
    pub(super) fn delegate(
        &mut self,
        cut: Node<'z>,
        (name, labels): (&Name, usize),
        owner_at: usize,
    ) -> Result<(), Full> {
        if self.denial.is_none() {
            return Ok(());
        }
        match cut.rrset(Rtype::DS) {
            Some(signers) => drop(self.put(Section::Authority, cut, signers, owner_at)?),
            None => self.prove(|denial, zone, proof| denial.no_data(zone, name, labels, proof)),
        }
        self.show_proof()
    }

    /// RFC 2308 §3: the SOA, with the TTL that the absence may be remembered for, and what proves it.
    #[cold]
    pub(super) fn negative_signed(&mut self, soa: RrSet<'z>, ttl: u32) -> Result<(), Full> {
        let apex = self.zone.apex_node();
        let start = self.put(Section::Authority, apex, soa, self.response.apex_at)?;
        self.response.set_ttl(start, ttl);
        // RFC 4034 §3: a signature's TTL is that of what it signs.
        for signature in apex.signatures(Rtype::SOA).iter().flat_map(|signatures| signatures.starts()) {
            self.response.set_ttl(start + soa.wire.len() + signature, ttl);
        }
        self.show_proof()
    }

    /// Writes what was to be proven into the authority section.
    #[inline]
    pub(super) fn show_proof(&mut self) -> Result<(), Full> {
        match self.denial {
            Some(denial) if !self.proof.nodes().is_empty() => self.write_proof(denial.rtype()),
            _ => Ok(()),
        }
    }

    fn write_proof(&mut self, rtype: Rtype) -> Result<(), Full> {
        let made = self.made_denial.take();
        for &at in std::mem::take(&mut self.proof).nodes() {
            let node = self.zone.node(at);
            match made.as_ref().filter(|made| made.node == at) {
                Some(made) => self.write_denial(node, made.rrset(), Some(made.signatures()))?,
                None => {
                    let Some(rrset) = node.rrset(rtype) else { continue };
                    self.write_denial(node, rrset, node.signatures(rtype))?;
                }
            }
        }
        Ok(())
    }

    fn write_denial(
        &mut self,
        node: Node<'z>,
        rrset: RrSet<'_>,
        signatures: Option<RrSet<'_>>,
    ) -> Result<(), Full> {
        let start = self.response.add_named(Section::Authority, rrset, node.relative_name())?;
        let Some(signatures) = signatures else { return Ok(()) };
        let owner_at = if node.relative_name().is_empty() { self.response.apex_at } else { start };
        if Response::reaches(owner_at) {
            self.beside(Section::Authority, signatures, owner_at, (start, rrset.records))
        } else {
            let added = self.response.add_named(Section::Authority, signatures, node.relative_name());
            if added.is_err() {
                self.response.take_back(Section::Authority, start, rrset.records);
            }
            added.map(drop)
        }
    }
}
