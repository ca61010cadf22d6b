//! Writes a response: the header and question that came, RRsets copied whole, and the OPT record.

use super::edns::{CLIENT_SUBNET, COOKIE, ClientSubnet, EXTENDED_ERROR, Edns, NSID, OPT, OPT_BYTES, PADDING};
use super::{HEADER_BYTES, MESSAGE_BYTES_MAX, PLAIN_UDP_BYTES, Transport};
use crate::answer::{Facts, SignedNow};
use crate::zone::node::{RrSet, TO_QUESTION};
use domain::base::iana::OptRcode;
use std::net::IpAddr;

/// RFC 8467 §4.1: responses are padded to a multiple of this.
const PADDING_BLOCK_BYTES: usize = 468;
/// The option that says why (RFC 8914), without words.
const EXTENDED_ERROR_BYTES: usize = 6;
/// What is sent of this server's name.
pub(crate) const NSID_BYTES_MAX: usize = 128;
/// RFC 7873 §4.2.
const SERVER_COOKIE_BYTES: std::ops::RangeInclusive<usize> = 8..=32;
/// What a compression pointer can reach.
const POINTER_MAX: usize = 0x3fff;
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;
const RD: u8 = 0x01;
const OPCODE: u8 = 0x78;
const RA: u8 = 0x80;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
const DO: [u8; 2] = [0x80, 0x00];

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 1,
    Authority = 2,
    Additional = 3,
}

/// There is no room for an RRset: none of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// A response that is being written.
pub(crate) struct Response<'o> {
    out: &'o mut Vec<u8>,
    /// Octets for everything but the OPT record.
    limit: usize,
    /// Questions, and records of each section.
    counts: [u16; 4],
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    /// Names of others are looked up for this client.
    pub(crate) recursion_available: bool,
    /// All of it was validated.
    pub(crate) authentic: bool,
    pub(crate) rcode: OptRcode,
    /// By how many bits of the client's address the answer was chosen.
    pub(crate) client_bits: u8,
    /// Why it is what it is.
    extended: Option<u16>,
    /// What of the zone answers, as a number; see `Outcome::about`.
    pub(crate) about: u64,
    /// What was signed for it.
    pub(crate) signed: SignedNow,
    /// Where the apex of the zone begins in the question's name.
    pub(crate) apex_at: usize,
}

impl<'o> Response<'o> {
    /// Begins with the header, and the question if there is one, that came.
    pub(crate) fn begin(
        head: &[u8],
        edns: Option<&Edns<'_>>,
        facts: &Facts<'_>,
        out: &'o mut Vec<u8>,
    ) -> Self {
        out.clear();
        out.extend_from_slice(head);
        let size = match (facts.transport, edns) {
            (Transport::Udp, Some(edns)) => {
                edns.payload_bytes.min(facts.udp_payload_bytes).max(PLAIN_UDP_BYTES).into()
            }
            (Transport::Udp, None) => PLAIN_UDP_BYTES.into(),
            _ => MESSAGE_BYTES_MAX,
        };
        let reserved = edns.map_or(0, |edns| opt_bytes(edns, facts));
        Self {
            out,
            limit: size.saturating_sub(reserved),
            counts: [u16::from(head.len() > HEADER_BYTES), 0, 0, 0],
            authoritative: false,
            truncated: false,
            recursion_available: false,
            authentic: false,
            rcode: OptRcode::NOERROR,
            client_bits: 0,
            extended: None,
            about: 0,
            signed: SignedNow::default(),
            apex_at: HEADER_BYTES,
        }
    }

    /// Says by a code of RFC 8914 why it is what it is; before anything is added.
    pub(crate) fn explain(&mut self, code: u16) {
        self.limit = self.limit.saturating_sub(EXTENDED_ERROR_BYTES);
        self.extended = Some(code);
    }

