//! A message as its sections have it, for what is no plain query: updates, notifications, transfers, signatures. Owned, and slower.

use super::{HEADER_BYTES, NAME_BYTES_MAX, Name, u16_at};
use crate::zone::uncompressed_data;
use domain::base::iana::{Class, Rtype};

/// Pointers of one name: there is one before each label at most, unless somebody wants us to walk for long (for each of thousands of
/// records, through half of a message).
const POINTERS_MAX: usize = 127;
/// QR.
pub(crate) const RESPONSE: u16 = 0x8000;
/// AA.
pub(crate) const AUTHORITATIVE: u16 = 0x0400;
/// NOTIFY's number (RFC 1996).
pub(crate) const NOTIFY: u8 = 4;
/// UPDATE's number (RFC 2136).
pub(crate) const UPDATE: u8 = 5;

/// A message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// Questions, and records of each section.
    pub(crate) counts: [u16; 4],
}

impl Header {
    pub(crate) fn of(message: &[u8]) -> Option<Self> {
        let field = |nth: usize| u16_at(message, 2 * nth);
        message.get(..HEADER_BYTES)?;
        Some(Self { id: field(0)?, flags: field(1)?, counts: [field(2)?, field(3)?, field(4)?, field(5)?] })
    }

    pub(crate) fn opcode(self) -> u8 {
        (self.flags >> 11 & 0x0f) as u8
    }

    pub(crate) fn rcode(self) -> u8 {
        (self.flags & 0x0f) as u8
    }

    pub(crate) fn is_response(self) -> bool {
        self.flags & RESPONSE != 0
    }
}

/// A question: in updates it is called the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) rtype: Rtype,
    pub(crate) class: Class,
}

/// A record of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRecord<'m> {
    pub(crate) owner: Name,
    pub(crate) rtype: Rtype,
    pub(crate) class: Class,
    pub(crate) ttl: u32,
    /// As it came: its names may be compressed.
    pub(crate) data: &'m [u8],
    /// Where the record begins in the message.
    pub(crate) start: usize,
    /// Where its data begins.
    data_at: usize,
    message: &'m [u8],
}

impl MessageRecord<'_> {
    /// The data with its names uncompressed; `None` if it is not of the record's type.
    pub(crate) fn uncompressed(&self) -> Option<Vec<u8>> {
        let end = self.data_at + self.data.len();
        uncompressed_data(self.rtype, self.message.get(..end)?, self.data_at)
    }
}

/// Reads what follows the header, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    pub(crate) fn new(message: &'m [u8]) -> Self {
        Self { message, at: HEADER_BYTES }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn question(&mut self) -> Option<Question> {
        let (name, next) = name_at(self.message, self.at)?;
        let rtype = Rtype::from_int(u16_at(self.message, next)?);
        let class = Class::from_int(u16_at(self.message, next + 2)?);
        self.at = next + 4;
        Some(Question { name, rtype, class })
    }

    pub(crate) fn record(&mut self) -> Option<MessageRecord<'m>> {
        let start = self.at;
        let (owner, next) = name_at(self.message, start)?;
        let fixed: &[u8; 10] = self.message.get(next..)?.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let data_at = next + 10;
        let data = self.message.get(data_at..data_at + length)?;
        self.at = data_at + length;
        Some(MessageRecord {
            owner,
            rtype: Rtype::from_int(u16::from_be_bytes([fixed[0], fixed[1]])),
            class: Class::from_int(u16::from_be_bytes([fixed[2], fixed[3]])),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            data,
            start,
            data_at,
            message: self.message,
        })
    }
}

/// Appends the name at `at`, uncompressed and with its case. Says where what follows it begins. Every pointer leads to what comes
/// before the part it ends, so this ends.
pub(crate) fn uncompress_name(message: &[u8], at: usize, wire: &mut Vec<u8>) -> Option<usize> {
    let (begin, mut next, mut part, mut place) = (wire.len(), None, at, at);
    let mut pointers = 0;
    loop {
        match *message.get(place)? {
            0 => {
                wire.push(0);
                place += 1;
                break;
            }
            length @ 1..=63 => {
                let end = place + 1 + usize::from(length);
                wire.extend_from_slice(message.get(place..end)?);
                place = end;
            }
            high @ 0xc0.. => {
                let to = usize::from(u16::from_be_bytes([high & 0x3f, *message.get(place + 1)?]));
                pointers += 1;
                if to >= part || pointers > POINTERS_MAX {
                    return None;
                }
                next.get_or_insert(place + 2);
                (part, place) = (to, to);
            }
            _ => return None,
        }
        if wire.len() - begin >= NAME_BYTES_MAX {
            return None;
        }
    }
    Some(next.unwrap_or(place))
}

fn name_at(message: &[u8], at: usize) -> Option<(Name, usize)> {
    let mut wire = Vec::with_capacity(NAME_BYTES_MAX);
    let next = uncompress_name(message, at, &mut wire)?;
    Some((Name::from_wire(&wire).ok()?, next))
}

/// Writes a message of ours that is no answer to a query.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) message: Vec<u8>,
}

impl Writer {
    /// A message with this opcode and one question.
    pub(crate) fn new(id: u16, opcode: u8, flags: u16, name: &Name, rtype: Rtype) -> Self {
        let mut message = Vec::with_capacity(512);
        message.extend_from_slice(&id.to_be_bytes());
        message.extend_from_slice(&(u16::from(opcode) << 11 | flags).to_be_bytes());
        message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend_from_slice(name.as_wire());
        message.extend_from_slice(&rtype.to_int().to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        Self { message }
    }

    /// Adds a record of class IN to the section of this number (1 to 3); sections are written in their order.
    pub(crate) fn record(&mut self, section: usize, owner: &[u8], rtype: Rtype, ttl: u32, data: &[u8]) {
        self.message.extend_from_slice(owner);
        self.message.extend_from_slice(&rtype.to_int().to_be_bytes());
        self.message.extend_from_slice(&[0, 1]);
        self.message.extend_from_slice(&ttl.to_be_bytes());
        self.message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.message.extend_from_slice(data);
        let at = 4 + 2 * section;
        let count = u16_at(&self.message, at).unwrap_or(0) + 1;
        self.message[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_back_or_nowhere() {
        let name = |tail: &[u8], at: usize| {
            let message = [&[0; HEADER_BYTES], tail].concat();
            name_at(&message, at).map(|(name, next)| (name.to_string(), next))
        };
        assert_eq!(name(b"\x01a\0\x01b\xc0\x0c", 15), Some(("b.a".to_owned(), 19)));
        assert_eq!(name(b"\xc0\x0c", 12), None, "itself");
        assert_eq!(name(b"\x01a\xc0\x0c", 12), None, "its own beginning");
        assert_eq!(name(b"\xc0\x0e\x01a\0", 12), None, "forward");
        assert_eq!(name(b"\x40a\0", 12), None);
        assert_eq!(name(b"\x01a", 12), None);
    }

    #[test]
    fn a_name_is_not_followed_through_pointers_without_end() {
        let chain = |pointers: usize| {
            let mut message = vec![0; HEADER_BYTES];
            message.extend_from_slice(b"\x01a\0\0");
            (0..pointers).for_each(|nth| {
                let to = if nth == 0 { HEADER_BYTES } else { message.len() - 2 };
                message.extend_from_slice(&(0xc000 | to as u16).to_be_bytes());
            });
            let at = message.len() - 2;
            name_at(&message, at).map(|(name, _)| name.to_string())
        };
        assert_eq!(chain(POINTERS_MAX), Some("a".to_owned()));
        assert_eq!(chain(POINTERS_MAX + 1), None);
    }
}
