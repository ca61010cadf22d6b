//! What other servers answer: read with bounds, kept without what nobody asked for, and written anew, so that no octet of a
//! stranger's reaches a client but records that were understood.

mod name;
mod parse;
mod rdata;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use name::is_within;
pub(crate) use parse::{Reply, Unfit, parse};
pub(crate) use write::{Written, write};

use crate::protocol::HEADER_BYTES;

/// What a client would get of an upstream's answer to the query `asked`: understood, and written anew behind the same question. `None`: it
/// does not answer that, or cannot be read.
pub fn rewritten(message: &[u8], asked: &[u8]) -> Option<Vec<u8>> {
    let reply = parse(message, asked).ok()?;
    let question_end = parse::question_end(asked)?;
    let written = write(&asked[HEADER_BYTES..question_end - 4], &reply.records)?;
    let mut answer = asked[..question_end].to_vec();
    answer[2..6].copy_from_slice(&[0x80, (reply.rcode & 0x0f) as u8, 0, 1]);
    for (at, count) in (6..HEADER_BYTES).step_by(2).zip(written.counts) {
        answer[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    answer.extend_from_slice(&written.body);
    Some(answer)
}

/// Records are at least a root name, ten octets, and no data: what a message of the largest size can carry.
pub(crate) const RECORDS_MAX: usize = 65_535 / 11;

/// A record with its names in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// 0 is the answer, 1 authority, 2 additional.
    pub(crate) section: u8,
    pub(crate) owner: Box<[u8]>,
    pub(crate) rtype: u16,
    pub(crate) ttl: u32,
    pub(crate) rdata: Box<[u8]>,
}

impl Record {
    /// Whether its owner is this name, whose letters are small.
    pub(crate) fn is_of(&self, name: &[u8]) -> bool {
        self.owner.eq_ignore_ascii_case(name)
    }
}
