//! A transfer to another server: records of one state of a zone, packed into messages, one at a time.

use super::difference::records;
use super::{Difference, records_of_routes, soa_of};
use crate::protocol::HEADER_BYTES;
use crate::protocol::message::{AUTHORITATIVE, RESPONSE};
use crate::zone::{Record, Zone};
use domain::base::iana::Rtype;
use std::collections::VecDeque;
use std::sync::Arc;

/// How far a message is filled: what a compression pointer reaches.
const FILLED_BYTES: usize = 0x3fff;
/// RD.
const RECURSION_DESIRED: u8 = 0x01;
/// An OPT record that says how large datagrams may be, and nothing else.
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// The SOA: there is nothing newer, or no other way to say it.
    Soa,
    /// All of the zone.
    Whole,
    /// Differences, each from where the one before it ended, to the zone as it is.
    Differences(Vec<Arc<Difference>>),
}

/// A transfer under way.
pub(crate) struct Outgoing {
    zone: Arc<Zone>,
    /// Header and question as they came.
    head: Vec<u8>,
    has_edns: bool,
    stage: Stage,
    pending: VecDeque<Record>,
    sent_records: usize,
}

/// What comes next, when nothing is pending.
enum Stage {
    /// Nodes from this offset on.
    Nodes(u32),
    Routes,
    Differences(VecDeque<Arc<Difference>>),
    /// The SOA that ends it.
    Last,
    End,
}

/// A record fits into no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Outgoing {
    /// `head` is header and question of the query.
    pub(crate) fn new(zone: &Arc<Zone>, plan: Plan, head: &[u8], has_edns: bool) -> Self {
        let stage = match plan {
            Plan::Soa => Stage::End,
            Plan::Whole => Stage::Nodes(0),
            Plan::Differences(differences) => Stage::Differences(differences.into()),
        };
        Self {
            zone: Arc::clone(zone),
            head: head.to_vec(),
            has_edns,
            stage,
            pending: VecDeque::from([soa_of(zone)]),
            sent_records: 0,
        }
    }

    /// Writes the next message into `out`, whose content is replaced, and leaves `reserved` octets for its signature. `Ok(false)`:
    /// there is none.
    pub(crate) fn next_message(
        &mut self,
        out: &mut Vec<u8>,
        limit: usize,
        reserved: usize,
    ) -> Result<bool, TooLarge> {
        self.refill();
        if self.pending.is_empty() {
            return Ok(false);
        }
        out.clear();
        out.extend_from_slice(&self.head);
        let room = limit - reserved - if self.has_edns { OPT.len() } else { 0 };
        let (mut count, mut last_owner) = (0u16, None);
        while let Some(record) = self.pending.front() {
            let before = out.len();
            write(out, record, self.zone.apex().wire_len(), &mut last_owner);
            if out.len() > room || count > 0 && out.len() > FILLED_BYTES || count == u16::MAX {
                out.truncate(before);
                break;
            }
            self.pending.pop_front();
            count += 1;
            self.refill();
        }
        if count == 0 {
            return Err(TooLarge);
        }
        self.sent_records += usize::from(count);
        let flags = (RESPONSE | AUTHORITATIVE).to_be_bytes();
        out[2] = out[2] & (0x78 | RECURSION_DESIRED) | flags[0];
        out[3] = 0;
        out[4..HEADER_BYTES].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        out[6..8].copy_from_slice(&count.to_be_bytes());
        if self.has_edns {
            out.extend_from_slice(&OPT);
            out[11] = 1;
        }
        Ok(true)
    }

    /// Whether all was sent.
    pub(crate) fn is_done(&mut self) -> bool {
        self.refill();
        self.pending.is_empty()
    }

    /// Records that were sent.
    pub(crate) fn sent_records(&self) -> usize {
        self.sent_records
    }

    fn refill(&mut self) {
        while self.pending.is_empty() {
            match &mut self.stage {
                Stage::Nodes(offset) => {
                    let (node, next) = self.zone.node_and_next(*offset);
                    for rrset in node.rrsets().filter(|rrset| rrset.rtype != Rtype::SOA) {
                        self.pending.extend(records(&self.zone, node, rrset));
                    }
                    match next {
                        Some(next) => *offset = next,
                        None => self.stage = Stage::Routes,
                    }
                }
                Stage::Routes => {
                    self.pending.extend(records_of_routes(&self.zone));
                    self.stage = Stage::Last;
                }
                // RFC 1995 §4: the old SOA, what goes, the new SOA, what comes.
                Stage::Differences(left) => match left.pop_front() {
                    Some(difference) => {
                        self.pending.push_back(difference.old_soa.clone());
                        self.pending.extend(difference.removed.iter().cloned());
                        self.pending.push_back(difference.new_soa.clone());
                        self.pending.extend(difference.added.iter().cloned());
                    }
                    None => self.stage = Stage::Last,
                },
                Stage::Last => {
                    self.pending.push_back(soa_of(&self.zone));
                    self.stage = Stage::End;
                }
                Stage::End => return,
            }
        }
    }
}

/// Writes a record. The zone's apex is the question's name, so a pointer to that ends every owner; the owner that was written last is
/// pointed at.
fn write(out: &mut Vec<u8>, record: &Record, apex_bytes: usize, last: &mut Option<(Arc<[u8]>, usize)>) {
    let at = out.len();
    match last {
        Some((owner, place)) if *owner == record.owner => {
            out.extend_from_slice(&(0xc000 | *place as u16).to_be_bytes());
        }
        _ => {
            let relative = &record.owner[..record.owner.len() - apex_bytes];
            out.extend_from_slice(relative);
            out.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
            if at <= FILLED_BYTES {
                *last = Some((Arc::clone(&record.owner), at));
            }
        }
    }
    out.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&record.ttl.to_be_bytes());
    out.extend_from_slice(&(record.data.len() as u16).to_be_bytes());
    out.extend_from_slice(&record.data);
}
