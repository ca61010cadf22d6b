//! How names and their RRsets lie in a zone's arena.
//!
//! A node: flags, length of the relative name, number of RRsets (2 octets), the relative name in lower-cased wire form without
//! the root's octet, and the RRsets. RRSIGs are sorted by the type that they cover. An RRset: type (2), records (2), octets of the records (4, the highest bit says whether there are
//! links), and if there are links, the number of pointers (2) and of targets (2); then the records in wire form; then the pointers,
//! two octets each; then the targets, six octets each. Numbers are little-endian but for those within the wire form.
//!
//! In wire form each record begins with `C0 0C`, a pointer to the question's name: it is right where the owner is what was asked
//! for, and is written over where it is not. Names within the records are compressed by pointers to the apex, which is a suffix of
//! every name that is asked for, or to an earlier record of the same RRset. Where those pointers are is listed, as their values
//! depend on the question.

use domain::base::iana::Rtype;

/// It has NS and is not the apex: what is below belongs to another zone.
pub(crate) const CUT: u8 = 1;
/// It is below a cut: at most glue.
pub(crate) const OCCLUDED: u8 = 2;
/// A wildcard is right below it.
pub(crate) const WILDCARD_BELOW: u8 = 4;
/// It has a CNAME.
pub(crate) const CNAME: u8 = 8;
/// It has a DNAME.
pub(crate) const DNAME: u8 = 16;
/// A route answers for its addresses.
pub(crate) const ROUTE: u8 = 32;

pub(crate) const NODE_BYTES: usize = 4;
pub(crate) const LINKED: u32 = 1 << 31;
pub(crate) const TARGET_BYTES: usize = 6;
/// In a pointer's entry: it points into its own RRset, and not to the apex.
pub(crate) const INTO_RRSET: u16 = 0x8000;
/// In a target's entry: the name is below the owner, and useless without its addresses (RFC 9471).
pub(crate) const REQUIRED: u16 = 0x8000;
/// The start of a pointer to the question's name.
pub(crate) const TO_QUESTION: [u8; 2] = [0xc0, 0x0c];
/// Owner (compressed), type, class, TTL, length.
pub(crate) const RECORD_HEAD_BYTES: usize = 12;

/// A name of the zone, and what it has.
#[derive(Clone, Copy)]
pub(crate) struct Node<'z> {
    bytes: &'z [u8],
}

impl<'z> Node<'z> {
    #[inline]
    pub(crate) fn at(arena: &'z [u8], offset: u32) -> Self {
        Self { bytes: &arena[offset as usize..] }
    }

    #[inline]
    pub(crate) fn has(self, flags: u8) -> bool {
        self.bytes[0] & flags != 0
    }

    /// Octets from its beginning to the arena's end: what tells it from all others.
    #[inline]
    pub(crate) fn octets_left(self) -> usize {
        self.bytes.len()
    }

    /// Lower-cased, without what is above the zone's apex and without the root's octet.
    #[inline]
    pub(crate) fn relative_name(self) -> &'z [u8] {
        &self.bytes[NODE_BYTES..NODE_BYTES + usize::from(self.bytes[1])]
    }

    /// Its RRsets, in the order of their types.
    #[inline]
    pub(crate) fn rrsets(self) -> RrSets<'z> {
        RrSets {
            bytes: &self.bytes[NODE_BYTES + usize::from(self.bytes[1])..],
            left: u16::from_le_bytes([self.bytes[2], self.bytes[3]]),
        }
    }

    /// The RRset of this type.
    #[inline]
    pub(crate) fn rrset(self, rtype: Rtype) -> Option<RrSet<'z>> {
        self.rrsets().find(|rrset| rrset.rtype == rtype)
    }

    /// The signatures of the RRset of this type: they lie side by side.
    pub(crate) fn signatures(self, covered: Rtype) -> Option<RrSet<'z>> {
        let all = self.rrset(Rtype::RRSIG)?;
        let covers =
            |start: &usize| all.wire[start + RECORD_HEAD_BYTES..][..2] == covered.to_int().to_be_bytes();
        let first = all.starts().find(covers)?;
        let wire = &all.wire[first..];
        let (mut records, mut end) = (0, wire.len());
        for start in (RrSet { wire, ..all }).starts() {
            if !covers(&(first + start)) {
                end = start;
                break;
            }
            records += 1;
        }
        Some(RrSet { rtype: Rtype::RRSIG, records, wire: &wire[..end], pointers: &[], targets: &[] })
    }
}

/// The RRsets of a node.
pub(crate) struct RrSets<'z> {
    bytes: &'z [u8],
    left: u16,
}

impl<'z> RrSets<'z> {
    /// What follows in the arena once all of them were read.
    pub(crate) fn rest(mut self) -> &'z [u8] {
        while self.next().is_some() {}
        self.bytes
    }
}

