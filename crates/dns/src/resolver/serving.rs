//! A query of a client: what can be answered at once, and what it has to wait for.

use super::cache::{Found, Hit, Meta, Stored};
use super::config::BlockAnswer;
use super::freshness::STALE_TTL_S;
use super::key::{Asked, Key, Subnet};
use super::look_up::packed;
use super::upstream::Failure;
use super::wire::{Record, parse, write};
use super::{Kept, Resolver, extended, special};
use crate::answer::{Facts, Kind, Outcome, SignedNow, answer};
use crate::protocol::response::Response;
use crate::protocol::{HEADER_BYTES, Name, Query, Transport};
use crate::zone::hash::Hash;
use crate::zones::Zones;
use cores::Open;
use domain::base::iana::{Class, OptRcode, Rtype};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const RD: u8 = 0x01;
const RA: u8 = 0x80;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
/// Zones and look-ups that one chain of aliases may lead through.
const HOPS_MAX: usize = 8;
/// What clients may remember of a name that is blocked.
const BLOCKED_TTL_S: u32 = 60;

/// What became of a query.
pub(crate) enum Served<'z> {
    /// It is answered.
    Now(Outcome<'z>),
    /// It is answered, and the answer is worth to be asked for anew.
    Due(Outcome<'z>, Box<Key>),
    /// It waits for others: [`Resolver::finish`] answers it.
    Later(Waiting),
}

/// A client that waits, as it is counted.
pub(crate) struct Waiting(Arc<Kept>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Resolver {
    /// Answers a query from the file's zones, and what is in none of them from what is known.
    pub(crate) fn serve<'z>(
        &self,
        zones: &'z Zones,
        query: &Query<'_>,
        facts: &Facts<'_>,
        out: &mut Vec<u8>,
    ) -> Served<'z> {
        if !wants_recursion(query) {
            return Served::Now(answer(zones, query, facts, out));
        }
        let (located, hash) = zones.locate(&query.name);
        if !self.files.allows(facts.sender) {
            if located.is_none() {
                self.kept.events.denied.inc();
                let why = (OptRcode::REFUSED, Some(extended::PROHIBITED));
                return Served::Now(failed(query, why, false, facts, out));
            }
            return Served::Now(answer(zones, query, facts, out));
        }
        if located.is_some() {
            let outcome = answer(zones, query, facts, out);
            // What lies beyond the zone is looked up for whoever may ask.
            if matches!(outcome.kind, Kind::Alias | Kind::Referral) && outcome.rcode == OptRcode::NOERROR {
                return self.later(query, facts, out);
            }
            offer_recursion(out);
            return Served::Now(outcome);
        }
        if let Some(outcome) = self.local(query, facts, out) {
            return Served::Now(outcome);
        }
        self.known(query, hash, facts, out)
    }

    /// Names that are nobody's, or blocked.
    fn local(&self, query: &Query<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Option<Outcome<'static>> {
        let blocked = self.files.blocked();
        if !blocked.is_empty() && blocked.has(&query.name) {
            self.kept.events.blocked.inc();
            return Some(self.block(query, facts, out));
        }
        if self.config.special_names && special::zones().find(&query.name).is_some() {
            let outcome = answer(special::zones(), query, facts, out);
            offer_recursion(out);
            // Nobody counts these zones.
            return Some(Outcome { zone: None, ..outcome });
        }
        None
    }

    fn block(&self, query: &Query<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Outcome<'static> {
        let mut response = Response::begin(query.head, query.edns.as_ref(), facts, out);
        response.recursion_available = true;
        response.explain(extended::BLOCKED);
        let address: &[u8] = match (self.config.block_answer, query.rtype) {
            (BlockAnswer::Zero, Rtype::A) => &[0; 4],
            (BlockAnswer::Zero, Rtype::AAAA) => &[0; 16],
            _ => &[],
        };
        let kind = match self.config.block_answer {
            BlockAnswer::Nxdomain => Kind::NoName,
            BlockAnswer::Zero if address.is_empty() => Kind::NoData,
            BlockAnswer::Zero => Kind::Positive,
        };
        if kind == Kind::NoName {
            response.rcode = OptRcode::NXDOMAIN;
        }
        if !address.is_empty() {
            let [high, low] = query.rtype.to_int().to_be_bytes();
            let mut head = [high, low, 0, 1, 0, 0, 0, 0];
            head[4..].copy_from_slice(&BLOCKED_TTL_S.to_be_bytes());
            let section = crate::protocol::response::Section::Answer;
            response.truncated = response.add_made(section, HEADER_BYTES, head, address).is_err();
        }
        finished(response, query, facts, kind)
    }

    /// What the cache has.
    fn known(&self, query: &Query<'_>, name: Hash, facts: &Facts<'_>, out: &mut Vec<u8>) -> Served<'static> {
        let asked = self.asked(query);
        let at = (self.now_ms(), &self.terms);
        for asked in candidates(asked) {
            let mut outcome = None;
            let is_general = asked.subnet.is_none() && self.subnet(query).is_some();
            let found = self.kept.cache.look(query.name.as_wire(), asked, asked.hash(name), at, |hit| {
                // What was got for nobody in particular may not be for this client.
                if is_general && !hit.meta.for_all {
                    return false;
                }
                let stale = hit.age.left(hit.meta.ttl_s) == 0;
                outcome = Some(write_hit(query, &hit, stale, facts, out));
                true
            });
            let Some(outcome) = outcome else { continue };
            self.kept.events.found(found);
            return match found {
                Found::Due => Served::Due(outcome, Box::new(Key::new(&query.name, asked))),
                _ => Served::Now(outcome),
            };
        }
        self.kept.events.misses.inc();
        self.later(query, facts, out)
    }

    /// The client waits, if it may.
    fn later(&self, query: &Query<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Served<'static> {
        let waiting = self.kept.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Waiting(Arc::clone(&self.kept));
        if waiting >= self.config.limit.waiting as usize {
            self.kept.events.shed.inc();
            return Served::Now(failed(query, (OptRcode::SERVFAIL, None), true, facts, out));
        }
        Served::Later(place)
    }

    /// Answers a query that has had to wait.
    pub(crate) async fn finish(
        self: &Arc<Self>,
        zones: &Zones,
        query: &Query<'_>,
        facts: &Facts<'_>,
        owner: &Open,
        out: &mut Vec<u8>,
    ) -> Outcome<'static> {
        let gathered = match zones.find(&query.name) {
            Some(_) => self.beyond(zones, query, facts, owner).await,
            None => self.get_any(self.asked(query), &query.name, owner).await,
        };
        match gathered {
            Ok((stored, is_stale)) => {
                if is_stale {
                    self.kept.events.stale();
                }
                write_hit(query, &stored.seen_at(self.now_ms()), is_stale, facts, out)
            }
            Err(failure) => {
                let why = (OptRcode::SERVFAIL, Some(extended::of_failure(failure)));
                failed(query, why, true, facts, out)
            }
        }
    }

    async fn get_any(
        self: &Arc<Self>,
        asked: Asked,
        name: &Name,
        owner: &Open,
    ) -> Result<(Stored, bool), Failure> {
        let got = self.get(&Key::new(name, asked), owner).await?;
        Ok((got.stored, got.is_stale))
    }

    /// A name of a zone of ours that leads out of it: what we have of the chain, and what others have of the rest.
    async fn beyond(
        self: &Arc<Self>,
        zones: &Zones,
        query: &Query<'_>,
        facts: &Facts<'_>,
        owner: &Open,
    ) -> Result<(Stored, bool), Failure> {
        let asked = self.asked(query);
        let (mut name, mut records, mut is_stale) = (query.name.clone(), Vec::new(), false);
        for _ in 0..HOPS_MAX {
            let own = if zones.find(&name).is_some() { own(zones, &name, asked, facts) } else { None };
            let rcode = match own {
                Some((Kind::Alias, reply)) => {
                    let target = last_target(&reply, &name).ok_or(Failure::Refused)?;
                    records.extend(reply.into_iter().filter(|record| record.section == 0));
                    name = target;
                    continue;
                }
                Some((Kind::Error, _)) => return Err(Failure::Refused),
                Some((kind, reply)) if kind != Kind::Referral => {
                    records.extend(reply);
                    if kind == Kind::NoName { OptRcode::NXDOMAIN.to_int() } else { 0 }
                }
                _ => {
                    let (stored, stale) = Box::pin(self.get_any(asked, &name, owner)).await?;
                    is_stale |= stale;
                    records.extend(self.records(&name, asked, (&stored, stale)).ok_or(Failure::Refused)?);
                    stored.meta.rcode
                }
            };
            return self.joined(query, &mut records, rcode).map(|stored| (stored, is_stale));
        }
        Err(Failure::Refused)
    }

    /// The records of an answer that is kept, with what is left of their time.
    fn records(&self, name: &Name, asked: Asked, (stored, is_stale): (&Stored, bool)) -> Option<Vec<Record>> {
        let message = question(name, Asked { dnssec_ok: false, ..asked });
        let mut out = Vec::new();
        let query = Query::parse(&message).ok()?;
        let hit = stored.seen_at(self.now_ms());
        write_hit(&query, &hit, is_stale, &Facts::of_transport(Transport::Tcp), &mut out);
        parse(&out, &message).ok().map(|reply| reply.records)
    }

    /// Records of several answers as one.
    fn joined(&self, query: &Query<'_>, records: &mut [Record], rcode: u16) -> Result<Stored, Failure> {
        records.sort_by_key(|record| record.section);
        let written = write(query.name.as_wire(), &*records).ok_or(Failure::Refused)?;
        let meta = Meta {
            stored_ms: self.now_ms(),
            ttl_s: u32::MAX,
            rcode,
            authentic: false,
            is_failure: false,
            extended: None,
            scope: 0,
            for_all: false,
            counts: written.counts,
            ttls: written.ttls_at.len() as u16,
        };
        Ok(Stored { meta, bytes: packed(&written) })
    }

    /// What a query asks for, as far as answers differ by it.
    fn asked(&self, query: &Query<'_>) -> Asked {
        Asked {
            rtype: query.rtype.to_int(),
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.head[3] & CD != 0,
            subnet: self.subnet(query),
        }
    }

    /// The client's subnet, if it is told.
    fn subnet(&self, query: &Query<'_>) -> Option<Subnet> {
        if !self.config.client_subnet {
            return None;
        }
        query.edns.and_then(|edns| edns.client_subnet).and_then(Subnet::told)
    }
}

