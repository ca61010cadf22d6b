//! The TSIG record: RFC 8945 §4.2.

use crate::protocol::message::{Header, Reader};
use crate::protocol::{NAME_BYTES_MAX, Name, u16_at};
use domain::base::iana::{Class, Rtype};

/// What one takes at most: its owner, head, algorithm's name, numbers, signature, and the server's time.
pub(crate) const RECORD_BYTES_MAX: usize = NAME_BYTES_MAX + 10 + 13 + 16 + 64 + 6;

/// RFC 8945 §3.
pub(super) const BADSIG: u16 = 16;
pub(super) const BADKEY: u16 = 17;
pub(super) const BADTIME: u16 = 18;
pub(super) const BADTRUNC: u16 = 22;

/// What a message says of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TsigRecord<'m> {
    pub(super) key: Name,
    pub(super) algorithm: Name,
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) mac: &'m [u8],
    pub(super) original_id: u16,
    pub(super) error: u16,
    pub(super) other: &'m [u8],
    /// Where the record begins in the message.
    pub(super) start: usize,
}

/// The message is malformed, or has a TSIG record elsewhere than at its end: FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The TSIG record of a message, if it has one: the last of its additional section.
pub(super) fn find(message: &[u8]) -> Result<Option<TsigRecord<'_>>, Malformed> {
    let header = Header::of(message).ok_or(Malformed)?;
    let mut reader = Reader::new(message);
    for _ in 0..header.counts[0] {
        reader.question().ok_or(Malformed)?;
    }
    let records = header.counts[1..].iter().map(|count| u32::from(*count)).sum::<u32>();
    for nth in 1..=records {
        let record = reader.record().ok_or(Malformed)?;
        if record.rtype != Rtype::TSIG {
            continue;
        }
        // RFC 8945 §5.1.
        let is_last = nth == records && header.counts[3] > 0 && reader.at() == message.len();
        if !is_last || record.class != Class::ANY || record.ttl != 0 {
            return Err(Malformed);
        }
        return fields(record.owner, record.data, record.start).map(Some).ok_or(Malformed);
    }
    Ok(None)
}

fn fields(key: Name, data: &[u8], start: usize) -> Option<TsigRecord<'_>> {
    let algorithm = Name::from_wire(data).ok()?;
    let rest = &data[algorithm.wire_len()..];
    let [time @ .., fudge_high, fudge_low, mac_high, mac_low] = rest.first_chunk::<10>()?;
    let time = time.iter().fold(0u64, |time, octet| time << 8 | u64::from(*octet));
    let mac_end = 10 + usize::from(u16::from_be_bytes([*mac_high, *mac_low]));
    let mac = rest.get(10..mac_end)?;
    let other_end = mac_end + 6 + usize::from(u16_at(rest, mac_end + 4)?);
    let other = rest.get(mac_end + 6..other_end)?;
    Some(TsigRecord {
        key,
        algorithm,
        time,
        fudge: u16::from_be_bytes([*fudge_high, *fudge_low]),
        mac,
        original_id: u16_at(rest, mac_end)?,
        error: u16_at(rest, mac_end + 2)?,
        other,
        start,
    })
    .filter(|_| other_end == rest.len())
}

/// Appends a record to a message, and counts it.
pub(super) fn append(message: &mut Vec<u8>, record: &TsigRecord<'_>) {
    message.extend_from_slice(record.key.as_wire());
    message.extend_from_slice(&Rtype::TSIG.to_int().to_be_bytes());
    message.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
    let length = record.algorithm.wire_len() + 16 + record.mac.len() + record.other.len();
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&(length as u16).to_be_bytes());
    message.extend_from_slice(record.algorithm.as_wire());
    message.extend_from_slice(&record.time.to_be_bytes()[2..]);
    for number in [record.fudge, record.mac.len() as u16] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    message.extend_from_slice(record.mac);
    for number in [record.original_id, record.error, record.other.len() as u16] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    message.extend_from_slice(record.other);
    let count = u16::from_be_bytes([message[10], message[11]]).saturating_add(1);
    message[10..12].copy_from_slice(&count.to_be_bytes());
}
