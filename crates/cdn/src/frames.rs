//! Records one after the other, each checked: how files are written that grow, and what nodes say to each other.
//!
//! A record is the length of its payload (u32), the CRC-32 of that (u32), and the CRC-32 of these eight bytes; then the payload. Numbers
//! are little-endian.

use std::ops::RangeInclusive;

pub(crate) const HEAD_BYTES: usize = 12;

/// Adds a record.
pub(crate) fn write(payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let crc = crc32fast::hash(&head[..8]);
    head[8..].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

/// What stands at the beginning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'b> {
    /// A payload, and what follows.
    Payload(&'b [u8], &'b [u8]),
    /// A record that was not finished, or nothing.
    End,
    /// No record.
    Damaged,
}

/// Reads the first record, whose payload is as long as it may be.
pub(crate) fn next(bytes: &[u8], lengths: RangeInclusive<usize>) -> Next<'_> {
    let Some((head, after)) = bytes.split_at_checked(HEAD_BYTES) else { return Next::End };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (len, crc) = (number(0) as usize, number(4));
    // A length that is wrong would make a whole record look like one that was not finished.
    if crc32fast::hash(&head[..8]) != number(8) || !lengths.contains(&len) {
        return Next::Damaged;
    }
    let Some((payload, rest)) = after.split_at_checked(len) else { return Next::End };
    if crc32fast::hash(payload) == crc { Next::Payload(payload, rest) } else { Next::Damaged }
}
