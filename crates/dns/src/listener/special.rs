//! What arrives and is no plain query: transfers, notifications, updates, and whatever is signed.

use super::responder::{Arrival, Responded, may_tell, respond, respond_by_zones};
use crate::changes::{Direction, Mailbox, TransferKind, TransferOutcome, ZoneRules, unix_now};
use crate::protocol::message::{Header, NOTIFY, RESPONSE, Reader, UPDATE};
use crate::protocol::{HEADER_BYTES, MESSAGE_BYTES_MAX, Query, Transport, UDP_PAYLOAD_BYTES, u16_at};
use crate::secondary::Notified;
use crate::snapshot::{Live, Snapshot};
use crate::transfer::{History, Outgoing, Plan, is_newer, soa_number};
use crate::tsig::{self, RECORD_BYTES_MAX, Session};
use crate::update::{Update, zone_of};
use crate::zone::Zone;
use domain::base::iana::{OptRcode, Rtype};
use std::fmt::Display;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// RFC 1035 §4.2.1.
const PLAIN_UDP_BYTES: usize = 512;
const OPT: u16 = 41;
const REFUSED: u8 = 5;
const NOTAUTH: u8 = 9;
const SERVFAIL: u8 = 2;
const FORMERR: u8 = 1;

/// What becomes of such a message.
pub(super) enum Special {
    /// What an answer by the zones would be as well.
    Responded(Responded),
    /// A transfer, which is to be sent message by message, and signed.
    Transfer(Box<Transfer>),
    /// An update, which is answered once it is made.
    Later(Box<Later>),
}

/// An answer that is still to come.
pub(super) struct Later {
    rcode: oneshot::Receiver<u8>,
    /// The answer, but for its RCODE.
    answer: Vec<u8>,
    session: Option<Session>,
    live: Arc<Live>,
    transport: Transport,
}

impl Later {
    /// Waits for the answer.
    pub(super) async fn answer(self) -> Vec<u8> {
        let Self { rcode, mut answer, session, live, transport } = self;
        // Whoever made it is gone: it may have been made or not.
        let rcode = rcode.await.unwrap_or(SERVFAIL);
        live.changing.events.update(rcode);
        count(&live, Rtype::SOA, rcode, transport);
        answer[3] = rcode;
        if let Some(mut session) = session {
            session.sign(&mut answer, unix_now());
        }
        answer
    }
}

/// A transfer that is to be sent.
pub(super) struct Transfer {
    pub(super) outgoing: Outgoing,
    pub(super) kind: TransferKind,
    pub(super) session: Option<Session>,
    /// Its place among those under way.
    pub(super) _place: OwnedSemaphorePermit,
}

/// Whether a message needs more than an answer by the zones. A plain query, with EDNS or without, never does; what is malformed may.
#[inline]
pub(super) fn is_special(message: &[u8]) -> bool {
    let Some(header) = message.first_chunk::<HEADER_BYTES>() else { return false };
    if header[2] & 0xf8 != 0 {
        return header[2] & 0x80 == 0 && matches!(header[2] >> 3 & 0x0f, NOTIFY | UPDATE);
    }
    let mut at = HEADER_BYTES;
    loop {
        match message.get(at) {
            Some(0) => break,
            Some(length @ 1..=63) => at += 1 + usize::from(*length),
            _ => return false,
        }
    }
    let rtype = u16_at(message, at + 1).map(Rtype::from_int);
    // A record that is not EDNS's may be a signature.
    let has_more = u16::from_be_bytes([header[10], header[11]]) > 0
        && (header[11] > 1 || message.get(at + 5) != Some(&0) || u16_at(message, at + 6) != Some(OPT));
    has_more || matches!(rtype, Some(Rtype::AXFR | Rtype::IXFR))
}

