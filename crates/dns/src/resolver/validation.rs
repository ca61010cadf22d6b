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
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, OpCode, Query, ResponseCode,
};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use std::sync::Arc;

/// Links of a chain of aliases that are followed.
const LINKS_MAX: usize = 16;

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
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        let look_up =
            async |query| self.0.lookup(query, options).first_answer().await.map(DnsResponse::into_message);
        followed(name, asked.rtype, look_up).await
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
fn query_of(name: &[u8], rtype: u16) -> Option<Query> {
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

/// Asks for a name, and, where the validator cannot judge a chain of aliases as a whole, for one link after the other: the denial at its
/// end may be of a zone that is not signed.
pub(super) async fn followed(
    name: &[u8],
    rtype: u16,
    ask: impl AsyncFn(Query) -> Result<Message, NetError>,
) -> Result<Judged, Failure> {
    let mut query = query_of(name, rtype).ok_or(Failure::Refused)?;
    let (mut links, mut is_secure) = (Vec::new(), true);
    for _ in 0..LINKS_MAX {
        let found = ask(query.clone()).await;
        let link = match &found {
            found if is_about_another(&query, found) => alias(&query, &ask).await?,
            Err(NetError::Dns(DnsError::Nsec { response, proof: Proof::Bogus, .. })) => {
                link(&query, response)
            }
            _ => None,
        };
        if let Some((target, records)) = link {
            let mut proofs = records.iter().filter(|record| record.record_type() != RecordType::RRSIG);
            is_secure &= proofs.all(|record| record.proof.is_secure());
            links.push((query.clone(), records));
            query = Query::query(target, query.query_type());
            continue;
        }
        let (mut reply, outcome) = judge(&query, found)?;
        for (query, records) in links.into_iter().rev() {
            let mut message = Message::response(0, OpCode::Query);
            message.answers = records;
            let before = reply_of(&query, message).ok_or(Failure::Refused)?;
            reply.records.splice(0..0, before.records);
        }
        let outcome = outcome.map(|outcome| if is_secure { outcome } else { Validated::Insecure });
        return Ok((reply, outcome));
    }
    Err(Failure::Refused)
}

/// Whether it is said that something is not there, by a zone that the name is not in: at the end of a chain of aliases, which hickory's
/// recursor leaves out.
fn is_about_another(query: &Query, found: &Result<Message, NetError>) -> bool {
    let zone_of = |message: &'_ Message| {
        let mut soas = message.authorities.iter().filter(|record| record.record_type() == RecordType::SOA);
        soas.next().filter(|_| message.answers.is_empty()).map(|soa| soa.name.clone())
    };
    let zone = match found {
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => none.soa.as_ref().map(|soa| soa.name.clone()),
        Err(NetError::Dns(DnsError::Nsec { response, .. })) => zone_of(response),
        Ok(message) => zone_of(message),
        Err(_) => None,
    };
    query.query_type() != RecordType::CNAME && zone.is_some_and(|zone| !zone.zone_of(query.name()))
}

/// The alias that is asked for by itself.
async fn alias(
    query: &Query,
    ask: &impl AsyncFn(Query) -> Result<Message, NetError>,
) -> Result<Option<(Name, Vec<Record>)>, Failure> {
    let own = Query::query(query.name().clone(), RecordType::CNAME);
    let found = ask(own.clone()).await;
    let Ok(message) = &found else { return Ok(None) };
    let target = message.answers.iter().find_map(|record| target(record, query.name())).cloned();
    let answers = message.answers.clone();
    judge(&own, found)?;
    Ok(target.map(|target| (target, answers)))
}

/// The alias at the question's name with its signatures, if it is good by itself, and where it leads.
fn link(query: &Query, message: &Message) -> Option<(Name, Vec<Record>)> {
    let is_of_alias = |record: &&Record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => rrsig.input().type_covered == RecordType::CNAME,
        data => matches!(data, RData::CNAME(_)),
    };
    let own = message.answers.iter().filter(|record| record.name == *query.name());
    let records: Vec<Record> = own.filter(is_of_alias).cloned().collect();
    let alias = records.iter().find(|record| target(record, query.name()).is_some())?;
    let is_good = matches!(alias.proof, Proof::Secure | Proof::Insecure);
    let is_expanded = records.iter().any(|record| expansion(record).is_some());
    let target = target(alias, query.name())?.clone();
    (is_good && !is_expanded && query.query_type() != RecordType::CNAME).then_some((target, records))
}

/// What hickory has found, as an answer of ours, with what its signatures are worth.
fn judge(query: &Query, result: Result<Message, NetError>) -> Result<Judged, Failure> {
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
        Some(Proof::Bogus) if is_good_answer(query, &message) => worth(&message),
        Some(Proof::Bogus) => Validated::Bogus,
        Some(Proof::Insecure | Proof::Indeterminate) => Validated::Insecure,
        Some(Proof::Secure) | None => worth(&message),
    };
    if outcome == Validated::Bogus {
        return Err(Failure::Bogus);
    }
    reply_of(query, message).map(|reply| (reply, Some(outcome))).ok_or(Failure::Refused)
}