    /// Copies an RRset whose owner is the name at `owner_at`. Says where it begins.
    #[inline]
    pub(crate) fn add(&mut self, section: Section, rrset: RrSet<'_>, owner_at: usize) -> Result<usize, Full> {
        let start = self.out.len();
        if start + rrset.wire.len() > self.limit {
            return Err(Full);
        }
        self.out.extend_from_slice(rrset.wire);
        let written = &mut self.out[start..];
        for (at, into_rrset) in rrset.pointers() {
            // What points into its own RRset holds the place within it.
            let to = match into_rrset {
                false => self.apex_at,
                true => start + usize::from(u16::from_be_bytes([written[at], written[at + 1]])),
            };
            written[at..at + 2].copy_from_slice(&pointer(to));
        }
        if owner_at != HEADER_BYTES {
            let owner = pointer(owner_at);
            for at in rrset.starts() {
                written[at..at + 2].copy_from_slice(&owner);
            }
        }
        self.counts[section as usize] += rrset.records;
        Ok(start)
    }

    /// Adds a record that no zone holds.
    pub(crate) fn add_made(
        &mut self,
        section: Section,
        owner_at: usize,
        rtype_class_ttl: [u8; 8],
        rdata: &[u8],
    ) -> Result<usize, Full> {
        let start = self.out.len();
        if start + 12 + rdata.len() > self.limit {
            return Err(Full);
        }
        self.out.extend_from_slice(&if owner_at == HEADER_BYTES { TO_QUESTION } else { pointer(owner_at) });
        self.out.extend_from_slice(&rtype_class_ttl);
        self.out.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        self.out.extend_from_slice(rdata);
        self.counts[section as usize] += 1;
        Ok(start)
    }

    /// Copies an RRset whose owner is a name of the zone that stands nowhere yet: `relative` is what of it is below the apex. There
    /// are no names within it that could be compressed. Says where it begins.
    pub(crate) fn add_named(
        &mut self,
        section: Section,
        rrset: RrSet<'_>,
        relative: &[u8],
    ) -> Result<usize, Full> {
        let start = self.out.len();
        let apex = pointer(self.apex_at);
        for record in rrset.wires() {
            // The records after the first point to its owner.
            if self.out.len() > start && Self::reaches(start) {
                self.out.extend_from_slice(&pointer(start));
            } else {
                self.out.extend_from_slice(relative);
                self.out.extend_from_slice(&apex);
            }
            self.out.extend_from_slice(&record[TO_QUESTION.len()..]);
        }
        if self.out.len() > self.limit {
            self.out.truncate(start);
            return Err(Full);
        }
        self.counts[section as usize] += rrset.records;
        Ok(start)
    }

    /// Takes back what was added last, from `start` on: so many records of this section.
    pub(crate) fn take_back(&mut self, section: Section, start: usize, records: u16) {
        self.out.truncate(start);
        self.counts[section as usize] -= records;
    }

    /// Octets so far.
    pub(crate) fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Adds records that were written behind a question as long as this one, so many for each section. Says where they begin.
    #[inline]
    pub(crate) fn add_written(&mut self, counts: [u16; 3], records: &[u8]) -> Result<usize, Full> {
        let start = self.out.len();
        if start + records.len() > self.limit {
            return Err(Full);
        }
        self.out.extend_from_slice(records);
        for (all, more) in self.counts[1..].iter_mut().zip(counts) {
            *all += more;
        }
        Ok(start)
    }

