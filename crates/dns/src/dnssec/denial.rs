//! What a signed zone proves absence with: its NSEC or NSEC3 records in their order, and which of them prove what.
//!
//! A proof is a list of nodes, whose NSEC or NSEC3 goes into the authority section: RFC 4035 §3.1.3, RFC 5155 §7.2, RFC 6840 §4.

use super::nsec3::{LABEL_BYTES, Parameters};
use super::{nsec3, order};
use crate::protocol::Name;
use crate::zone::Zone;
use crate::zone::node::Node;
use domain::base::iana::Rtype;
use std::cmp::Ordering;

/// What a signed zone proves absence with.
#[derive(Debug)]
pub(crate) struct Denial {
    /// The nodes of the chain in its order: canonical, or that of the hashes.
    chain: Box<[u32]>,
    /// `None`: NSEC.
    hashed: Option<Parameters>,
}

/// Nodes whose NSEC or NSEC3 together prove something, each once.
#[derive(Debug, Default)]
pub(crate) struct Proof(Vec<u32>);

impl Proof {
    pub(crate) fn nodes(&self) -> &[u32] {
        &self.0
    }

    fn add(&mut self, node: Option<u32>) {
        if let Some(node) = node.filter(|node| !self.0.contains(node)) {
            self.0.push(node);
        }
    }
}

impl Denial {
    /// That of a zone which has these nodes with NSEC or NSEC3; `None` if the zone is not signed.
    pub(crate) fn of(zone: &Zone, nodes: &[u32]) -> Option<Box<Self>> {
        let apex = zone.apex_node();
        apex.signatures(Rtype::SOA)?;
        let hashed = parameters(apex);
        let mut chain: Vec<u32> = match &hashed {
            None => {
                nodes.iter().copied().filter(|node| zone.node(*node).rrset(Rtype::NSEC).is_some()).collect()
            }
            Some(parameters) => {
                nodes.iter().copied().filter(|node| is_hashed_with(zone.node(*node), parameters)).collect()
            }
        };
        chain.sort_unstable_by(|one, other| {
            order::compare(zone.node(*one).relative_name(), zone.node(*other).relative_name())
        });
        Some(Box::new(Self { chain: chain.into(), hashed }))
    }

