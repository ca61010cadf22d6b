//! Which data has names in it that may be compressed: those of RFC 1035, and those that RFC 3597 §4 tells to be understood
//! when they come.

use super::name::expand;

/// What a type's data is made of, from its start.
#[derive(Clone, Copy)]
enum Part {
    Octets(usize),
    /// A string with its length before it.
    Text,
    Name,
}

use Part::{Name, Octets, Text};

fn layout(rtype: u16) -> &'static [Part] {
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME
        2..=5 | 7..=9 | 12 | 39 => &[Name],
        // SOA
        6 => &[Name, Name, Octets(20)],
        // MINFO, RP
        14 | 17 => &[Name, Name],
        // MX, AFSDB, RT, KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // PX
        26 => &[Octets(2), Name, Name],
        // SRV
        33 => &[Octets(6), Name],
        // NAPTR
        35 => &[Octets(4), Text, Text, Text, Name],
        _ => &[],
    }
}

/// Names that others may expect to be compressed: RFC 3597 §4, those of RFC 1035 only. Octets before the first, and how many there
/// are.
pub(super) fn compressible(rtype: u16) -> Option<(usize, usize)> {
    match rtype {
        2 | 5 | 12 => Some((0, 1)),
        6 => Some((0, 2)),
        15 => Some((2, 1)),
        _ => None,
    }
}

/// The data at `at`, `length` octets in the message, with its names in full.
pub(super) fn expanded(message: &[u8], at: usize, length: usize, rtype: u16) -> Option<Box<[u8]>> {
    let end = at + length;
    let data = message.get(at..end)?;
    let layout = layout(rtype);
    if layout.is_empty() {
        return is_sound(rtype, data).then(|| data.into());
    }
    let mut out = Vec::with_capacity(length + 32);
    let mut at = at;
    for part in layout {
        let octets = match part {
            Name => {
                at = expand(&message[..end], at, &mut out)?;
                continue;
            }
            Octets(count) => *count,
            Text => 1 + usize::from(*message.get(at)?),
        };
        out.extend_from_slice(message[..end].get(at..at + octets)?);
        at += octets;
    }
    (at == end && out.len() <= usize::from(u16::MAX)).then(|| out.into())
}

/// Addresses have a length.
fn is_sound(rtype: u16, data: &[u8]) -> bool {
    match rtype {
        1 => data.len() == 4,
        28 => data.len() == 16,
        _ => true,
    }
}
