//! What other servers answer: read with bounds, kept without what nobody asked for, and written anew, so that no octet of a
//! stranger's reaches a client but records that were understood.

mod name;
mod parse;
mod rdata;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use parse::{Reply, Unfit, parse};
pub(crate) use write::{Written, write};

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
