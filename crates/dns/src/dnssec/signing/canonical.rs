//! What is signed: an RRset in canonical form (RFC 4034 §6.2, §6.3; RFC 6840 §5.1).

use crate::protocol::Name;
use domain::base::iana::Rtype;

/// Where the names are in the data of types whose names are lower-cased: octets before the first, and how many there are.
fn names(rtype: Rtype) -> Option<(usize, usize)> {
    Some(match rtype {
        Rtype::NS
        | Rtype::CNAME
        | Rtype::DNAME
        | Rtype::PTR
        | Rtype::MB
        | Rtype::MD
        | Rtype::MF
        | Rtype::MG
        | Rtype::MR => (0, 1),
        Rtype::SOA | Rtype::MINFO | Rtype::RP => (0, 2),
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX => (2, 1),
        Rtype::PX => (2, 2),
        Rtype::SRV => (6, 1),
        _ => return None,
    })
}

/// The data of a record in canonical form, which it already has but for the case of names.
pub(crate) fn data(rtype: Rtype, data: &mut [u8]) {
    let (start, count) = match (rtype, names(rtype)) {
        (_, Some(found)) => found,
        (Rtype::NAPTR, _) => (after_texts(data, 4, 3), 1),
        _ => return,
    };
    let mut at = start.min(data.len());
    for _ in 0..count {
        let Ok(name) = Name::from_wire(&data[at..]) else { return };
        data[at..at + name.wire_len()].copy_from_slice(name.as_wire());
        at += name.wire_len();
    }
}

/// Where so many character strings end.
fn after_texts(data: &[u8], mut at: usize, texts: usize) -> usize {
    for _ in 0..texts {
        at += 1 + usize::from(data.get(at).copied().unwrap_or(0));
    }
    at
}

/// What all records of an RRset share.
pub(crate) struct Shared<'s> {
    /// Lower-cased, in wire form.
    pub(crate) owner: &'s [u8],
    pub(crate) rtype: Rtype,
    pub(crate) ttl: u32,
}

/// Appends the records of an RRset, whose data is in canonical form, in canonical order.
pub(crate) fn rrset(shared: &Shared<'_>, datas: &mut [Vec<u8>], message: &mut Vec<u8>) {
    datas.sort_unstable();
    for data in datas {
        message.extend_from_slice(shared.owner);
        message.extend_from_slice(&shared.rtype.to_int().to_be_bytes());
        message.extend_from_slice(&1u16.to_be_bytes());
        message.extend_from_slice(&shared.ttl.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_where_the_rfc_says_so() {
        let mut mx = *b"\0\x0a\x02Mx\x01A\0";
        data(Rtype::MX, &mut mx);
        assert_eq!(mx, *b"\0\x0a\x02mx\x01a\0");
        let mut naptr = *b"\0\x01\0\x02\x01U\x03SIP\0\x02Ab\0";
        data(Rtype::NAPTR, &mut naptr);
        assert_eq!(naptr, *b"\0\x01\0\x02\x01U\x03SIP\0\x02ab\0");
        // RFC 9460 is younger than the list of RFC 4034 §6.2, as is every unknown type.
        let mut svcb = *b"\0\x01\x02Ab\0";
        data(Rtype::SVCB, &mut svcb);
        assert_eq!(svcb, *b"\0\x01\x02Ab\0");
    }
}