/// Whether an answer that the validator takes for a denial is a good answer, each set of which it has found good (hickory-net 0.26.3,
/// `verify_response`). It looks for a denial wherever there is an NSEC: also where one shows that the next zone of a chain is not signed,
/// and where the NSEC of a wildcard shows that nothing is closer to the name than itself, which is the usual case (RFC 4035 §5.3.4).
fn is_good_answer(query: &Query, message: &Message) -> bool {
    let mut signatures = message.answers.iter().filter_map(expansion);
    let nsecs: Vec<(&Name, &NSEC)> = message.authorities.iter().filter_map(secure_nsec).collect();
    let is_shown =
        |(name, encloser): (&Name, Name)| nsecs.iter().any(|nsec| nothing_is_closer(*nsec, name, &encloser));
    let mut records = message.answers.iter().filter(|record| record.record_type() != RecordType::RRSIG);
    message.response_code == ResponseCode::NoError
        && records.all(|record| matches!(record.proof, Proof::Secure | Proof::Insecure))
        && is_complete(query, &message.answers)
        && signatures.all(is_shown)
}

/// Whether the chain of aliases that begins at the question's name ends with what was asked for.
fn is_complete(query: &Query, answers: &[Record]) -> bool {
    let mut name = query.name();
    for _ in 0..LINKS_MAX {
        if answers.iter().any(|record| record.name == *name && record.record_type() == query.query_type()) {
            return true;
        }
        let Some(target) = answers.iter().find_map(|record| target(record, name)) else { return false };
        name = target;
    }
    false
}

/// Where an alias leads, if it is one of this name's.
fn target<'r>(record: &'r Record, name: &Name) -> Option<&'r Name> {
    match &record.data {
        RData::CNAME(target) if record.name == *name => Some(&target.0),
        _ => None,
    }
}

/// The name, and what is above it and there, of a set that a wildcard stands for, as its signature says.
fn expansion(record: &Record) -> Option<(&Name, Name)> {
    let RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) = &record.data else { return None };
    let labels = rrsig.input().num_labels;
    (labels < record.name.num_labels()).then(|| (&record.name, record.name.trim_to(usize::from(labels))))
}

fn secure_nsec(record: &Record) -> Option<(&Name, &NSEC)> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) if record.proof.is_secure() => Some((&record.name, nsec)),
        _ => None,
    }
}

/// Whether an NSEC shows that a name is not there, and that `encloser` is the longest name above it that is.
fn nothing_is_closer((owner, nsec): (&Name, &NSEC), name: &Name, encloser: &Name) -> bool {
    let (next, types) = (nsec.next_domain_name(), nsec.type_set());
    // RFC 6840 §4.1: a zone says nothing of names below its cuts.
    let is_cut = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
    if (is_cut || types.contains(RecordType::DNAME)) && owner.zone_of(name) {
        return false;
    }
    let is_covered = name > owner && (name < next || (next <= owner && next.zone_of(name)));
    let mut closest = name.base_name();
    while !closest.zone_of(owner) && !closest.zone_of(next) {
        closest = closest.base_name();
    }
    is_covered && closest == *encloser
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// Whether the NSEC from one name to another shows that nothing is closer to a name than its encloser.
    fn shows(owner: &str, next: &str, types: &[RecordType], of: &str, encloser: &str) -> bool {
        let nsec = NSEC::new(name(next), types.iter().copied());
        nothing_is_closer((&name(owner), &nsec), &name(of), &name(encloser))
    }

    #[test]
    fn an_nsec_shows_that_a_wildcard_is_the_closest() {
        let a = [RecordType::A];
        assert!(shows("*.w.test.", "z.test.", &a, "x.w.test.", "w.test."), "the wildcard's own");
        assert!(shows("a.w.test.", "z.w.test.", &a, "x.w.test.", "w.test."));
        assert!(shows("*.w.test.", "test.", &a, "x.w.test.", "w.test."), "the last of the zone");
        assert!(shows("*.w.test.", "z.test.", &a, "x.y.w.test.", "w.test."));
        assert!(!shows("*.w.test.", "x.w.test.", &a, "x.w.test.", "w.test."), "the name is there");
        assert!(!shows("*.w.test.", "b.w.test.", &a, "x.w.test.", "w.test."), "it covers something else");
        assert!(!shows("a.y.w.test.", "z.test.", &a, "x.y.w.test.", "w.test."), "another name is closer");
        assert!(
            !shows("*.w.test.", "b.y.w.test.", &a, "x.a.w.test.", "a.w.test."),
            "the encloser is not there"
        );
        assert!(
            !shows("w.test.", "z.test.", &[RecordType::NS], "x.w.test.", "w.test."),
            "it is another zone's"
        );
        assert!(!shows("w.test.", "z.test.", &[RecordType::DNAME], "x.w.test.", "w.test."));
    }
}
