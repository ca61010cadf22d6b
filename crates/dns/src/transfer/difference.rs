//! What is different between two states of a zone, by records.

use super::{records_of_routes, soa_of};
use crate::zone::node::{Node, RrSet};
use crate::zone::{Record, Zone};
use domain::base::iana::Rtype;
use std::sync::Arc;

/// RFC 1982 §3.2: whether a serial number comes after another. Two that are 2^31 apart are in no order.
pub(crate) fn is_newer(serial: u32, than: u32) -> bool {
    let distance = serial.wrapping_sub(than);
    distance != 0 && distance < 1 << 31
}

/// From one serial number to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) old_soa: Record,
    pub(crate) new_soa: Record,
    /// All but the SOA.
    pub(crate) removed: Vec<Record>,
    pub(crate) added: Vec<Record>,
}

impl Difference {
    /// What makes `new` of `old`, as other servers have them: [`records_of_routes`].
    pub(crate) fn between(old: &Zone, new: &Zone) -> Self {
        let mut all = Self::of_records(old, new);
        let (before, now) = (records_of_routes(old), records_of_routes(new));
        all.removed.extend(before.iter().filter(|record| now.binary_search(record).is_err()).cloned());
        all.added.extend(now.into_iter().filter(|record| before.binary_search(record).is_err()));
        all
    }

    /// The same of the zones' own records alone.
    pub(crate) fn of_records(old: &Zone, new: &Zone) -> Self {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (_, node) in new.nodes() {
            let before = old.same_node(new, node);
            for rrset in node.rrsets() {
                let same = before.and_then(|before| before.rrset(rrset.rtype));
                compare((old, same), (new, Some(rrset)), node, &mut removed, &mut added);
            }
        }
        for (_, node) in old.nodes() {
            let now = new.same_node(old, node);
            for rrset in node.rrsets() {
                if now.is_none_or(|now| now.rrset(rrset.rtype).is_none()) {
                    compare((old, Some(rrset)), (new, None), node, &mut removed, &mut added);
                }
            }
        }
        Self {
            from: old.figures().serial,
            to: new.figures().serial,
            old_soa: soa_of(old),
            new_soa: soa_of(new),
            removed,
            added,
        }
    }

    /// Whether all records but the SOA are the same.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Octets that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let records = self.removed.iter().chain(&self.added);
        records.map(|record| record.owner.len() + record.data.len() + size_of::<Record>()).sum::<usize>()
            + size_of::<Self>()
    }
}

/// The records of an RRset that are in one of two states.
fn compare(
    (old, before): (&Zone, Option<RrSet<'_>>),
    (new, now): (&Zone, Option<RrSet<'_>>),
    node: Node<'_>,
    removed: &mut Vec<Record>,
    added: &mut Vec<Record>,
) {
    let rtype = before.or(now).map(|rrset| rrset.rtype);
    if rtype == Some(Rtype::SOA) || before.zip(now).is_some_and(|(before, now)| before.is_same(now)) {
        return;
    }
    let before = before.map_or_else(Vec::new, |rrset| records(old, node, rrset));
    let now = now.map_or_else(Vec::new, |rrset| records(new, node, rrset));
    removed.extend(before.iter().filter(|record| !now.contains(record)).cloned());
    added.extend(now.into_iter().filter(|record| !before.contains(record)));
}

/// The records of an RRset of a node of this name.
pub(super) fn records(zone: &Zone, node: Node<'_>, rrset: RrSet<'_>) -> Vec<Record> {
    let owner: Arc<[u8]> = [node.relative_name(), zone.apex().as_wire()].concat().into();
    let record = |start| {
        let mut data = Vec::new();
        zone.uncompress(rrset, start, &mut data);
        let owner = Arc::clone(&owner);
        Record { owner, rtype: rrset.rtype, ttl: rrset.ttl_at(start), data: data.into() }
    };
    rrset.starts().map(record).collect()
}
