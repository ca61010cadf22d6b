//! NSEC3's hash of a name (RFC 5155 §5), and how it is written as a label.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// RFC 9276 §3.2: more is not worth its price, and resolvers take such a zone for an unsigned one, or for a broken one.
pub(crate) const ITERATIONS_MAX: u16 = 100;
/// The only hash that there is: SHA-1.
pub(crate) const SHA1: u8 = 1;
pub(crate) const HASH_BYTES: usize = 20;
/// The hash in base 32.
pub(crate) const LABEL_BYTES: usize = 32;
/// RFC 4648 §7, in lower case, as names are here.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// With what a zone's names are hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) iterations: u16,
    pub(crate) salt: Box<[u8]>,
}

impl Parameters {
    /// From the data of an NSEC3PARAM or NSEC3 record, whose beginnings are alike; `None` for another hash than SHA-1. And its flags.
    pub(crate) fn of(rdata: &[u8]) -> Option<(Self, u8)> {
        let (&[hash, flags, high, low, length], rest) = rdata.split_first_chunk()?;
        let salt = rest.get(..usize::from(length))?.into();
        (hash == SHA1).then_some((Self { iterations: u16::from_be_bytes([high, low]), salt }, flags))
    }

    /// The label that stands for a name, which is in wire form and lower-cased.
    pub(crate) fn label(&self, name: &[&[u8]]) -> [u8; LABEL_BYTES] {
        base32(&self.hash(name))
    }

    /// The hash of a name, which is in wire form, lower-cased, and may come in parts.
    pub(crate) fn hash(&self, name: &[&[u8]]) -> [u8; HASH_BYTES] {
        let mut hash = self.once(name);
        for _ in 0..self.iterations {
            hash = self.once(&[&hash]);
        }
        hash
    }

    fn once(&self, parts: &[&[u8]]) -> [u8; HASH_BYTES] {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        parts.iter().for_each(|part| context.update(part));
        context.update(&self.salt);
        context.finish().as_ref().try_into().expect("SHA-1 has 20 octets")
    }
}

/// 20 octets are 32 digits, without padding.
pub(crate) fn base32(hash: &[u8; HASH_BYTES]) -> [u8; LABEL_BYTES] {
    let mut label = [0; LABEL_BYTES];
    for (five, eight) in hash.as_chunks::<5>().0.iter().zip(label.as_chunks_mut::<8>().0) {
        let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for (nth, digit) in eight.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (35 - 5 * nth) & 31) as usize];
        }
    }
    label
}

/// Whether a label could be one of these.
pub(crate) fn is_label(label: &[u8]) -> bool {
    label.len() == LABEL_BYTES && label.iter().all(|digit| DIGITS.contains(digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Name;

    /// RFC 5155, Appendix A.
    #[test]
    fn names_have_the_hashes_of_the_rfc() {
        let parameters = Parameters { iterations: 12, salt: [0xaa, 0xbb, 0xcc, 0xdd].into() };
        for (name, label) in [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("ns1.example", "2t7b4g4vsa5smi47k61mv5bv1a22bojr"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
            ("xx.example", "t644ebqk9bibcna874givr6joj62mlhv"),
        ] {
            let name: Name = name.parse().expect("a name");
            let hashed = parameters.label(&[name.as_wire()]);
            assert_eq!(std::str::from_utf8(&hashed), Ok(label));
            assert!(is_label(&hashed));
        }
        let name: Name = "a.example".parse().expect("a name");
        let (first, rest) = name.as_wire().split_at(2);
        assert_eq!(parameters.label(&[first, rest]), parameters.label(&[name.as_wire()]));
    }
}