/// What a zone of ours has of a name for this client.
fn own(zones: &Zones, name: &Name, asked: Asked, facts: &Facts<'_>) -> Option<(Kind, Vec<Record>)> {
    let message = question(name, asked);
    let query = Query::parse(&message).ok()?;
    let mut out = Vec::new();
    let facts = Facts {
        sender: facts.sender,
        draw: facts.draw,
        now: facts.now,
        ..Facts::of_transport(Transport::Tcp)
    };
    let outcome = answer(zones, &query, &facts, &mut out);
    let reply = parse(&out, &message).ok()?;
    Some((outcome.kind, reply.records))
}

/// Where an answer may be: among those for everybody, or for the client's network.
fn candidates(asked: Asked) -> impl Iterator<Item = Asked> {
    let general = Asked { subnet: None, ..asked };
    std::iter::once(general).chain((asked != general).then_some(asked))
}

/// Whether something is to be looked up, and can be: types that are about messages, or about more than one, are not.
fn wants_recursion(query: &Query<'_>) -> bool {
    let is_of_messages = matches!(query.rtype.to_int(), 0 | 41 | 128..=254);
    query.head[2] & RD != 0 && query.class == Class::IN && !is_of_messages
}

/// Says in an answer that was written for a zone that others would be looked up.
fn offer_recursion(out: &mut [u8]) {
    if let Some(flags) = out.get_mut(3) {
        *flags |= RA;
    }
}