    /// The node of the NSEC3 whose owner this is.
    pub(crate) fn hashed_node<'z>(&self, zone: &'z Zone, owner: &Name) -> Option<Node<'z>> {
        let label = owner.as_wire().get(1..=LABEL_BYTES)?.try_into().ok()?;
        self.hashed.as_ref()?;
        Some(zone.node(self.matching(zone, label)?))
    }

    /// The type of its records.
    pub(crate) fn rtype(&self) -> Rtype {
        if self.hashed.is_some() { Rtype::NSEC3 } else { Rtype::NSEC }
    }

    /// Octets that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.chain)
    }

    /// `name` is not there, nor is a wildcard for it: the last `encloser` labels of it are the longest that are.
    pub(crate) fn no_name(&self, zone: &Zone, name: &Name, encloser: usize, proof: &mut Proof) {
        match &self.hashed {
            None => {
                proof.add(self.nsec(zone, relative(zone, name, name.labels())));
                proof.add(self.nsec(zone, &wildcard(relative(zone, name, encloser))));
            }
            Some(parameters) => {
                let proven = self.closest_encloser(zone, parameters, name, encloser, proof);
                proof.add(self.covering(zone, &parameters.label(&[b"\x01*", suffix(name, proven)])));
            }
        }
    }

    /// A wildcard below the last `encloser` labels of `name` stands for it: there is nothing closer.
    pub(crate) fn expanded(&self, zone: &Zone, name: &Name, encloser: usize, proof: &mut Proof) {
        match &self.hashed {
            None => proof.add(self.nsec(zone, relative(zone, name, name.labels()))),
            Some(parameters) => {
                proof.add(self.covering(zone, &parameters.label(&[suffix(name, encloser + 1)])));
            }
        }
    }

    /// A wildcard below the last `encloser` labels of `name` stands for it, and has no data of a type.
    pub(crate) fn no_data_by_wildcard(&self, zone: &Zone, name: &Name, encloser: usize, proof: &mut Proof) {
        match &self.hashed {
            None => {
                proof.add(self.nsec(zone, &wildcard(relative(zone, name, encloser))));
                proof.add(self.nsec(zone, relative(zone, name, name.labels())));
            }
            Some(parameters) => {
                let proven = self.closest_encloser(zone, parameters, name, encloser, proof);
                proof.add(self.matching(zone, &parameters.label(&[b"\x01*", suffix(name, proven)])));
            }
        }
    }

    /// The last `labels` labels of `name` are a name that is there, and has no data of a type; for a cut, no DS.
    pub(crate) fn no_data(&self, zone: &Zone, name: &Name, labels: usize, proof: &mut Proof) {
        match &self.hashed {
            // RFC 4035 §3.1.3.1; an empty non-terminal has none of its own, and is covered.
            None => proof.add(self.nsec(zone, relative(zone, name, labels))),
            Some(parameters) => match self.matching(zone, &parameters.label(&[suffix(name, labels)])) {
                Some(node) => proof.add(Some(node)),
                // RFC 5155 §7.2.4, §7.2.7: without one of its own it is in a span that was opted out.
                None => drop(self.closest_encloser(zone, parameters, name, labels.saturating_sub(1), proof)),
            },
        }
    }

    /// RFC 5155 §7.2.1: from the last `encloser` labels of `name` upwards the first that has an NSEC3, and one that covers the name
    /// below it. Says how many labels it has.
    fn closest_encloser(
        &self,
        zone: &Zone,
        parameters: &Parameters,
        name: &Name,
        encloser: usize,
        proof: &mut Proof,
    ) -> usize {
        for labels in (zone.apex().labels()..=encloser).rev() {
            if let Some(node) = self.matching(zone, &parameters.label(&[suffix(name, labels)])) {
                proof.add(Some(node));
                proof.add(self.covering(zone, &parameters.label(&[suffix(name, labels + 1)])));
                return labels;
            }
        }
        zone.apex().labels()
    }

    /// The node of the NSEC or NSEC3 that tells the types of a name of the zone.
    pub(crate) fn at(&self, zone: &Zone, name: Node<'_>) -> Option<u32> {
        let relative = name.relative_name();
        match &self.hashed {
            None => self.nsec(zone, relative).filter(|found| zone.node(*found).relative_name() == relative),
            Some(parameters) => self.matching(zone, &parameters.label(&[relative, zone.apex().as_wire()])),
        }
    }

    /// The node of the NSEC at this name, or of the one that covers it.
    fn nsec(&self, zone: &Zone, relative: &[u8]) -> Option<u32> {
        let order = |node: &u32| order::compare(zone.node(*node).relative_name(), relative);
        let after = self.chain.partition_point(|node| order(node).is_le());
        self.chain.get(after.checked_sub(1)?).copied()
    }

    /// The node of the NSEC3 with this hash.
    fn matching(&self, zone: &Zone, label: &[u8; LABEL_BYTES]) -> Option<u32> {
        let found = self.chain.binary_search_by(|node| by_label(zone, *node, label)).ok()?;
        Some(self.chain[found])
    }

    /// The node of the NSEC3 whose span has this hash; the last one's goes round.
    fn covering(&self, zone: &Zone, label: &[u8; LABEL_BYTES]) -> Option<u32> {
        let after = self.chain.partition_point(|node| by_label(zone, *node, label).is_lt());
        after.checked_sub(1).map_or_else(|| self.chain.last(), |before| self.chain.get(before)).copied()
    }
}

/// The digits are in the order of the octets that they stand for.
fn by_label(zone: &Zone, node: u32, label: &[u8; LABEL_BYTES]) -> Ordering {
    zone.node(node).relative_name()[1..].cmp(label)
}

/// RFC 5155 §4: the NSEC3PARAM at the apex says which NSEC3 are used; those with flags are for a signer.
fn parameters(apex: Node<'_>) -> Option<Parameters> {
    let rrset = apex.rrset(Rtype::NSEC3PARAM)?;
    let all = rrset.rdatas().filter_map(Parameters::of);
    all.filter(|(parameters, flags)| *flags == 0 && parameters.iterations <= nsec3::ITERATIONS_MAX)
        .map(|(parameters, _)| parameters)
        .next()
}

fn is_hashed_with(node: Node<'_>, parameters: &Parameters) -> bool {
    let is_it = |rdata: &[u8]| Parameters::of(rdata).is_some_and(|(own, _)| own == *parameters);
    node.relative_name().split_first().is_some_and(|(_, label)| nsec3::is_label(label))
        && node.rrset(Rtype::NSEC3).is_some_and(|rrset| rrset.rdatas().any(is_it))
}

/// What of the last `labels` labels of a name is below the apex.
fn relative<'n>(zone: &Zone, name: &'n Name, labels: usize) -> &'n [u8] {
    &name.as_wire()[name.suffix_start(labels)..name.wire_len() - zone.apex().wire_len()]
}

fn suffix(name: &Name, labels: usize) -> &[u8] {
    &name.as_wire()[name.suffix_start(labels)..]
}

fn wildcard(relative: &[u8]) -> Vec<u8> {
    [b"\x01*", relative].concat()
}
