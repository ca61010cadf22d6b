//! An answer of an upstream, read.

use super::name::{expand, is_within};
use super::rdata::expanded;
use super::{RECORDS_MAX, Record};
use crate::protocol::edns::{CLIENT_SUBNET, COOKIE, OPT};
use crate::protocol::{HEADER_BYTES, u16_at};
use std::collections::HashSet;

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const AD: u16 = 0x0020;
const IN: u16 = 1;
const CNAME: u16 = 5;
const DNAME: u16 = 39;
/// Links of a chain of aliases that are believed.
const LINKS_MAX: usize = 16;

/// Why a message is no answer to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It answers something else, or nothing: somebody guesses, or it is late. The true one may still come.
    Foreign,
    /// It is the answer, but cannot be read.
    Malformed,
}

/// An answer to what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reply {
    /// With the upper bits of EDNS.
    pub(crate) rcode: u16,
    pub(crate) is_truncated: bool,
    /// The upstream has it in a zone of its own.
    pub(crate) is_authoritative: bool,
    /// The upstream says that it has validated it.
    pub(crate) is_authentic: bool,
    pub(crate) has_edns: bool,
    pub(crate) records: Vec<Record>,
    /// The cookie (RFC 7873), if there is one: both halves.
    pub(crate) cookie: Option<Box<[u8]>>,
    /// By how many bits of the client's subnet it was chosen (RFC 7871), if one was sent.
    pub(crate) scope: Option<u8>,
}

/// Reads the answer to the query `asked`, a whole message of ours. What does not repeat its identifier and its question (with its case)
/// is not the answer. Records out of place are left out: other classes, and names that the question does not lead to.
pub(crate) fn parse(message: &[u8], asked: &[u8]) -> Result<Reply, Unfit> {
    let header = message.get(..HEADER_BYTES).ok_or(Unfit::Foreign)?;
    let question_end = question_end(asked).ok_or(Unfit::Foreign)?;
    let flags = u16_at(header, 2).ok_or(Unfit::Foreign)?;
    if header[..2] != asked[..2] || flags & QR == 0 || flags & OPCODE != 0 {
        return Err(Unfit::Foreign);
    }
    let count = |at| u16_at(header, at).map(usize::from).ok_or(Unfit::Foreign);
    let mut reply = Reply {
        rcode: flags & 0x0f,
        is_truncated: flags & TC != 0,
        is_authoritative: flags & AA != 0,
        is_authentic: flags & AD != 0,
        ..Reply::default()
    };
    let question = &asked[HEADER_BYTES..question_end];
    // RFC 8906 §3.1: some say that they fail without repeating what was asked.
    if count(4)? == 0 && message.len() == HEADER_BYTES && reply.rcode != 0 {
        return Ok(reply);
    }
    if count(4)? != 1 || message.get(HEADER_BYTES..question_end) != Some(question) {
        return Err(Unfit::Foreign);
    }
    let counts = [count(6)?, count(8)?, count(10)?];
    if counts.iter().sum::<usize>() > RECORDS_MAX {
        return Err(Unfit::Malformed);
    }
    match records(message, question_end, counts, &mut reply) {
        Some(()) => {}
        // What was cut off is asked for again.
        None if reply.is_truncated => reply.records.clear(),
        None => return Err(Unfit::Malformed),
    }
    keep_what_belongs(&mut reply.records, &question[..question.len() - 4]);
    Ok(reply)
}

/// Where the question of a query ends.
pub(super) fn question_end(asked: &[u8]) -> Option<usize> {
    let name = super::name::length(asked.get(HEADER_BYTES..)?)?;
    let end = HEADER_BYTES + name + 4;
    (asked.len() >= end).then_some(end)
}

fn records(message: &[u8], mut at: usize, counts: [usize; 3], reply: &mut Reply) -> Option<()> {
    for (section, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            let mut owner = Vec::new();
            let fixed = expand(message, at, &mut owner)?;
            let (rtype, class) = (u16_at(message, fixed)?, u16_at(message, fixed + 2)?);
            let ttl = u32::from_be_bytes(message.get(fixed + 4..fixed + 8)?.try_into().ok()?);
            let length = usize::from(u16_at(message, fixed + 8)?);
            let rdata_at = fixed + 10;
            at = rdata_at + length;
            if rtype == OPT {
                let is_first = !std::mem::replace(&mut reply.has_edns, true);
                if section != 2 || owner != [0] || !is_first {
                    return None;
                }
                reply.rcode |= (ttl >> 24 << 4) as u16;
                options(message.get(rdata_at..at)?, reply)?;
                continue;
            }
            let rdata = expanded(message, rdata_at, length, rtype)?;
            if class == IN {
                // RFC 2181 §8: one with the highest bit is zero.
                let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
                reply.records.push(Record { section: section as u8, owner: owner.into(), rtype, ttl, rdata });
            }
        }
    }
    Some(())
}