/// A query of our own.
fn question(name: &Name, asked: Asked) -> Vec<u8> {
    let mut message = vec![0, 0, RD, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(asked.dnssec_ok)];
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&asked.rtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    if asked.dnssec_ok {
        message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    }
    message
}

/// Where the chain of aliases that begins at a name ends.
fn last_target(records: &[Record], name: &Name) -> Option<Name> {
    let cname = Rtype::CNAME.to_int();
    let mut at: &[u8] = name.as_wire();
    let mut target = None;
    for _ in 0..=records.len() {
        let is_next = |record: &&Record| record.section == 0 && record.rtype == cname && record.is_of(at);
        let Some(alias) = records.iter().find(is_next) else { break };
        at = &alias.rdata;
        target = Some(at);
    }
    Name::from_wire(target?).ok()
}

/// Writes an answer that is kept.
#[inline]
fn write_hit(
    query: &Query<'_>,
    hit: &Hit<'_>,
    is_stale: bool,
    facts: &Facts<'_>,
    out: &mut Vec<u8>,
) -> Outcome<'static> {
    let mut response = Response::begin(query.head, query.edns.as_ref(), facts, out);
    response.recursion_available = true;
    response.rcode = OptRcode::masked_from_int(hit.meta.rcode);
    response.client_bits = hit.meta.scope;
    let why = if is_stale { Some(extended::of_stale(response.rcode)) } else { hit.meta.extended };
    why.into_iter().for_each(|code| response.explain(code));
    // RFC 6840 §5.8: whoever does not ask for it may not understand it. Signatures may be over with the answer's time.
    let wants_to_know = query.dnssec_ok() || query.head[3] & AD != 0;
    response.authentic = hit.meta.authentic && !is_stale && wants_to_know;
    match response.add_written(hit.meta.counts, hit.body) {
        Ok(start) => {
            for place in hit.ttls_at.as_chunks::<2>().0 {
                response.age_ttl(start + usize::from(u16::from_ne_bytes(*place)), |ttl| {
                    if is_stale { STALE_TTL_S } else { hit.age.left(ttl) }
                });
            }
        }
        Err(_) => response.truncated = true,
    }
    let kind = match (response.rcode, hit.meta.counts[0]) {
        (OptRcode::NXDOMAIN, _) => Kind::NoName,
        (OptRcode::NOERROR, 0) => Kind::NoData,
        (OptRcode::NOERROR, _) => Kind::Positive,
        _ => Kind::Error,
    };
    finished(response, query, facts, kind)
}