/// One RRset, ready to be copied.
#[derive(Clone, Copy)]
pub(crate) struct RrSet<'z> {
    pub(crate) rtype: Rtype,
    pub(crate) records: u16,
    /// All records in wire form.
    pub(crate) wire: &'z [u8],
    /// Where in `wire` pointers have to be set.
    pointers: &'z [u8],
    /// Names in `wire` that have addresses in the zone.
    targets: &'z [u8],
}

/// A name in an RRset that has addresses in the zone.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The offset of its node.
    pub(crate) node: u32,
    /// Where the name is in the wire form.
    pub(crate) name_at: usize,
    /// RFC 9471: a referral without it is none.
    pub(crate) required: bool,
}

impl<'z> Iterator for RrSets<'z> {
    type Item = RrSet<'z>;

    #[inline]
    fn next(&mut self) -> Option<RrSet<'z>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.bytes.split_first_chunk::<8>().expect("the arena has whole RRsets");
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let (mut pointers, mut targets, mut rest) = (0, 0, rest);
        if length & LINKED != 0 {
            let links;
            (links, rest) = rest.split_first_chunk::<4>().expect("the arena has whole RRsets");
            pointers = 2 * usize::from(u16::from_le_bytes([links[0], links[1]]));
            targets = TARGET_BYTES * usize::from(u16::from_le_bytes([links[2], links[3]]));
        }
        let (wire, rest) = rest.split_at((length & !LINKED) as usize);
        let (pointers, rest) = rest.split_at(pointers);
        let (targets, rest) = rest.split_at(targets);
        self.bytes = rest;
        Some(RrSet {
            rtype: Rtype::from_int(u16::from_le_bytes([head[0], head[1]])),
            records: u16::from_le_bytes([head[2], head[3]]),
            wire,
            pointers,
            targets,
        })
    }
}

impl<'z> RrSet<'z> {
    /// One that lies in no zone: its records begin with a pointer to the question's name, and hold no names.
    #[inline]
    pub(crate) fn of_addresses(rtype: Rtype, records: u16, wire: &'z [u8]) -> Self {
        Self { rtype, records, wire, pointers: &[], targets: &[] }
    }

    /// Where pointers have to be set, and whether into the RRset itself (else to the apex).
    #[inline]
    pub(crate) fn pointers(self) -> impl Iterator<Item = (usize, bool)> + use<'z> {
        self.pointers.as_chunks::<2>().0.iter().map(|entry| {
            let entry = u16::from_le_bytes(*entry);
            (usize::from(entry & !INTO_RRSET), entry & INTO_RRSET != 0)
        })
    }

    #[inline]
    pub(crate) fn targets(self) -> impl Iterator<Item = Target> + use<'z> {
        self.targets.as_chunks::<TARGET_BYTES>().0.iter().map(|entry| {
            let name = u16::from_le_bytes([entry[4], entry[5]]);
            Target {
                node: u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]),
                name_at: usize::from(name & !REQUIRED),
                required: name & REQUIRED != 0,
            }
        })
    }

    /// Each record's place in the wire form.
    #[inline]
    pub(crate) fn starts(self) -> impl Iterator<Item = usize> + use<'z> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let length = self.wire.get(at + 10..at + 12)?;
            let start = at;
            at += RECORD_HEAD_BYTES + usize::from(u16::from_be_bytes([length[0], length[1]]));
            Some(start)
        })
    }

    /// Each record in wire form.
    pub(crate) fn wires(self) -> impl Iterator<Item = &'z [u8]> {
        self.starts().map(move |start| {
            let length = usize::from(u16::from_be_bytes([self.wire[start + 10], self.wire[start + 11]]));
            &self.wire[start..start + RECORD_HEAD_BYTES + length]
        })
    }

    /// The data of each record, as it lies here.
    pub(crate) fn rdatas(self) -> impl Iterator<Item = &'z [u8]> {
        self.wires().map(|record| &record[RECORD_HEAD_BYTES..])
    }

    /// Whether names in it are compressed.
    pub(crate) fn is_compressed(self) -> bool {
        !self.pointers.is_empty()
    }

    /// The data of its first record.
    #[inline]
    pub(crate) fn first_rdata(self) -> &'z [u8] {
        let length = usize::from(u16::from_be_bytes([self.wire[10], self.wire[11]]));
        &self.wire[RECORD_HEAD_BYTES..RECORD_HEAD_BYTES + length]
    }

    /// The TTL of the record at this place.
    #[inline]
    pub(crate) fn ttl_at(self, start: usize) -> u32 {
        u32::from_be_bytes([
            self.wire[start + 6],
            self.wire[start + 7],
            self.wire[start + 8],
            self.wire[start + 9],
        ])
    }

    /// The TTL of all its records.
    #[inline]
    pub(crate) fn ttl(self) -> u32 {
        u32::from_be_bytes([self.wire[6], self.wire[7], self.wire[8], self.wire[9]])
    }
}
