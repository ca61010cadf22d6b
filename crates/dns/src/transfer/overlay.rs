//! A zone with changes over it, that becomes another zone.

use super::{Difference, soa_of};
use crate::error::Error;
use crate::protocol::Name;
use crate::zone::node::Node;
use crate::zone::{Record, Zone, ZoneBuilder, comparable_data};
use domain::base::iana::Rtype;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An owner and a type.
type Place = (Arc<[u8]>, u16);

/// A zone with changes over it.
pub(crate) struct Overlay<'z> {
    base: &'z Zone,
    /// What RRsets have now that have changed.
    changed: BTreeMap<Place, Vec<Record>>,
}

impl<'z> Overlay<'z> {
    pub(crate) fn new(base: &'z Zone) -> Self {
        Self { base, changed: BTreeMap::new() }
    }

    pub(crate) fn base(&self) -> &'z Zone {
        self.base
    }

    /// The records of an RRset.
    pub(crate) fn rrset(&self, owner: &Name, rtype: Rtype) -> Vec<Record> {
        match self.changed.get(&place(owner, rtype)) {
            Some(changed) => changed.clone(),
            None => self.in_base(owner, rtype),
        }
    }

    fn in_base(&self, owner: &Name, rtype: Rtype) -> Vec<Record> {
        let Some(node) = self.base.node_of(owner) else { return Vec::new() };
        let Some(rrset) = node.rrset(rtype) else { return Vec::new() };
        super::difference::records(self.base, node, rrset)
    }

    /// The types of which a name has records.
    pub(crate) fn types(&self, owner: &Name) -> Vec<Rtype> {
        let base = self.base.node_of(owner).into_iter().flat_map(Node::rrsets);
        let base = base.map(|rrset| rrset.rtype.to_int());
        let first = (Arc::from(owner.as_wire()), 0);
        let last = (Arc::clone(&first.0), u16::MAX);
        let changed: BTreeMap<u16, bool> =
            self.changed.range(first..=last).map(|((_, rtype), now)| (*rtype, !now.is_empty())).collect();
        let mut types: Vec<u16> = base.filter(|rtype| !changed.contains_key(rtype)).collect();
        types.extend(changed.iter().filter(|(_, is_there)| **is_there).map(|(rtype, _)| *rtype));
        types.sort_unstable();
        types.into_iter().map(Rtype::from_int).collect()
    }

    /// Puts these records in the place of an RRset.
    pub(crate) fn set(&mut self, owner: &Name, rtype: Rtype, records: Vec<Record>) {
        self.changed.insert(place(owner, rtype), records);
    }

    /// Whether anything was changed to something else.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed.iter().any(|((owner, rtype), now)| {
            Name::from_wire(owner).is_ok_and(|owner| {
                let before = self.in_base(&owner, Rtype::from_int(*rtype));
                before.len() != now.len() || now.iter().any(|record| !before.contains(record))
            })
        })
    }

    /// Changes the zone by a difference, which must begin at its state.
    pub(crate) fn apply(&mut self, difference: &Difference) -> Result<(), String> {
        let apex = self.base.apex().clone();
        let soa = self.rrset(&apex, Rtype::SOA);
        let serial = soa.first().and_then(|soa| super::soa_number(&soa.data, 0));
        if serial != Some(difference.from) {
            return Err(format!(
                "a difference begins at serial {}, and the zone is elsewhere",
                difference.from
            ));
        }
        for record in &difference.removed {
            let (owner, mut now) = self.of(record)?;
            let same = now.iter().position(|known| is_same(known, record));
            let Some(at) = same else {
                return Err(format!(
                    "a difference takes away a {} of {owner} that is not there",
                    record.rtype
                ));
            };
            now.remove(at);
            self.set(&owner, record.rtype, now);
        }
        for record in &difference.added {
            let (owner, mut now) = self.of(record)?;
            now.retain(|known| !is_same(known, record));
            now.push(record.clone());
            self.set(&owner, record.rtype, now);
        }
        self.set(&apex, Rtype::SOA, vec![difference.new_soa.clone()]);
        Ok(())
    }

    fn of(&self, record: &Record) -> Result<(Name, Vec<Record>), String> {
        let owner = Name::from_wire(&record.owner).map_err(|error| error.to_string())?;
        let now = self.rrset(&owner, record.rtype);
        Ok((owner, now))
    }

    /// What was changed, and to which SOA.
    pub(crate) fn difference(&self) -> Difference {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for ((owner, rtype), now) in &self.changed {
            let Ok(owner) = Name::from_wire(owner) else { continue };
            let rtype = Rtype::from_int(*rtype);
            if rtype == Rtype::SOA {
                continue;
            }
            let before = self.in_base(&owner, rtype);
            removed.extend(before.iter().filter(|record| !now.contains(record)).cloned());
            added.extend(now.iter().filter(|record| !before.contains(record)).cloned());
        }
        let (old_soa, new_soa) = (soa_of(self.base), self.soa());
        let serial = |soa: &Record| super::soa_number(&soa.data, 0).unwrap_or(0);
        Difference { from: serial(&old_soa), to: serial(&new_soa), old_soa, new_soa, removed, added }
    }

    /// Changes the zone by what of a difference still means something: the difference began at another state.
    pub(crate) fn apply_anyhow(&mut self, difference: &Difference) -> Result<(), String> {
        for record in &difference.removed {
            let (owner, mut now) = self.of(record)?;
            let before = now.len();
            now.retain(|known| !is_same(known, record));
            if now.len() < before {
                self.set(&owner, record.rtype, now);
            }
        }
        for record in &difference.added {
            let (owner, mut now) = self.of(record)?;
            now.retain(|known| !is_same(known, record));
            now.push(record.clone());
            now.iter_mut().for_each(|known| known.ttl = record.ttl);
            self.set(&owner, record.rtype, now);
        }
        Ok(())
    }

    /// The zone that it is by now, with the routes that the zone before had.
    ///
    /// # Errors
    /// When it would be none.
    pub(crate) fn build(self, source: &str) -> Result<Zone, Error> {
        let mut builder = ZoneBuilder::new(self.base.apex().clone());
        builder.source(source);
        builder.routes_of(self.base);
        let mut last: Option<(Arc<[u8]>, Name)> = None;
        let is_kept = |record: &Record| {
            self.changed.is_empty()
                || !self.changed.contains_key(&(Arc::clone(&record.owner), record.rtype.to_int()))
        };
        let kept = self.base.records().filter(is_kept);
        for record in kept.chain(self.changed.values().flatten().cloned()) {
            if last.as_ref().is_none_or(|(owner, _)| !Arc::ptr_eq(owner, &record.owner)) {
                let name = Name::from_wire(&record.owner)?;
                last = Some((Arc::clone(&record.owner), name));
            }
            if let Some((_, owner)) = &last {
                builder.record(owner, record.rtype, record.ttl, &record.data);
            }
        }
        Ok(builder.finish()?.zone)
    }

    /// The SOA as it is by now.
    pub(crate) fn soa(&self) -> Record {
        let now = self.changed.get(&place(self.base.apex(), Rtype::SOA));
        now.and_then(|now| now.first()).cloned().unwrap_or_else(|| soa_of(self.base))
    }
}

fn place(owner: &Name, rtype: Rtype) -> Place {
    (owner.as_wire().into(), rtype.to_int())
}

/// RFC 2136 §1.1.1: whether two records of one RRset have the same data.
pub(crate) fn is_same(one: &Record, other: &Record) -> bool {
    one.data == other.data
        || one.data.len() == other.data.len()
            && comparable_data(one.rtype, &one.data) == comparable_data(other.rtype, &other.data)
}