/// An answer that has nothing but a reason.
fn failed(
    query: &Query<'_>,
    (rcode, why): (OptRcode, Option<u16>),
    recursion_available: bool,
    facts: &Facts<'_>,
    out: &mut Vec<u8>,
) -> Outcome<'static> {
    let mut response = Response::begin(query.head, query.edns.as_ref(), facts, out);
    (response.rcode, response.recursion_available) = (rcode, recursion_available);
    why.into_iter().for_each(|code| response.explain(code));
    finished(response, query, facts, Kind::Error)
}

fn finished(response: Response<'_>, query: &Query<'_>, facts: &Facts<'_>, kind: Kind) -> Outcome<'static> {
    let (rcode, truncated) = (response.rcode, response.truncated);
    response.finish(query.edns.as_ref(), facts);
    Outcome {
        kind,
        rcode,
        zone: None,
        rtype: Some(query.rtype),
        class: Some(query.class),
        truncated,
        about: 0,
        signed: SignedNow::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_authentic_for_no_longer_than_its_time() {
        let asked = Asked { rtype: 1, dnssec_ok: true, checking_disabled: false, subnet: None };
        let message = question(&"www.test".parse().unwrap(), asked);
        let query = Query::parse(&message).unwrap();
        let meta = Meta {
            stored_ms: 0,
            ttl_s: 1,
            rcode: 0,
            authentic: true,
            is_failure: false,
            extended: None,
            scope: 0,
            for_all: false,
            counts: [0; 3],
            ttls: 0,
        };
        let stored = Stored { meta, bytes: Arc::new([]) };
        let is_authentic = |is_stale| {
            let mut out = Vec::new();
            let facts = Facts::of_transport(Transport::Tcp);
            write_hit(&query, &stored.seen_at(5000), is_stale, &facts, &mut out);
            out[3] & AD != 0
        };
        assert!(is_authentic(false) && !is_authentic(true));
    }
}
