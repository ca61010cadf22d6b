//! A query: a header, one question, and perhaps an OPT record.

use super::edns::{Edns, OPT};
use super::{HEADER_BYTES, Name, Rejection, u16_at};
use domain::base::iana::{Class, OptRcode, Rtype};

/// RFC 6891 allows one OPT record; nobody sends more than a few records beside it.
const ADDITIONAL_RECORDS_MAX: u16 = 4;
const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TC: u16 = 0x0200;

/// A query that can be answered.
#[derive(Debug, Clone)]
pub struct Query<'m> {
    /// Header and question, as they came: the answer repeats the question with the case it has.
    pub(crate) head: &'m [u8],
    /// The name that is asked for.
    pub name: Name,
    /// The type that is asked for.
    pub rtype: Rtype,
    /// The class that is asked for.
    pub class: Class,
    /// What is said by EDNS, if it is.
    pub edns: Option<Edns<'m>>,
}

impl<'m> Query<'m> {
    /// Reads a message. What cannot be answered as a query is a [`Rejection`], which says how it is answered.
    pub fn parse(message: &'m [u8]) -> Result<Self, Rejection<'m>> {
        let Some((header, body)) = message.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Rejection::unanswered());
        };
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = field(2);
        if flags & QR != 0 {
            // Two servers that answered each other's answers would never end.
            return Err(Rejection::unanswered());
        }
        let reject = |rcode| Rejection::of(header, rcode);
        if flags & OPCODE != 0 {
            return Err(reject(OptRcode::NOTIMP));
        }
        let (questions, answers, authorities, additionals) = (field(4), field(6), field(8), field(10));
        if questions == 0 && answers == 0 && authorities == 0 {
            return Err(without_question(message, additionals, reject));
        }
        // RFC 9619: a query has one question.
        if questions != 1 || answers != 0 || flags & TC != 0 || additionals > ADDITIONAL_RECORDS_MAX {
            return Err(reject(OptRcode::FORMERR));
        }
        let Ok(name) = Name::from_wire(body) else { return Err(reject(OptRcode::FORMERR)) };
        let question_end = HEADER_BYTES + name.wire_len() + 4;
        let Some(head) = message.get(..question_end) else { return Err(reject(OptRcode::FORMERR)) };
        let rtype = Rtype::from_int(u16::from_be_bytes([head[question_end - 4], head[question_end - 3]]));
        let class = Class::from_int(u16::from_be_bytes([head[question_end - 2], head[question_end - 1]]));
        let reject = |rcode| reject(rcode).with_question(head);
        let mut at = question_end;
        // RFC 1995 §3: a request for a difference says in its authority section what is there already.
        let differs = rtype == Rtype::IXFR && authorities == 1;
        if authorities != u16::from(differs) {
            return Err(reject(OptRcode::FORMERR));
        }
        if differs {
            at = record(message, at).ok_or_else(|| reject(OptRcode::FORMERR))?.end;
        }
        let edns = additional(message, at, additionals).ok_or_else(|| reject(OptRcode::FORMERR))?;
        match edns {
            Some(edns) if edns.version != 0 => Err(reject(OptRcode::BADVERS).with_edns(edns)),
            edns => Ok(Self { head, name, rtype, class, edns }),
        }
    }

    /// The identifier of the message.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.head[0], self.head[1]])
    }

    /// Whether the client wants the records of DNSSEC.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The name as it was asked for, with its case.
    pub fn name_as_asked(&self) -> &'m [u8] {
        &self.head[HEADER_BYTES..self.head.len() - 4]
    }
}

/// RFC 7873 §5.4: a message without a question asks for a cookie.
fn without_question<'m>(
    message: &'m [u8],
    additionals: u16,
    reject: impl Fn(OptRcode) -> Rejection<'m>,
) -> Rejection<'m> {
    match additional(message, HEADER_BYTES, additionals.min(ADDITIONAL_RECORDS_MAX)) {
        Some(Some(edns)) if edns.version != 0 => reject(OptRcode::BADVERS).with_edns(edns),
        Some(Some(edns)) if edns.cookie.is_some() => reject(OptRcode::NOERROR).with_edns(edns),
        _ => reject(OptRcode::FORMERR),
    }
}

/// The smallest TTL of a response's answer; where it has none, of its authority (RFC 8484 §5.1).
pub(crate) fn least_ttl(message: &[u8]) -> Option<u32> {
    let question = match u16_at(message, 4)? {
        0 => 0,
        _ => Name::from_wire(message.get(HEADER_BYTES..)?).ok()?.wire_len() + 4,
    };
    let mut at = HEADER_BYTES + question;
    for records in [u16_at(message, 6)?, u16_at(message, 8)?] {
        let mut least = None;
        for _ in 0..records {
            let record = record(message, at)?;
            let ttl = u32::from_be_bytes(record.ttl);
            least = Some(least.map_or(ttl, |least: u32| least.min(ttl)));
            at = record.end;
        }
        if least.is_some() {
            return least;
        }
    }
    None
}

/// A record of a query.
struct Record<'m> {
    owner_is_root: bool,
    rtype: u16,
    class: u16,
    ttl: [u8; 4],
    rdata: &'m [u8],
    end: usize,
}

/// The additional section, which begins at `at`: one OPT record at most, and nothing that we would have to understand
/// before answering. `None` is FORMERR.
#[expect(clippy::option_option, reason = "malformed, or well-formed with or without EDNS")]
fn additional(message: &[u8], mut at: usize, records: u16) -> Option<Option<Edns<'_>>> {
    let mut edns = None;
    for _ in 0..records {
        let record = record(message, at)?;
        at = record.end;
        if record.rtype != OPT || !record.owner_is_root || edns.is_some() {
            return None;
        }
        edns = Some(Edns::parse(record.class, record.ttl, record.rdata).ok()?);
    }
    Some(edns)
}

/// The record at `at`. Its owner may be compressed; where it leads to is not followed.
fn record(message: &[u8], at: usize) -> Option<Record<'_>> {
    let mut fixed = at;
    loop {
        match *message.get(fixed)? {
            0 => break fixed += 1,
            length @ 1..=63 => fixed += 1 + usize::from(length),
            0xc0.. => break fixed += 2,
            _ => return None,
        }
    }
    let rdata_at = fixed + 10;
    let length = usize::from(u16_at(message, fixed + 8)?);
    let rdata = message.get(rdata_at..rdata_at + length)?;
    Some(Record {
        owner_is_root: fixed == at + 1,
        rtype: u16_at(message, fixed)?,
        class: u16_at(message, fixed + 2)?,
        ttl: message.get(fixed + 4..fixed + 8)?.try_into().ok()?,
        rdata,
        end: rdata_at + length,
    })
}
