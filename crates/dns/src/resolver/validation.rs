//! DNSSEC (RFC 4035): hickory's validator asks for the keys that it needs in the same way as for answers, and says what signatures are
//! worth; what that makes of an answer, `judging` says.

use super::events::Validated;
use super::judging::{self, Cut, LINKS_MAX, is_complete};
use super::key::Asked;
use super::source::Judged;
use super::upstream::Failure;
use super::wire::{Reply, parse};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use std::sync::Arc;
use std::time::Duration;

/// What hickory's validator knows of sets, and of keys: beyond that it would be a million.
const VERDICTS_MAX: usize = 8192;
/// A set that was found good is looked at again after this, whatever TTL it came with: signatures come to their end.
const VERDICT_LASTS: Duration = Duration::from_secs(300);

/// A validator of answers of others.
pub(super) struct Validating<H: DnsHandle>(DnssecDnsHandle<H>);

impl<H: DnsHandle> Validating<H> {
    pub(super) fn new(others: H, anchors: Option<Arc<TrustAnchors>>) -> Self {
        let handle = DnssecDnsHandle::with_trust_anchor(others, anchors.unwrap_or_default());
        let handle = handle.validation_cache_size(VERDICTS_MAX);
        Self(handle.positive_validation_ttl(Duration::ZERO..=VERDICT_LASTS))
    }

    pub(super) async fn ask(&self, name: &[u8], asked: Asked) -> Result<Judged, Failure> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        let look_up =
            async |query| self.0.lookup(query, options).first_answer().await.map(DnsResponse::into_message);
        judged(name, asked.rtype, look_up).await
    }
}

/// Leaves of an answer with keys only those of the name. The validator takes the keys of any name in it for those of the zone when it
/// looks whether they are worth nothing: by an alias to a zone that is not signed, every zone would be one.
pub(super) fn keep_own_keys(query: &Query, message: &mut Message) {
    if matches!(query.query_type(), RecordType::DNSKEY | RecordType::DS) {
        message.answers.retain(|record| record.name == *query.name());
    }
}

/// A question as hickory has it.
fn query_of(name: &[u8], rtype: u16) -> Option<Query> {
    let name = Name::read(&mut BinDecoder::new(name)).ok()?;
    Some(Query::query(name, RecordType::from(rtype)))
}

/// A name in wire form, in small letters.
pub(super) fn wire_of(name: &Name) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.iter() {
        // A label has 63 octets at most.
        wire.push(label.len() as u8);
        wire.extend(label.to_ascii_lowercase());
    }
    wire.push(0);
    wire
}

/// Asks for a name, and where the answer is not whole, for one link of its chain of aliases after the other: each is good by itself, or
/// the whole is not.
pub(super) async fn judged(
    name: &[u8],
    rtype: u16,
    ask: impl AsyncFn(Query) -> Result<Message, NetError>,
) -> Result<Judged, Failure> {
    let mut query = query_of(name, rtype).ok_or(Failure::Refused)?;
    let mut chain = Chain::default();
    for _ in 0..LINKS_MAX {
        let (message, is_refuted) = said(ask(query.clone()).await)?;
        let whole = is_complete(&query, &message.answers).then(|| judging::of_answer(&message));
        if let Some(worth @ (Validated::Secure | Validated::Insecure)) = whole {
            are_unsigned(&query, &message, &ask).await?;
            return chain.ended(&query, message, worth);
        }
        let mut link = judging::link(&query, &message);
        // The end of a chain of which the recursor leaves out the beginning may well be of the same zone.
        let is_of_target = is_about_another(&query, &message) || (is_refuted && message.answers.is_empty());
        if link.is_none() && is_of_target && query.query_type() != RecordType::CNAME {
            let own = Query::query(query.name().clone(), RecordType::CNAME);
            link = judging::link(&query, &said(ask(own).await)?.0);
        }
        let Some((target, link)) = link else {
            let worth = judging::of_denial(&query, &message, is_refuted);
            if worth != Validated::Bogus {
                are_unsigned(&query, &message, &ask).await?;
            }
            return chain.ended(&query, message, worth);
        };
        are_unsigned(&query, &link, &ask).await?;
        let next = Query::query(target, query.query_type());
        chain.add(std::mem::replace(&mut query, next), link);
    }
    Err(Failure::Refused)
}

/// Checks that what is taken for unsigned is below a delegation that is, from the root on: each zone on the way says so of the next.
async fn are_unsigned(
    query: &Query,
    message: &Message,
    ask: &impl AsyncFn(Query) -> Result<Message, NetError>,
) -> Result<(), Failure> {
    for name in judging::unsigned_names(query, message) {
        let mut zone = Name::root();
        let mut is_unsigned = false;
        for labels in 1..=name.iter().count() {
            let at = name.trim_to(labels);
            let (found, is_refuted) = said(ask(Query::query(at.clone(), RecordType::DS)).await)?;
            match judging::cut(&zone, &at, &found) {
                _ if is_refuted => return Err(Failure::Bogus),
                Cut::Signed => zone = at,
                Cut::None => {}
                Cut::Unsigned => {
                    is_unsigned = true;
                    break;
                }
                Cut::Unknown => return Err(Failure::Bogus),
            }
        }
        if !is_unsigned {
            return Err(Failure::Bogus);
        }
    }
    Ok(())
}

