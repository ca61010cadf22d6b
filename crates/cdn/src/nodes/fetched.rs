//! What the fetch of a node says, where it goes to another node instead of the origin.

use super::ledger::{NodeId, Vector};
use std::fmt::Write;

/// The field that says who fetches, and what a node must know that answers: `Nines-Fetch: ID; ID=NUMBER; ID=NUMBER`.
pub const FETCHED: &str = "Nines-Fetch";
/// The field of an answer that was made for a node: with all that is for caches.
pub const ANSWERED: &str = "Nines-Fetched";
/// RFC 8586.
pub const LOOP: &str = "CDN-Loop";
/// Where more is not known everywhere, the origin is asked.
pub(super) const VECTOR_MAX: usize = 32;
/// As we are known in CDN-Loop.
const PSEUDONYM: &str = "nines";

/// Who fetches, and what it knows that others may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The node.
    pub from: NodeId,
    /// Purges that not all nodes have acknowledged.
    pub vector: Vector,
}

impl Fetched {
    /// Adds the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = format!("{FETCHED}: {}", self.from);
        for (id, upto) in &self.vector {
            // Writing to a string cannot fail.
            let _ = write!(line, "; {id}={upto}");
        }
        line.push_str("\r\n");
        out.extend_from_slice(line.as_bytes());
    }

    /// `None`: no node says this.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(value).ok()?.split(';').map(str::trim);
        let from = id(parts.next()?)?;
        let mut vector = Vector::new();
        for part in parts {
            let (origin, upto) = part.split_once('=')?;
            vector.insert(id(origin)?, upto.parse().ok()?);
        }
        (vector.len() <= VECTOR_MAX).then_some(Self { from, vector })
    }
}

fn id(text: &str) -> Option<NodeId> {
    let is_one = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| u128::from_str_radix(text, 16).ok().map(NodeId)).flatten()
}

/// Adds the line of RFC 8586 §2 that says that this node has forwarded the request.
pub fn write_loop(own: NodeId, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{LOOP}: {PSEUDONYM}; node={own}\r\n").as_bytes());
}

/// Whether a request was here before.
pub fn is_loop<'a>(own: NodeId, mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    let own = format!("node={own}");
    let is_own = |member: &[u8]| {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        parts.next() == Some(PSEUDONYM.as_bytes()) && parts.any(|part| part == own.as_bytes())
    };
    values.any(|value| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).any(is_own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn a_request_that_was_here_before_is_known() {
        let mut line = Vec::new();
        write_loop(NodeId(7), &mut line);
        let value = line.strip_prefix(b"CDN-Loop: ").unwrap().trim_ascii();
        let all = [b"other, foo123.example ; a=b, ".as_slice(), value].concat();
        assert!(is_loop(NodeId(7), [&all[..]].into_iter()));
        assert!(!is_loop(NodeId(8), [&all[..]].into_iter()));
        assert!(!is_loop(
            NodeId(7),
            [&b"nines"[..], b"other; node=00000000000000000000000000000007"].into_iter()
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else(from: u128, vector in proptest::collection::btree_map(any::<u128>(), any::<u64>(), 0..8), junk: Vec<u8>) {
            let vector = vector.into_iter().map(|(id, upto)| (NodeId(id), upto)).collect();
            let fetched = Fetched { from: NodeId(from), vector };
            let mut line = Vec::new();
            fetched.write(&mut line);
            let value = line.strip_prefix(b"Nines-Fetch: ").unwrap().trim_ascii();
            prop_assert_eq!(Fetched::read(value), Some(fetched));
            if let Some(read) = Fetched::read(&junk) {
                let mut line = Vec::new();
                read.write(&mut line);
                let value = line.strip_prefix(b"Nines-Fetch: ").unwrap().trim_ascii();
                prop_assert_eq!(Fetched::read(value), Some(read));
            }
        }
    }
}
