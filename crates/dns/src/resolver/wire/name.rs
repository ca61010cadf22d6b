//! Names in a message that somebody else has compressed.

use crate::protocol::NAME_BYTES_MAX;

/// Appends the name at `at` in full; where what follows it begins. Pointers lead backwards, each further than the one before, so
/// that no message makes it run in circles (RFC 1035 §4.1.4: "a prior occurrence").
pub(super) fn expand(message: &[u8], at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let begin = out.len();
    let (mut at, mut lowest, mut end) = (at, at, None);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                out.push(0);
                return (out.len() - begin <= NAME_BYTES_MAX).then(|| end.unwrap_or(at + 1));
            }
            1..=63 => {
                out.extend_from_slice(message.get(at..at + 1 + usize::from(length))?);
                at += 1 + usize::from(length);
                if out.len() - begin >= NAME_BYTES_MAX {
                    return None;
                }
            }
            0xc0.. => {
                let to = usize::from(length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                end.get_or_insert(at + 2);
                if to >= lowest {
                    return None;
                }
                (at, lowest) = (to, to);
            }
            _ => return None,
        }
    }
}

/// The length of the name in full at the start of `wire`.
pub(super) fn length(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *wire.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// Whether a name is `zone` or below it, whatever the case.
pub(crate) fn is_within(name: &[u8], zone: &[u8]) -> bool {
    let mut at = 0;
    loop {
        if name.len() - at == zone.len() {
            return name[at..].eq_ignore_ascii_case(zone);
        }
        match name.get(at) {
            Some(&length) if length > 0 && name.len() - at > zone.len() => at += 1 + usize::from(length),
            _ => return false,
        }
    }
}