/// The same without a look at signatures.
pub(super) async fn followed(
    name: &[u8],
    rtype: u16,
    ask: impl AsyncFn(Query) -> Result<Message, NetError>,
) -> Result<Reply, Failure> {
    let mut query = query_of(name, rtype).ok_or(Failure::Refused)?;
    let mut chain = Chain::default();
    for _ in 0..LINKS_MAX {
        let (message, _) = said(ask(query.clone()).await)?;
        let mut alias = None;
        if is_about_another(&query, &message) && query.query_type() != RecordType::CNAME {
            let own = Query::query(query.name().clone(), RecordType::CNAME);
            let (message, _) = said(ask(own).await)?;
            let target = message.answers.iter().find_map(|one| judging::target(one, query.name())).cloned();
            alias = target.map(|target| (target, message));
        }
        let Some((target, link)) = alias else {
            return chain.ended(&query, message, Validated::Insecure).map(|(reply, _)| reply);
        };
        let next = Query::query(target, query.query_type());
        chain.add(std::mem::replace(&mut query, next), link);
    }
    Err(Failure::Refused)
}

/// Links that are behind, and whether all of them are signed.
#[derive(Default)]
struct Chain {
    links: Vec<(Query, Message)>,
    has_unsigned: bool,
}

impl Chain {
    fn add(&mut self, query: Query, link: Message) {
        self.has_unsigned |= judging::of_answer(&link) != Validated::Secure;
        self.links.push((query, link));
    }

    /// The whole, as an answer of ours.
    fn ended(self, query: &Query, message: Message, worth: Validated) -> Result<Judged, Failure> {
        if worth == Validated::Bogus {
            return Err(Failure::Bogus);
        }
        let mut reply = reply_of(query, message).ok_or(Failure::Refused)?;
        for (query, message) in self.links.into_iter().rev() {
            let before = reply_of(&query, message).ok_or(Failure::Refused)?;
            reply.records.splice(0..0, before.records);
        }
        reply.records.sort_by_key(|record| record.section);
        Ok((reply, Some(if self.has_unsigned { Validated::Insecure } else { worth })))
    }
}

/// The message in what hickory has found, and whether its validator refuses it as a denial.
fn said(found: Result<Message, NetError>) -> Result<(Message, bool), Failure> {
    let (mut message, is_refuted) = match found {
        Ok(message) => (message, false),
        Err(NetError::Dns(DnsError::Nsec { response, .. })) => (response.into_message(), true),
        Err(NetError::Dns(DnsError::DnssecBogus)) => return Err(Failure::Bogus),
        Err(NetError::Dns(DnsError::ResponseCode(_))) => return Err(Failure::Refused),
        Err(_) => return Err(Failure::Silence),
    };
    judging::judge_made_aliases(&mut message);
    Ok((message, is_refuted))
}

/// Whether it is said that something is not there, by a zone that the name is not in: at the end of a chain of aliases, which hickory's
/// recursor leaves out.
fn is_about_another(query: &Query, message: &Message) -> bool {
    let mut soas = message.authorities.iter().filter(|record| record.record_type() == RecordType::SOA);
    message.answers.is_empty() && soas.next().is_some_and(|soa| !soa.name.zone_of(query.name()))
}

/// A message that says that something is not there.
pub(super) fn negative(rcode: ResponseCode, soa: Option<Record>, authorities: Option<&[Record]>) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = rcode;
    message.authorities.extend(authorities.unwrap_or_default().iter().cloned());
    if let Some(soa) = soa
        && !message.authorities.contains(&soa)
    {
        message.authorities.insert(0, soa);
    }
    message
}

/// A message of hickory's as a reply: by the same way as one of a stranger's.
fn reply_of(query: &Query, message: Message) -> Option<Reply> {
    let name = wire_of(query.name());
    let mut asked = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    asked.extend_from_slice(&name);
    asked.extend_from_slice(&u16::from(query.query_type()).to_be_bytes());
    asked.extend_from_slice(&[0, 1]);
    let mut own = Message::response(0, OpCode::Query);
    own.metadata.response_code = message.metadata.response_code;
    let lower = Name::read(&mut BinDecoder::new(&name)).ok()?;
    own.queries.push(Query::query(lower, query.query_type()));
    own.answers = message.answers;
    own.authorities = message.authorities;
    parse(&own.to_vec().ok()?, &asked).ok()
}

#[cfg(test)]
mod tests;
