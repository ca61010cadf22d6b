//! A zone as records: what transfers, journals and signatures are made of, and how a zone is made of them again.

use super::build::ZoneBuilder;
use super::fault::Fault;
use super::hash::Key;
use super::node::{Node, RECORD_HEAD_BYTES, RrSet};
use super::{Zone, text};
use crate::policy::Kind;
use crate::protocol::Name;
use domain::base::iana::Rtype;
use std::sync::Arc;

/// A record of a zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// The owner's name in wire form, lower-cased.
    pub owner: Arc<[u8]>,
    /// The type.
    pub rtype: Rtype,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// The data in wire form, its names uncompressed.
    pub data: Box<[u8]>,
}

impl Zone {
    /// All records: name after name, each after all that it is below, the apex first; those of a name by ascending type; those of a
    /// type as they were added. A zone that is built of them again has them in the same order.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let mut data = Vec::new();
        self.nodes().flat_map(|(_, node)| node.rrsets().map(move |rrset| (node, rrset))).flat_map(
            move |(node, rrset)| {
                let owner: Arc<[u8]> = [node.relative_name(), self.apex.as_wire()].concat().into();
                let mut all = Vec::with_capacity(usize::from(rrset.records));
                for start in rrset.starts() {
                    data.clear();
                    self.uncompress(rrset, start, &mut data);
                    let owner = Arc::clone(&owner);
                    let ttl = rrset.ttl_at(start);
                    all.push(Record { owner, rtype: rrset.rtype, ttl, data: data.as_slice().into() });
                }
                all
            },
        )
    }

    /// The names by the offset of their node, each after all that it is below, the apex first.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (u32, Node<'_>)> {
        let mut next = (!self.is_withdrawn()).then_some(0);
        std::iter::from_fn(move || {
            let offset = next?;
            let (node, after) = self.node_and_next(offset);
            next = after;
            Some((offset, node))
        })
    }

    /// The node at this offset, and where the next one is.
    pub(crate) fn node_and_next(&self, offset: u32) -> (Node<'_>, Option<u32>) {
        let node = self.node(offset);
        let next = self.arena.len() - node.rrsets().rest().len();
        (node, (next < self.arena.len()).then_some(next as u32))
    }

    /// The node of this name, whatever is above it.
    pub(crate) fn node_named(&self, name: &Name) -> Option<Node<'_>> {
        if self.is_withdrawn() || !name.is_within(&self.apex) {
            return None;
        }
        self.get(name, name.labels(), Key::of_process().name(name))
    }

    /// The node that has the same name as one of another state of this zone.
    pub(crate) fn same_node(&self, other: &Zone, node: Node<'_>) -> Option<Node<'_>> {
        let wire = [node.relative_name(), other.apex.as_wire()].concat();
        self.node_of(&Name::from_wire(&wire).ok()?)
    }

    /// The node that records of this owner are at: that of the name, or of an NSEC3, whose owner nobody asks for.
    pub(crate) fn node_of(&self, owner: &Name) -> Option<Node<'_>> {
        self.node_named(owner).or_else(|| {
            if !owner.is_within(&self.apex) {
                return None;
            }
            let relative = self.relative(owner, owner.labels());
            let node = self.denial()?.hashed_node(self, owner)?;
            (node.relative_name() == relative).then_some(node)
        })
    }

    /// Takes all that it is made of into a digest, routes included as far as others see them.
    pub(crate) fn digest(&self, context: &mut aws_lc_rs::digest::Context) {
        context.update(self.apex.as_wire());
        context.update(&self.arena);
        for record in crate::transfer::records_of_routes(self) {
            context.update(&record.owner);
            context.update(&record.rtype.to_int().to_be_bytes());
            context.update(&record.ttl.to_be_bytes());
            context.update(&record.data);
        }
    }

    /// Whether it has just the records and routes of another one, in the same order.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let routes = |zone: &Self| zone.routes.kinds.iter().map(Arc::as_ptr).collect::<Vec<_>>();
        self.apex == other.apex
            && self.arena == other.arena
            && self.routes.nodes == other.routes.nodes
            && routes(self) == routes(other)
    }

    /// Appends the data of the record at `start` of an RRset of this zone, its names uncompressed.
    pub(crate) fn uncompress(&self, rrset: RrSet<'_>, start: usize, data: &mut Vec<u8>) {
        let wire = rrset.wire;
        let length = usize::from(u16::from_be_bytes([wire[start + 10], wire[start + 11]]));
        let (mut from, end) = (start + RECORD_HEAD_BYTES, start + RECORD_HEAD_BYTES + length);
        let within = from..end;
        for (at, into_rrset) in rrset.pointers().filter(|(at, _)| within.contains(at)) {
            data.extend_from_slice(&wire[from..at]);
            self.tail(rrset, (at, into_rrset), data);
            from = at + 2;
        }
        data.extend_from_slice(&wire[from..end]);
    }

    /// Appends what a pointer stands for. Pointers into the RRset lead to what comes before them, so this ends. They are told by the
    /// list of them alone: what stands there looks like anything.
    fn tail(&self, rrset: RrSet<'_>, (mut at, mut into_rrset): (usize, bool), data: &mut Vec<u8>) {
        while into_rrset {
            at = usize::from(u16::from_be_bytes([rrset.wire[at], rrset.wire[at + 1]]));
            loop {
                if let Some((_, kind)) = rrset.pointers().find(|(place, _)| *place == at) {
                    into_rrset = kind;
                    break;
                }
                let next = at + 1 + usize::from(rrset.wire[at]);
                data.extend_from_slice(&rrset.wire[at..next]);
                if rrset.wire[at] == 0 {
                    return;
                }
                at = next;
            }
        }
        data.extend_from_slice(self.apex.as_wire());
    }

    /// What answers for addresses in the place of records, by the name.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (Name, &Arc<Kind>)> {
        self.routes.nodes.iter().zip(&self.routes.kinds).map(|(offset, kind)| {
            let wire = [self.node(*offset).relative_name(), self.apex.as_wire()].concat();
            (Name::from_wire(&wire).expect("the arena has whole names"), kind)
        })
    }
}