    /// Makes another TTL of the one at `at`.
    #[inline]
    pub(crate) fn age_ttl(&mut self, at: usize, left: impl FnOnce(u32) -> u32) {
        if let Some(ttl) = self.out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *ttl = left(u32::from_be_bytes(*ttl)).to_be_bytes();
        }
    }

    /// Sets the TTL of the record at `start`.
    pub(crate) fn set_ttl(&mut self, start: usize, ttl: u32) {
        self.out[start + 6..start + 10].copy_from_slice(&ttl.to_be_bytes());
    }

    /// Whether a compression pointer can point at `at`.
    pub(crate) fn reaches(at: usize) -> bool {
        at <= POINTER_MAX
    }

    /// Writes the OPT record if the client sent one, and the header.
    pub(crate) fn finish(mut self, edns: Option<&Edns<'_>>, facts: &Facts<'_>) {
        if let Some(edns) = edns {
            self.write_opt(edns, facts);
        }
        let rcode = self.rcode.to_int();
        let [_, _, first, second] = &mut self.out[..4] else { return };
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        *first = QR | (*first & (OPCODE | RD)) | flag(self.authoritative, AA) | flag(self.truncated, TC);
        *second = (*second & CD)
            | flag(self.recursion_available, RA)
            | flag(self.authentic, AD)
            | (rcode & 0x0f) as u8;
        for (at, count) in (4..HEADER_BYTES).step_by(2).zip(self.counts) {
            self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
    }

    fn write_opt(&mut self, edns: &Edns<'_>, facts: &Facts<'_>) {
        let start = self.out.len();
        let rcode = self.rcode.to_int();
        self.out.extend_from_slice(&[0]);
        self.out.extend_from_slice(&OPT.to_be_bytes());
        self.out.extend_from_slice(&facts.udp_payload_bytes.to_be_bytes());
        self.out.extend_from_slice(&[(rcode >> 4) as u8, 0]);
        self.out.extend_from_slice(if edns.dnssec_ok { &DO } else { &[0, 0] });
        self.out.extend_from_slice(&[0, 0]);
        if let Some(nsid) = nsid(edns, facts) {
            self.write_option(NSID, &[nsid]);
        }
        if let Some((client, server)) = cookie(edns, facts) {
            self.write_option(COOKIE, &[client, server]);
        }
        if let Some(subnet) = edns.client_subnet {
            self.write_client_subnet(subnet);
        }
        if let Some(code) = self.extended {
            self.write_option(EXTENDED_ERROR, &[&code.to_be_bytes()]);
        }
        if edns.padding && facts.transport.is_encrypted() {
            let bare = self.out.len() + 4;
            let padded = bare.next_multiple_of(PADDING_BLOCK_BYTES).min(MESSAGE_BYTES_MAX);
            if padded >= bare {
                self.out.extend_from_slice(&PADDING.to_be_bytes());
                self.out.extend_from_slice(&((padded - bare) as u16).to_be_bytes());
                self.out.resize(padded, 0);
            }
        }
        let options = (self.out.len() - start - OPT_BYTES) as u16;
        self.out[start + 9..start + OPT_BYTES].copy_from_slice(&options.to_be_bytes());
        self.counts[Section::Additional as usize] += 1;
    }

    /// RFC 7871 §7.2.1: what was asked is repeated, and it is said for whom else the answer holds. One that was not to be chosen by the
    /// client was not.
    fn write_client_subnet(&mut self, subnet: ClientSubnet) {
        let (family, octets): (u8, &[u8]) = match &subnet.address {
            IpAddr::V4(v4) => (1, &v4.octets()),
            IpAddr::V6(v6) => (2, &v6.octets()),
        };
        let scope = if subnet.prefix == 0 { 0 } else { self.client_bits };
        let octets = &octets[..usize::from(subnet.prefix).div_ceil(8)];
        self.write_option(CLIENT_SUBNET, &[&[0, family, subnet.prefix, scope], octets]);
    }

    fn write_option(&mut self, code: u16, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.out.extend_from_slice(&code.to_be_bytes());
        self.out.extend_from_slice(&(length as u16).to_be_bytes());
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }
}

/// What the OPT record takes, its padding not counted. With the longest question it stays below what every datagram holds.
fn opt_bytes(edns: &Edns<'_>, facts: &Facts<'_>) -> usize {
    let nsid = nsid(edns, facts).map_or(0, |nsid| 4 + nsid.len());
    let cookie = cookie(edns, facts).map_or(0, |(client, server)| 4 + client.len() + server.len());
    let subnet = edns.client_subnet.map_or(0, |subnet| 8 + usize::from(subnet.prefix).div_ceil(8));
    OPT_BYTES + nsid + cookie + subnet
}

fn nsid<'f>(edns: &Edns<'_>, facts: &Facts<'f>) -> Option<&'f [u8]> {
    let nsid = facts.nsid.filter(|_| edns.nsid)?;
    Some(&nsid[..nsid.len().min(NSID_BYTES_MAX)])
}

/// Both halves.
fn cookie<'c>(edns: &Edns<'c>, facts: &Facts<'c>) -> Option<(&'c [u8], &'c [u8])> {
    let server = facts.server_cookie.filter(|server| SERVER_COOKIE_BYTES.contains(&server.len()))?;
    Some((edns.cookie?.client, server))
}

#[inline]
fn pointer(to: usize) -> [u8; 2] {
    (0xc000 | to as u16).to_be_bytes()
}
