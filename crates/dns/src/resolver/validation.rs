//! DNSSEC (RFC 4035) for answers of upstreams: hickory's validator asks for the keys that it needs in the same way as for answers, and
//! says what the signatures are worth.

use super::events::Validated;
use super::key::Asked;
use super::source::Judged;
use super::upstream::{Failure, Manner, Upstream, ask};
use super::wire::{Reply, parse, write};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, DnsResponseStream, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, OpCode, Query, ResponseCode,
};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use std::sync::Arc;

/// Upstreams whose answers are validated.
pub(super) struct Validating(DnssecDnsHandle<Asker>);

/// Upstreams as the validator sees them.
#[derive(Clone)]
struct Asker {
    upstreams: Arc<[Arc<Upstream>]>,
    manner: Manner,
}

impl Validating {
    pub(super) fn new(
        upstreams: Arc<[Arc<Upstream>]>,
        manner: Manner,
        anchors: Option<Arc<TrustAnchors>>,
    ) -> Self {
        let anchors = anchors.unwrap_or_default();
        Self(DnssecDnsHandle::with_trust_anchor(Asker { upstreams, manner }, anchors))
    }

    pub(super) async fn ask(&self, name: &[u8], asked: Asked) -> Result<Judged, Failure> {
        let query = query_of(name, asked.rtype).ok_or(Failure::Refused)?;
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        let result = self.0.lookup(query.clone(), options).first_answer().await;
        judge(&query, result.map(DnsResponse::into_message))
    }
}

impl DnsHandle for Asker {
    type Response = DnsResponseStream;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> DnsResponseStream {
        let (upstreams, manner) = (Arc::clone(&self.upstreams), self.manner);
        let asked = async move {
            let query = request.queries.first().cloned().ok_or_else(|| NetError::from("no question"))?;
            let name = wire_of(query.name());
            // RFC 6840 §5.9: an upstream that validates too is not to keep what it finds wrong from us.
            let asked = Asked {
                rtype: query.query_type().into(),
                dnssec_ok: true,
                checking_disabled: true,
                subnet: None,
            };
            let reply = ask(&upstreams, (&name, asked), manner).await.map_err(|failure| match failure {
                Failure::Silence => NetError::Timeout,
                Failure::Refused | Failure::Bogus => DnsError::ResponseCode(ResponseCode::ServFail).into(),
            })?;
            let message = message_of(&name, asked.rtype, &reply).ok_or_else(|| NetError::from("too long"))?;
            Ok(DnsResponse::from_buffer(message)?)
        };
        Box::pin(asked).into()
    }
}

/// A question as hickory has it.
pub(super) fn query_of(name: &[u8], rtype: u16) -> Option<Query> {
    let name = Name::read(&mut BinDecoder::new(name)).ok()?;
    Some(Query::query(name, RecordType::from(rtype)))
}

/// A name in wire form, in small letters.
fn wire_of(name: &Name) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.iter() {
        // A label has 63 octets at most.
        wire.push(label.len() as u8);
        wire.extend(label.to_ascii_lowercase());
    }
    wire.push(0);
    wire
}

/// A reply as a message.
fn message_of(name: &[u8], rtype: u16, reply: &Reply) -> Option<Vec<u8>> {
    let written = write(name, &reply.records)?;
    let mut message = vec![0, 0, 0x80, (reply.rcode & 0x0f) as u8, 0, 1];
    written.counts.iter().for_each(|count| message.extend_from_slice(&count.to_be_bytes()));
    message.extend_from_slice(name);
    message.extend_from_slice(&rtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(&written.body);
    Some(message)
}

/// What hickory has found, as an answer of ours, with what its signatures are worth.
pub(super) fn judge(query: &Query, result: Result<Message, NetError>) -> Result<Judged, Failure> {
    let (message, proof) = match result {
        Ok(message) => (message, None),
        Err(NetError::Dns(DnsError::DnssecBogus)) => return Err(Failure::Bogus),
        Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => (response.into_message(), Some(proof)),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) if none.ns.is_none() => {
            let soa = none.soa.map(|soa| soa.into_record_of_rdata());
            (negative(none.response_code, soa, none.authorities.as_deref()), None)
        }
        Err(NetError::Dns(DnsError::ResponseCode(_))) => return Err(Failure::Refused),
        Err(_) => return Err(Failure::Silence),
    };
    let outcome = match proof {
        Some(Proof::Bogus) => Validated::Bogus,
        Some(Proof::Insecure | Proof::Indeterminate) => Validated::Insecure,
        Some(Proof::Secure) | None => worth(&message),
    };
    if outcome == Validated::Bogus {
        return Err(Failure::Bogus);
    }
    reply_of(query, message).map(|reply| (reply, Some(outcome))).ok_or(Failure::Refused)
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

/// All records have to be good for the whole to be.
fn worth(message: &Message) -> Validated {
    let of = |records: &[Record]| {
        let proofs = records.iter().filter(|record| record.record_type() != RecordType::RRSIG);
        proofs.map(|record| record.proof).collect::<Vec<_>>()
    };
    let proofs = [of(&message.answers), of(&message.authorities)].concat();
    if proofs.contains(&Proof::Bogus) {
        Validated::Bogus
    } else if !proofs.is_empty() && proofs.iter().all(Proof::is_secure) {
        Validated::Secure
    } else {
        Validated::Insecure
    }
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