/// Does what can be done at once.
pub(super) fn begin(snapshot: &Snapshot, message: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> Special {
    let verified = tsig::verify(&snapshot.rules.keys, message, unix_now());
    let (bare, session) = match verified {
        // What is malformed may be no signature at all.
        None | Some(Err(tsig::Unverified::Malformed)) => (None, None),
        Some(Ok((session, start))) => (Some(tsig::unsigned(message, start)), Some(session)),
        Some(Err(unverified)) => {
            count_unverified(snapshot, message, arrival);
            if !may_tell(snapshot, arrival) {
                return Special::Responded(Responded::Not);
            }
            *out = reply(message, NOTAUTH);
            unverified.sign(out, unix_now());
            return Special::Responded(Responded::Now);
        }
    };
    let bare = bare.as_deref().unwrap_or(message);
    if Header::of(bare).is_some_and(|header| header.opcode() == NOTIFY) {
        return notified(snapshot, bare, arrival, session, out);
    }
    if Header::of(bare).is_some_and(|header| header.opcode() == UPDATE) {
        return update(snapshot, bare, arrival, session, out);
    }
    match Query::parse(bare) {
        Ok(query) if matches!(query.rtype, Rtype::AXFR | Rtype::IXFR) => {
            transfer(snapshot, &query, bare, arrival, session, out)
        }
        _ if session.is_none() => Special::Responded(respond(snapshot, bare, arrival, out)),
        parsed => {
            // Who signs asks those who know the key, for what they know themselves.
            if matches!(respond_by_zones(snapshot, bare, arrival, out), Responded::Not) {
                return Special::Responded(Responded::Not);
            }
            let payload = parsed.ok().and_then(|query| query.edns).map(|edns| edns.payload_bytes);
            signed(session, bare, payload, arrival, out);
            Special::Responded(Responded::Now)
        }
    }
}

/// What is signed with a key that is not here, or otherwise than it should be.
fn count_unverified(snapshot: &Snapshot, message: &[u8], arrival: Arrival) {
    if Header::of(message).is_some_and(|header| header.opcode() == UPDATE) {
        snapshot.live.changing.events.update(NOTAUTH);
    }
    let rtype = Reader::new(message).question().map_or(Rtype::SOA, |question| question.rtype);
    count(&snapshot.live, rtype, NOTAUTH, arrival.transport);
}

/// Signs an answer. In a datagram that cannot hold both, the client is sent to TCP.
fn signed(
    session: Option<Session>,
    message: &[u8],
    payload_bytes: Option<u16>,
    arrival: Arrival,
    out: &mut Vec<u8>,
) {
    let Some(mut session) = session else { return };
    let limit = match (arrival.transport, payload_bytes) {
        (Transport::Udp, Some(bytes)) => usize::from(bytes.clamp(PLAIN_UDP_BYTES as u16, UDP_PAYLOAD_BYTES)),
        (Transport::Udp, None) => PLAIN_UDP_BYTES,
        _ => MESSAGE_BYTES_MAX,
    };
    if out.len() + RECORD_BYTES_MAX > limit {
        let rcode = out[3] & 0x0f;
        let flags = [out[2] | 0x02, out[3]];
        *out = reply(message, rcode);
        out[2..4].copy_from_slice(&flags);
    }
    session.sign(out, unix_now());
}

/// An answer with no records: the header, and the question if there is one.
pub(super) fn reply(message: &[u8], rcode: u8) -> Vec<u8> {
    let mut answer = message[..HEADER_BYTES].to_vec();
    let header = Header::of(message);
    let mut reader = Reader::new(message);
    let has_question = header.is_some_and(|header| header.counts[0] == 1) && reader.question().is_some();
    if has_question {
        answer.extend_from_slice(&message[HEADER_BYTES..reader.at()]);
    }
    answer[2] = answer[2] & 0x79 | (RESPONSE >> 8) as u8;
    answer[3] = rcode;
    answer[4..].first_chunk_mut::<8>().expect("a header").copy_from_slice(&[
        0,
        has_question.into(),
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    answer
}

/// RFC 1996: a primary says that a zone has changed.
fn notified(
    snapshot: &Snapshot,
    message: &[u8],
    arrival: Arrival,
    session: Option<Session>,
    out: &mut Vec<u8>,
) -> Special {
    let changing = &snapshot.live.changing;
    let heard = hear(snapshot, message, arrival, session.as_ref());
    changing.events.notify(Direction::In, heard.is_ok());
    if session.is_none() && !may_tell(snapshot, arrival) {
        return Special::Responded(Responded::Not);
    }
    *out = reply(message, heard.err().unwrap_or(0));
    if heard.is_ok() {
        out[2] |= 0x04;
    }
    count(&snapshot.live, Rtype::SOA, out[3], arrival.transport);
    if let Some(mut session) = session {
        session.sign(out, unix_now());
    }
    Special::Responded(Responded::Now)
}

fn hear(snapshot: &Snapshot, message: &[u8], arrival: Arrival, session: Option<&Session>) -> Result<(), u8> {
    let mut reader = Reader::new(message);
    let header = Header::of(message).filter(|header| header.counts[0] == 1).ok_or(FORMERR)?;
    let question = reader.question().filter(|question| question.rtype == Rtype::SOA).ok_or(FORMERR)?;
    let rules = snapshot.rules.of(&question.name).ok_or(NOTAUTH)?;
    let secondary = rules.secondary.as_ref().ok_or(REFUSED)?;
    let is_ours = match (&secondary.key, session) {
        (Some(key), session) => session.is_some_and(|session| session.key() == key),
        (None, _) => {
            let client = arrival.client.ip().to_canonical();
            secondary.primaries.iter().any(|primary| primary.ip().to_canonical() == client)
        }
    };
    if !is_ours {
        return Err(REFUSED);
    }
    let soa = if header.counts[1] > 0 { reader.record() } else { None };
    let data = soa.filter(|soa| soa.rtype == Rtype::SOA).and_then(|soa| soa.uncompressed());
    let serial = data.and_then(|data| soa_number(&data, 0));
    if let Some(Mailbox::Secondary(mailbox)) = snapshot.live.changing.mailboxes().get(question.name.as_wire())
    {
        // One that is full already says the same.
        let _ = mailbox.try_send(Notified(serial));
    }
    Ok(())
}

/// RFC 2136.
fn update(
    snapshot: &Snapshot,
    message: &[u8],
    arrival: Arrival,
    session: Option<Session>,
    out: &mut Vec<u8>,
) -> Special {
    match send_on(snapshot, message, arrival, session.as_ref()) {
        Ok(rcode) => {
            let (answer, live) = (reply(message, 0), Arc::clone(&snapshot.live));
            let transport = arrival.transport;
            Special::Later(Box::new(Later { rcode, answer, session, live, transport }))
        }
        Err(rcode) => {
            let zone = zone_of(message).map_or_else(|_| "?".to_owned(), |zone| zone.to_string());
            tell_refused(snapshot, "update", &zone, rcode, arrival, session.as_ref());
            snapshot.live.changing.events.update(rcode);
            if session.is_none() && !may_tell(snapshot, arrival) {
                return Special::Responded(Responded::Not);
            }
            count(&snapshot.live, Rtype::SOA, rcode, arrival.transport);
            *out = reply(message, rcode);
            if let Some(mut session) = session {
                session.sign(out, unix_now());
            }
            Special::Responded(Responded::Now)
        }
    }
}

/// Hands an update to whoever makes those of its zone; or says the RCODE.
fn send_on(
    snapshot: &Snapshot,
    message: &[u8],
    arrival: Arrival,
    session: Option<&Session>,
) -> Result<oneshot::Receiver<u8>, u8> {
    let apex = zone_of(message)?;
    let rules = snapshot.rules.of(&apex).ok_or(NOTAUTH)?;
    let key = session.map(|session| Box::new(session.key().name.clone()));
    let update = rules.update.as_ref().ok_or(REFUSED)?;
    if !update.know(arrival.client.ip(), key.as_deref()) {
        return Err(REFUSED);
    }
    let (answer, rcode) = oneshot::channel();
    let request = Update::Request { message: message.to_vec(), client: arrival.client.ip(), key, answer };
    let mailboxes = snapshot.live.changing.mailboxes();
    let Some(Mailbox::Update(mailbox)) = mailboxes.get(apex.as_wire()) else { return Err(SERVFAIL) };
    mailbox.try_send(request).map_err(|_| SERVFAIL)?;
    Ok(rcode)
}

/// RFC 5936, RFC 1995.
fn transfer(
    snapshot: &Snapshot,
    query: &Query<'_>,
    message: &[u8],
    arrival: Arrival,
    mut session: Option<Session>,
    out: &mut Vec<u8>,
) -> Special {
    let kind = if query.rtype == Rtype::AXFR { TransferKind::Axfr } else { TransferKind::Ixfr };
    let is_udp = arrival.transport == Transport::Udp;
    let events = &snapshot.live.changing.events;
    let found = snapshot.zones.get(&query.name).zip(snapshot.rules.of(&query.name));
    let planned = match found {
        None => Err(NOTAUTH),
        // RFC 5936 §4.2: not in datagrams.
        Some(_) if is_udp && kind == TransferKind::Axfr => Err(REFUSED),
        Some((_, rules)) if !may(rules, arrival, session.as_ref()) => Err(REFUSED),
        Some((zone, _)) if zone.is_withdrawn() => Err(SERVFAIL),
        Some((zone, _)) => {
            plan(snapshot, zone, kind, message, is_udp).map(|plan| (zone, plan)).ok_or(FORMERR)
        }
    };
    let place = Arc::clone(&snapshot.live.changing.transfers).try_acquire_owned();
    let planned = planned.and_then(|(zone, plan)| Ok((zone, plan, place.map_err(|_| SERVFAIL)?)));
    let (zone, plan, place) = match planned {
        Ok(planned) => planned,
        Err(rcode) => {
            events.transfer(Direction::Out, kind, TransferOutcome::Refused);
            tell_refused(snapshot, query.rtype, &query.name.to_string(), rcode, arrival, session.as_ref());
            if session.is_none() && !may_tell(snapshot, arrival) {
                return Special::Responded(Responded::Not);
            }
            count(&snapshot.live, query.rtype, rcode, arrival.transport);
            *out = reply(message, rcode);
            if let Some(session) = &mut session {
                session.sign(out, unix_now());
            }
            return Special::Responded(Responded::Now);
        }
    };
    count(&snapshot.live, query.rtype, 0, arrival.transport);
    let is_current = matches!(plan, Plan::Soa);
    let kind = if matches!(plan, Plan::Whole) { TransferKind::Axfr } else { kind };
    let outgoing = Outgoing::new(zone, plan, query.head, query.edns.is_some());
    if !is_udp {
        return Special::Transfer(Box::new(Transfer { outgoing, kind, session, _place: place }));
    }
    // RFC 1995 §2: what does not fit is told by the SOA alone.
    let payload = query.edns.map_or(PLAIN_UDP_BYTES as u16, |edns| edns.payload_bytes);
    let limit = usize::from(payload.clamp(PLAIN_UDP_BYTES as u16, UDP_PAYLOAD_BYTES));
    let reserved = if session.is_some() { RECORD_BYTES_MAX.min(limit / 2) } else { 0 };
    let mut whole = outgoing;
    let is_whole = whole.next_message(out, limit, reserved) == Ok(true) && whole.is_done();
    if !is_whole {
        let mut soa = Outgoing::new(zone, Plan::Soa, query.head, query.edns.is_some());
        if soa.next_message(out, limit, 0).is_err() {
            *out = reply(message, SERVFAIL);
        }
    }
    if let Some(session) = &mut session {
        session.sign(out, unix_now());
    }
    let outcome = if is_current || !is_whole { TransferOutcome::Current } else { TransferOutcome::Done };
    events.transfer(Direction::Out, TransferKind::Ixfr, outcome);
    Special::Responded(Responded::Now)
}

fn may(rules: &ZoneRules, arrival: Arrival, session: Option<&Session>) -> bool {
    let key = session.map(|session| &session.key().name);
    rules.transfer.as_ref().is_some_and(|access| access.allows(arrival.client.ip(), key))
}

/// What is sent to whoever asked so.
fn plan(
    snapshot: &Snapshot,
    zone: &Arc<Zone>,
    kind: TransferKind,
    message: &[u8],
    is_udp: bool,
) -> Option<Plan> {
    if kind == TransferKind::Axfr {
        return Some(Plan::Whole);
    }
    let mut reader = Reader::new(message);
    reader.question()?;
    let soa = reader.record().filter(|record| record.rtype == Rtype::SOA)?;
    let (theirs, ours) = (soa_number(&soa.uncompressed()?, 0)?, zone.figures().serial);
    if theirs == ours || is_newer(theirs, ours) {
        return Some(Plan::Soa);
    }
    let histories = snapshot.live.changing.histories();
    let differences = histories.get(zone.apex().as_wire()).and_then(|history| history.between(theirs, ours));
    Some(match differences {
        // RFC 1995 §2: they will not fit, and whoever asks may not be who it says: nothing is made of them.
        Some(differences) if is_udp && History::bytes_of(&differences) > MESSAGE_BYTES_MAX => Plan::Soa,
        // RFC 1995 §4: all of it is less.
        Some(differences) if History::bytes_of(&differences) <= zone.figures().bytes.max(PLAIN_UDP_BYTES) => {
            Plan::Differences(differences)
        }
        _ => Plan::Whole,
    })
}

/// Whoever is refused by mistake finds out why.
fn tell_refused(
    snapshot: &Snapshot,
    what: impl Display,
    zone: &str,
    rcode: u8,
    arrival: Arrival,
    session: Option<&Session>,
) {
    if !snapshot.live.changing.tells_refusal() {
        return;
    }
    let rcode = domain::base::iana::Rcode::masked_from_int(rcode);
    let key = session.map_or_else(|| "none".to_owned(), |session| session.key().name.to_string());
    tracing::info!(target: "dns", client = %arrival.client.ip(), zone, %key, %rcode, "{what} refused");
}

fn count(live: &Live, rtype: Rtype, rcode: u8, transport: Transport) {
    let of_transport = live.events.of(transport);
    of_transport
        .answered(Some(rtype), OptRcode::from_rcode(domain::base::iana::Rcode::masked_from_int(rcode)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DnsLimits;
    use telemetry::Registry;

    #[test]
    fn an_update_is_counted_by_what_it_was_answered_in_the_end() {
        let registry = Registry::new();
        let live = Arc::new(Live::new(&DnsLimits::default(), &registry));
        let (answer, rcode) = oneshot::channel();
        answer.send(REFUSED).expect("somebody waits");
        let (session, transport) = (None, Transport::Tcp);
        let later = Later { rcode, answer: vec![0; 12], session, live: Arc::clone(&live), transport };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(later.answer())[3], REFUSED);
        let text = registry.render();
        for line in [
            r#"nines_dns_updates_total{rcode="REFUSED"} 1"#,
            r#"nines_dns_responses_total{rcode="REFUSED",transport="tcp"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
