//! One RRset in wire form: names are compressed towards the apex and earlier records, and it is noted where that was done.

use super::build::ZoneBuilder;
use super::node::{INTO_RRSET, RECORD_HEAD_BYTES, TO_QUESTION};
use crate::protocol::Name;
use domain::base::iana::Rtype;

/// What an entry for a pointer or a target can reach within an RRset.
const ENTRY_MAX: usize = 0x7fff;
/// How deep within an RRset a pointer may point: in a response, the RRset begins below 9000 octets even after the longest chain
/// of aliases, and a pointer reaches 16383.
const SUFFIX_MAX: usize = 7000;
/// Suffixes that are kept to be pointed at.
const SUFFIXES_MAX: usize = 32;

/// Where names are in the data of a type.
#[derive(Clone, Copy)]
struct Names {
    /// Octets before the first.
    prefix: usize,
    /// How many follow each other.
    count: usize,
    /// RFC 3597 §4: only names in the types of RFC 1035 are compressed.
    compressed: bool,
    /// Their addresses are wanted along with them (RFC 1034 §4.3.2, RFC 2782, RFC 9460 §4.2).
    wanted: bool,
}

fn names(rtype: Rtype) -> Option<Names> {
    let (prefix, count, compressed, wanted) = match rtype {
        Rtype::NS => (0, 1, true, true),
        Rtype::CNAME | Rtype::PTR | Rtype::MB | Rtype::MD | Rtype::MF | Rtype::MG | Rtype::MR => {
            (0, 1, true, false)
        }
        Rtype::SOA | Rtype::MINFO => (0, 2, true, false),
        Rtype::MX => (2, 1, true, true),
        Rtype::SRV => (6, 1, false, true),
        Rtype::SVCB | Rtype::HTTPS => (2, 1, false, true),
        Rtype::DNAME => (0, 1, false, false),
        _ => return None,
    };
    Some(Names { prefix, count, compressed, wanted })
}

/// An RRset that is being laid out; its buffers are used again.
#[derive(Default)]
pub(super) struct RrSetLayout {
    /// Owner, type, class.
    head: [u8; 6],
    wire: Vec<u8>,
    pointers: Vec<u16>,
    targets: Vec<(Name, u16)>,
    /// Suffixes of names that were written, and where: to be pointed at.
    suffixes: Vec<(Vec<u8>, u16)>,
    names: Option<Names>,
}

impl RrSetLayout {
    pub(super) fn begin(&mut self, rtype: Rtype) {
        self.wire.clear();
        self.pointers.clear();
        self.targets.clear();
        self.suffixes.clear();
        let [high, low] = rtype.to_int().to_be_bytes();
        self.head = [TO_QUESTION[0], TO_QUESTION[1], high, low, 0, 1];
        self.names = names(rtype);
    }

    pub(super) fn rtype(&self) -> Rtype {
        Rtype::from_int(u16::from_be_bytes([self.head[2], self.head[3]]))
    }

    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Entries for pointers that depend on the response.
    pub(super) fn pointers(&self) -> &[u16] {
        &self.pointers
    }

    /// Names whose addresses are wanted, and where they stand.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&Name, u16)> {
        self.targets.iter().map(|(name, at)| (name, *at))
    }

    /// Adds a record with this data, which is in wire form and uncompressed.
    pub(super) fn record(&mut self, apex: &Name, ttl: u32, data: &[u8]) {
        let start = self.wire.len();
        self.wire.extend_from_slice(&self.head);
        self.wire.extend_from_slice(&ttl.to_be_bytes());
        self.wire.extend_from_slice(&(data.len() as u16).to_be_bytes());
        match self.names {
            None => self.wire.extend_from_slice(data),
            Some(names) => self.data_with_names(names, apex, data),
        }
        let length = (self.wire.len() - start - RECORD_HEAD_BYTES) as u16;
        self.wire[start + 10..start + RECORD_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    }

    fn data_with_names(&mut self, names: Names, apex: &Name, data: &[u8]) {
        let (prefix, mut rest) = data.split_at(names.prefix.min(data.len()));
        self.wire.extend_from_slice(prefix);
        for _ in 0..names.count {
            let Ok(name) = Name::from_wire(rest) else { break };
            let (wire, after) = rest.split_at(name.wire_len());
            let at = self.wire.len();
            if names.compressed {
                self.name(&name, wire, apex);
            } else {
                self.wire.extend_from_slice(wire);
            }
            rest = after;
            if names.wanted && at <= ENTRY_MAX {
                self.targets.push((name, at as u16));
            }
        }
        self.wire.extend_from_slice(rest);
    }

    /// Writes a name as far as it was not written before.
    fn name(&mut self, name: &Name, wire: &[u8], apex: &Name) {
        for labels in (1..=name.labels()).rev() {
            let from = name.suffix_start(labels);
            let at = self.wire.len();
            if at > ENTRY_MAX {
                self.wire.extend_from_slice(&wire[from..]);
                return;
            }
            if name.as_wire()[from..] == *apex.as_wire() {
                self.pointers.push(at as u16);
                self.wire.extend_from_slice(&TO_QUESTION);
                return;
            }
            if let Some((_, place)) = self.suffixes.iter().find(|(suffix, _)| *suffix == wire[from..]) {
                self.pointers.push(at as u16 | INTO_RRSET);
                self.wire.extend_from_slice(&place.to_be_bytes());
                return;
            }
            if at <= SUFFIX_MAX && self.suffixes.len() < SUFFIXES_MAX {
                self.suffixes.push((wire[from..].to_vec(), at as u16));
            }
            let end = name.suffix_start(labels - 1);
            self.wire.extend_from_slice(&wire[from..end]);
        }
        self.wire.push(0);
    }
}

/// The data of a record so that records that mean the same are equal: names in it do not tell cases apart.
pub(super) fn comparable(builder: &ZoneBuilder, record: u32) -> Vec<u8> {
    let record = &builder.records[record as usize];
    comparable_data(record.rtype, builder.data_of(record))
}

/// The same of data in wire form, uncompressed.
pub(crate) fn comparable_data(rtype: Rtype, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    if let Some(names) = names(rtype) {
        let mut at = names.prefix.min(data.len());
        for _ in 0..names.count {
            let Ok(name) = Name::from_wire(&data[at..]) else { break };
            data[at..at + name.wire_len()].copy_from_slice(name.as_wire());
            at += name.wire_len();
        }
    }
    data
}

impl super::Zone {
    /// The name at the start of data that lies in this zone's arena: its pointers lead to the apex, as a lone record has no others.
    pub(crate) fn name_in(&self, data: &[u8]) -> Box<Name> {
        let mut wire = Vec::with_capacity(crate::protocol::NAME_BYTES_MAX);
        let mut at = 0;
        loop {
            match data.get(at).copied() {
                Some(length @ 1..=63) => {
                    let end = at + 1 + usize::from(length);
                    wire.extend_from_slice(&data[at..end]);
                    at = end;
                }
                Some(0) | None => {
                    wire.push(0);
                    break;
                }
                Some(_) => {
                    wire.extend_from_slice(self.apex().as_wire());
                    break;
                }
            }
        }
        Box::new(Name::from_wire(&wire).expect("the arena has whole names"))
    }
}
