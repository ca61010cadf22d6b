//! An update as a message has it: RFC 2136 §2.

use crate::protocol::Name;
use crate::protocol::message::{Header, MessageRecord, Reader, UPDATE};
use crate::zone::{Record, TTL_MAX, is_data_of, is_stored};
use domain::base::iana::{Class, Rtype};

pub(super) const FORMERR: u8 = 1;
pub(super) const SERVFAIL: u8 = 2;
pub(super) const NXDOMAIN: u8 = 3;
pub(super) const REFUSED: u8 = 5;
pub(super) const YXDOMAIN: u8 = 6;
pub(super) const YXRRSET: u8 = 7;
pub(super) const NXRRSET: u8 = 8;
pub(super) const NOTZONE: u8 = 10;

/// What has to hold before anything is done (§2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prerequisite {
    NameInUse(Name),
    NameNotInUse(Name),
    RrSet(Name, Rtype),
    NoRrSet(Name, Rtype),
    /// The name has just these records of their type.
    SameRrSet(Name, Rtype, Vec<Record>),
}

/// What is done (§2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Add(Name, Record),
    DeleteRrSet(Name, Rtype),
    DeleteName(Name),
    Delete(Name, Record),
}

/// An update that is well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) prerequisites: Vec<Prerequisite>,
    pub(super) changes: Vec<Change>,
}

/// The zone that an update is for: §3.1.1.
pub(crate) fn zone_of(message: &[u8]) -> Result<Name, u8> {
    let header = Header::of(message).filter(|header| header.opcode() == UPDATE && header.counts[0] == 1);
    header.ok_or(FORMERR)?;
    let zone = Reader::new(message).question().ok_or(FORMERR)?;
    if zone.rtype != Rtype::SOA || zone.class != Class::IN {
        return Err(FORMERR);
    }
    Ok(zone.name)
}

impl Request {
    /// Reads a message; `Err` is the RCODE.
    pub(super) fn parse(message: &[u8], apex: &Name) -> Result<Self, u8> {
        let header = Header::of(message).ok_or(FORMERR)?;
        if zone_of(message)? != *apex {
            return Err(NOTZONE);
        }
        let mut reader = Reader::new(message);
        reader.question().ok_or(FORMERR)?;
        let mut request = Self { prerequisites: Vec::new(), changes: Vec::new() };
        for _ in 0..header.counts[1] {
            let record = reader.record().ok_or(FORMERR)?;
            let prerequisite = prerequisite(&record, apex)?;
            request.require(prerequisite);
        }
        for _ in 0..header.counts[2] {
            let record = reader.record().ok_or(FORMERR)?;
            request.changes.push(change(&record, apex)?);
        }
        Ok(request)
    }

    /// Records of one RRset are one prerequisite (§3.2.3).
    fn require(&mut self, new: Prerequisite) {
        if let Prerequisite::SameRrSet(name, rtype, records) = &new {
            let same = self.prerequisites.iter_mut().find_map(|known| match known {
                Prerequisite::SameRrSet(known_name, known_type, known)
                    if known_name == name && known_type == rtype =>
                {
                    Some(known)
                }
                _ => None,
            });
            if let Some(known) = same {
                known.extend(records.iter().cloned());
                return;
            }
        }
        self.prerequisites.push(new);
    }
}

/// §3.2.
fn prerequisite(record: &MessageRecord<'_>, apex: &Name) -> Result<Prerequisite, u8> {
    let (owner, rtype) = (record.owner.clone(), record.rtype);
    if record.ttl != 0 {
        return Err(FORMERR);
    }
    if !owner.is_within(apex) {
        return Err(NOTZONE);
    }
    let is_empty = record.data.is_empty();
    Ok(match (record.class, rtype) {
        (Class::ANY, Rtype::ANY) if is_empty => Prerequisite::NameInUse(owner),
        (Class::NONE, Rtype::ANY) if is_empty => Prerequisite::NameNotInUse(owner),
        (Class::ANY, rtype) if is_empty && is_stored(rtype) => Prerequisite::RrSet(owner, rtype),
        (Class::NONE, rtype) if is_empty && is_stored(rtype) => Prerequisite::NoRrSet(owner, rtype),
        (Class::IN, rtype) if is_stored(rtype) => {
            let own = own(record)?;
            Prerequisite::SameRrSet(owner, rtype, vec![own])
        }
        _ => return Err(FORMERR),
    })
}

/// §3.4.1.
fn change(record: &MessageRecord<'_>, apex: &Name) -> Result<Change, u8> {
    let (owner, rtype) = (record.owner.clone(), record.rtype);
    if !owner.is_within(apex) {
        return Err(NOTZONE);
    }
    let is_bare = record.ttl == 0 && record.data.is_empty();
    Ok(match (record.class, rtype) {
        (Class::IN, rtype) if is_stored(rtype) => Change::Add(owner, own(record)?),
        (Class::ANY, Rtype::ANY) if is_bare => Change::DeleteName(owner),
        (Class::ANY, rtype) if is_bare && is_stored(rtype) => Change::DeleteRrSet(owner, rtype),
        (Class::NONE, rtype) if record.ttl == 0 && is_stored(rtype) => Change::Delete(owner, own(record)?),
        _ => return Err(FORMERR),
    })
}

fn own(record: &MessageRecord<'_>) -> Result<Record, u8> {
    let data = record.uncompressed().filter(|data| is_data_of(record.rtype, data)).ok_or(FORMERR)?;
    // RFC 2181 §8: with the highest bit it means zero.
    let ttl = if record.ttl > TTL_MAX { 0 } else { record.ttl };
    Ok(Record { owner: record.owner.as_wire().into(), rtype: record.rtype, ttl, data: data.into() })
}