fn options(mut rest: &[u8], reply: &mut Reply) -> Option<()> {
    while !rest.is_empty() {
        let (code, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        match code {
            COOKIE if reply.cookie.is_none() => reply.cookie = Some(value.into()),
            CLIENT_SUBNET if reply.scope.is_none() => reply.scope = Some(*value.get(3)?),
            _ => {}
        }
        rest = &rest[4 + length..];
    }
    Some(())
}

/// Bailiwick: answers are of the question's name, or of where its aliases lead; what proves that something is not there is of a
/// zone that one of them is in. Addresses beside it are nobody's concern: a resolver's client does not use them.
fn keep_what_belongs(records: &mut Vec<Record>, name: &[u8]) {
    let chain = chain(records, name);
    let led_to = |owner: &[u8]| chain.iter().any(|link| owner.eq_ignore_ascii_case(link));
    let above = |owner: &[u8]| chain.iter().any(|link| is_within(link, owner));
    let of_denial = |record: &&Record| record.section == 1 && record.rtype == RRSIG;
    let proven: HashSet<_> = records.iter().filter(of_denial).filter_map(|one| proven(one, &chain)).collect();
    records.retain(|record| match record.section {
        0 => led_to(&record.owner) || record.is_dname_above(&chain),
        // SOA and NS of a zone that has a name of the chain, and what its signatures say of names beside them.
        1 => above(&record.owner) || is_proven(record, &proven),
        _ => false,
    });
    // In the order of the chain, in which some clients read it; signatures behind what they sign.
    records.sort_by_key(|record| {
        let link = chain.iter().position(|link| is_within(link, &record.owner)).unwrap_or(chain.len());
        let within = if record.rtype == DNAME { 0 } else { 1 + u8::from(record.rtype == RRSIG) };
        if record.section == 0 { (0, link, within) } else { (record.section, 0, 0) }
    });
}

/// The name, and those that its aliases in the answer lead to.
fn chain(records: &[Record], name: &[u8]) -> Vec<Box<[u8]>> {
    let mut chain: Vec<Box<[u8]>> = vec![name.into()];
    while chain.len() <= LINKS_MAX {
        let last = &chain[chain.len() - 1];
        let alias = records.iter().find(|one| one.section == 0 && one.rtype == CNAME && one.is_of(last));
        let Some(alias) = alias else { break };
        if chain.iter().any(|link| link.eq_ignore_ascii_case(&alias.rdata)) {
            break;
        }
        let target = alias.rdata.clone();
        chain.push(target);
    }
    chain
}

impl Record {
    fn is_dname_above(&self, chain: &[Box<[u8]>]) -> bool {
        let is_dname =
            self.rtype == DNAME || (self.rtype == RRSIG && self.rdata.starts_with(&DNAME.to_be_bytes()));
        is_dname && chain.iter().any(|link| is_within(link, &self.owner))
    }
}

const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;
/// What of its data stands before the signer's name (RFC 4034 §3.1).
const RRSIG_FIXED_BYTES: usize = 18;

/// What a signature is of, a name in small letters and a type: in a set, since there may be thousands of them.
type Proven = (Vec<u8>, u16);

/// What says that something is not there, by a zone that has a name of the chain, as its signature says: NSEC and NSEC3 are owned by names
/// beside those that are not there.
fn is_proven(record: &Record, proven: &HashSet<Proven>) -> bool {
    let covered = match record.rtype {
        NSEC | NSEC3 => record.rtype,
        RRSIG => covered(record).unwrap_or_default(),
        _ => return false,
    };
    proven.contains(&(record.owner.to_ascii_lowercase(), covered))
}

/// What this signature is of, if it is by a zone that has its owner and a name of the chain.
fn proven(record: &Record, chain: &[Box<[u8]>]) -> Option<Proven> {
    let rest = record.rdata.get(RRSIG_FIXED_BYTES..)?;
    let zone = rest.get(..super::name::length(rest)?)?;
    let is_above = is_within(&record.owner, zone) && chain.iter().any(|link| is_within(link, zone));
    is_above.then_some((record.owner.to_ascii_lowercase(), covered(record)?))
}

/// The type that a signature is of.
fn covered(record: &Record) -> Option<u16> {
    u16_at(&record.rdata, 0)
}