impl ZoneBuilder {
    /// The records that are added next are of this source, as faults name it.
    pub fn source(&mut self, source: &str) {
        self.begin_source(&source.into());
    }

    /// Adds a record; the names in its data are uncompressed. What is wrong with it is told by [`ZoneBuilder::finish`].
    pub fn record(&mut self, owner: &Name, rtype: Rtype, ttl: u32, data: &[u8]) {
        let added = match self.names.intern(owner) {
            _ if self.is_too_large() => Err(super::build::TOO_LARGE.to_owned()),
            None => Err(format!("{owner} is outside the zone {}", self.names.apex())),
            Some(_) if !is_stored(rtype) => Err(format!("{rtype} is no type of record that a zone has")),
            Some(_) if !is_data_of(rtype, data) => Err(format!("{owner} has data that is no {rtype}")),
            Some(_) if ttl > super::TTL_MAX => {
                Err(format!("{owner} has the TTL {ttl} (max {})", super::TTL_MAX))
            }
            Some(id) => self.add(id, rtype, ttl, 0, data),
        };
        if let Err(message) = added {
            let source = self.source_now();
            self.errors.add(|| Fault { source, line: 0, column: 0, message });
        }
    }

    /// Puts all routes of a zone of the same name over this one.
    pub fn routes_of(&mut self, zone: &Zone) {
        for (name, kind) in zone.routes() {
            if let Some(id) = self.names.intern(&name) {
                self.routes.push((id, Arc::clone(kind)));
            }
        }
    }
}

/// RFC 6895 §3.1: types of questions and of messages' own records are in no zone.
pub(crate) fn is_stored(rtype: Rtype) -> bool {
    !matches!(rtype.to_int(), 0 | 41 | 128..=255)
}

/// Whether data in wire form, uncompressed, is of this type, as far as lengths and names tell.
pub(crate) fn is_data_of(rtype: Rtype, data: &[u8]) -> bool {
    data.len() <= usize::from(u16::MAX) && text::is_well_formed(rtype, data)
}
