//! A route as it is answered from: made once, with the RRset of every candidate ready.

use super::candidates::Set;
use super::chain::Step;
use super::config::{AnswerConfig, RouteConfig, VALUES, WhenDown};
use super::places::Places;
use super::pools::{Place, Pools, Which};
use super::weighted::{self, mixed};
use crate::protocol::name::wire_from_text;
use crate::protocol::{Name, NameError};
use crate::zone::node::{RrSet, TO_QUESTION};
use domain::base::iana::Rtype;
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses of a pool's own endpoints that are answered at once.
const ENDPOINTS_MAX: usize = 8;
/// Where a set is signed when it is first answered, chance has so many outcomes.
const DRAWS_SIGNED: u64 = 256;
/// An AAAA record whose owner is a pointer.
const RECORD_BYTES_MAX: usize = 28;

/// What is answered at a name in place of the zone's A and AAAA.
#[derive(Debug)]
pub struct Route(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// A choice.
    Policy(Policy),
    /// What another name has.
    Alias(Box<Name>),
}

/// A choice between candidates.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) candidates: Box<[Candidate]>,
    pub(super) steps: Box<[Step]>,
    pub(super) places: Arc<Places>,
    pub(super) when_down: WhenDown,
    pub(super) values_max: usize,
    pub(super) sticky: bool,
    pub(crate) ttl: u32,
}

/// One of those that may be chosen.
#[derive(Debug)]
pub(super) struct Candidate {
    /// What it is called: `shop at eu`.
    pub(super) label: String,
    pub(super) pool: Option<Arc<Place>>,
    /// Where it is; of no meaning without `nearest`.
    pub(super) place: u16,
    pub(super) weight: u16,
    /// What it is known by to `weighted`.
    pub(super) key: u64,
    answer: Answer,
}

/// What a candidate is answered with.
#[derive(Debug)]
enum Answer {
    Fixed {
        a: Records,
        aaaa: Records,
    },
    /// The addresses of its pool's endpoints.
    Endpoints(Arc<Place>),
}

/// Records in wire form, whose owner is the question's name.
#[derive(Debug)]
struct Records {
    wire: Box<[u8]>,
    count: u16,
}

/// Who is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Nobody, where everything is down and the route says that this is a failure.
    pub(crate) candidates: Set,
    /// By how many bits of the client's address.
    pub(crate) bits: u8,
}

impl Route {
    /// The route of a configuration that was checked, in the zone of this apex.
    ///
    /// # Errors
    /// When its alias is no name.
    pub fn new(
        config: &RouteConfig,
        apex: &Name,
        places: &Arc<Places>,
        pools: &Pools,
    ) -> Result<Self, NameError> {
        if let Some(alias) = &config.alias {
            return Ok(Self(Kind::Alias(Box::new(name_in(alias, apex)?))));
        }
        let mut labels: Vec<String> = Vec::new();
        let candidates = config.answers.iter().map(|answer| {
            let label = label(answer);
            let nth = labels.iter().filter(|known| **known == label).count() as u64;
            labels.push(label.clone());
            Candidate::new(answer, label, nth, config.ttl_seconds(), places, pools)
        });
        Ok(Self(Kind::Policy(Policy {
            candidates: candidates.collect(),
            steps: Step::chain(&config.choose),
            places: Arc::clone(places),
            when_down: config.when_down.unwrap_or_default(),
            values_max: config.values.unwrap_or(VALUES).into(),
            sticky: config.sticky.unwrap_or(true),
            ttl: config.ttl_seconds(),
        })))
    }
}

/// What a candidate is called, in explanations and by `weighted`: what it leads to, and where.
fn label(answer: &AnswerConfig) -> String {
    let what = match &answer.pool {
        Some(pool) => pool.to_string(),
        None => answer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    match &answer.at {
        Some(place) => format!("{what} at {place}"),
        None => what,
    }
}

impl Candidate {
    fn new(answer: &AnswerConfig, label: String, nth: u64, ttl: u32, places: &Places, pools: &Pools) -> Self {
        let pool = answer.pool.as_ref().map(|pool| pools.place(pool));
        let records = |is_v4: bool| {
            let mut wire = Vec::new();
            let of_family = answer.addresses.iter().filter(|address| address.is_ipv4() == is_v4);
            let count = of_family.map(|address| write_record(&mut wire, *address, ttl)).count() as u16;
            Records { wire: wire.into(), count }
        };
        let kind = match &pool {
            Some(pool) if answer.addresses.is_empty() => Answer::Endpoints(Arc::clone(pool)),
            _ => Answer::Fixed { a: records(true), aaaa: records(false) },
        };
        Self {
            key: weighted::key(&label, nth),
            place: answer
                .at
                .as_ref()
                .and_then(|place| places.number(place))
                .unwrap_or(super::regions::NOWHERE),
            weight: answer.weight.unwrap_or(1),
            label,
            pool,
            answer: kind,
        }
    }

    /// Whether clients may be sent to it.
    #[inline]
    pub(super) fn is_up(&self) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.available() > 0)
    }

    fn may_have(&self, rtype: Rtype) -> bool {
        match &self.answer {
            Answer::Fixed { a, aaaa } => (if rtype == Rtype::A { a } else { aaaa }).count > 0,
            Answer::Endpoints(_) => true,
        }
    }
}

impl Policy {
    /// Shows the addresses of who was chosen, one RRset a candidate. Where there are several, chance decides which comes first.
    #[inline]
    pub(crate) fn records<Error>(
        &self,
        rtype: Rtype,
        chosen: Chosen,
        draw: u64,
        mut take: impl FnMut(RrSet<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for candidate in chosen.candidates.iter_from(draw as u32 as usize) {
            match &self.candidates[candidate].answer {
                Answer::Fixed { a, aaaa } => {
                    let records = if rtype == Rtype::A { a } else { aaaa };
                    if records.count > 0 {
                        take(RrSet::of_addresses(rtype, records.count, &records.wire))?;
                    }
                }
                Answer::Endpoints(pool) => {
                    let (mut wire, mut count) = ([0; ENDPOINTS_MAX * RECORD_BYTES_MAX], 0);
                    let length = self.endpoints(rtype, pool, draw, &mut wire, &mut count);
                    if count > 0 {
                        take(RrSet::of_addresses(rtype, count, &wire[..length]))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The addresses that its candidates were given. Those of a pool's endpoints come and go.
    pub(crate) fn fixed_addresses(&self, mut take: impl FnMut(Rtype, &[u8])) {
        for candidate in &self.candidates {
            let Answer::Fixed { a, aaaa } = &candidate.answer else { continue };
            for (rtype, records, bytes) in [(Rtype::A, a, 4), (Rtype::AAAA, aaaa, 16)] {
                for record in records.wire.chunks_exact(RECORD_BYTES_MAX - 16 + bytes) {
                    take(rtype, &record[record.len() - bytes..]);
                }
            }
        }
    }

    /// Writes records of a pool's endpoints, as many as there is room for, beginning at one by chance. Says how many octets.
    fn endpoints(&self, rtype: Rtype, pool: &Place, draw: u64, wire: &mut [u8], count: &mut u16) -> usize {
        let (mut length, mut is_empty) = (0, true);
        let mut write = |addresses: &[IpAddr]| {
            let of_type = |address: &&IpAddr| address.is_ipv4() == (rtype == Rtype::A);
            let all = addresses.iter().filter(of_type).count();
            let first = if all == 0 { 0 } else { (draw >> 32) as usize % all };
            let turned = addresses.iter().filter(of_type).skip(first);
            let turned = turned.chain(addresses.iter().filter(of_type).take(first));
            for address in turned.take(ENDPOINTS_MAX) {
                let record = record(*address, self.ttl);
                let bytes = record_bytes(*address);
                wire[length..length + bytes].copy_from_slice(&record[..bytes]);
                length += bytes;
                *count += 1;
            }
        };
        // With none that may be chosen, whoever got here wants an answer nonetheless. That there is one was told apart from these addresses,
        // which may be older or newer.
        pool.addresses(Which::Available, |addresses| {
            is_empty = addresses.is_empty();
            write(addresses);
        });
        if is_empty {
            pool.addresses(Which::Known, write);
        }
        length
    }

    /// Whether a candidate stands for whatever endpoints its pool has.
    pub(crate) fn follows_endpoints(&self) -> bool {
        self.candidates.iter().any(|candidate| matches!(candidate.answer, Answer::Endpoints(_)))
    }

    /// The chance by which a signed answer is made: where each outcome is another set to sign, there are few.
    #[inline]
    pub(crate) fn drawn_to_sign(&self, draw: u64) -> u64 {
        mixed(draw % DRAWS_SIGNED)
    }

    /// Whether each draw may choose another set, and not just another candidate.
    pub(crate) fn draws_sets(&self) -> bool {
        self.steps.last() == Some(&Step::Multivalue)
    }

    /// All addresses of these candidates, as one RRset in wire form: each once. And how many.
    pub(crate) fn wire_now(&self, candidates: Set, rtype: Rtype, draw: u64) -> (Vec<u8>, u16) {
        let (mut wire, mut count) = self.wire_of(candidates, rtype);
        for candidate in candidates.iter() {
            let Answer::Endpoints(pool) = &self.candidates[candidate].answer else { continue };
            let (mut own, mut own_count) = ([0; ENDPOINTS_MAX * RECORD_BYTES_MAX], 0);
            let length = self.endpoints(rtype, pool, draw, &mut own, &mut own_count);
            for record in RrSet::of_addresses(rtype, own_count, &own[..length]).wires() {
                if wire.chunks_exact(record.len()).all(|known| known != record) {
                    wire.extend_from_slice(record);
                    count += 1;
                }
            }
        }
        (wire, count)
    }

    /// The addresses of these candidates that are fixed, as one RRset in wire form: each once (RFC 2181 §5). And how many.
    pub(crate) fn wire_of(&self, candidates: Set, rtype: Rtype) -> (Vec<u8>, u16) {
        let (mut wire, mut count): (Vec<u8>, u16) = (Vec::new(), 0);
        for candidate in candidates.iter() {
            let Answer::Fixed { a, aaaa } = &self.candidates[candidate].answer else { continue };
            let records = if rtype == Rtype::A { a } else { aaaa };
            for record in RrSet::of_addresses(rtype, records.count, &records.wire).wires() {
                if wire.chunks_exact(record.len()).all(|known| known != record) {
                    wire.extend_from_slice(record);
                    count += 1;
                }
            }
        }
        (wire, count)
    }

    /// Whether any candidate could have addresses of this type: then that there are none may soon be otherwise.
    pub(crate) fn may_have(&self, rtype: Rtype) -> bool {
        self.candidates.iter().any(|candidate| candidate.may_have(rtype))
    }
}

fn write_record(wire: &mut Vec<u8>, address: IpAddr, ttl: u32) {
    wire.extend_from_slice(&record(address, ttl)[..record_bytes(address)]);
}

fn record_bytes(address: IpAddr) -> usize {
    if address.is_ipv4() { RECORD_BYTES_MAX - 12 } else { RECORD_BYTES_MAX }
}

/// An A or AAAA record of class IN, whose owner is the question's name.
fn record(address: IpAddr, ttl: u32) -> [u8; RECORD_BYTES_MAX] {
    let mut record = [0; RECORD_BYTES_MAX];
    let (rtype, length) = if address.is_ipv4() { (Rtype::A, 4) } else { (Rtype::AAAA, 16) };
    record[..2].copy_from_slice(&TO_QUESTION);
    record[2..4].copy_from_slice(&rtype.to_int().to_be_bytes());
    record[5] = 1;
    record[6..10].copy_from_slice(&ttl.to_be_bytes());
    record[11] = length;
    match address {
        IpAddr::V4(v4) => record[12..16].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => record[12..28].copy_from_slice(&v6.octets()),
    }
    record
}

/// A name as a zone file has it: `@` is the apex, and what has no dot at its end is relative to it.
pub(crate) fn name_in(text: &str, apex: &Name) -> Result<Name, NameError> {
    if text == "@" {
        return Ok(apex.clone());
    }
    let mut wire = Vec::new();
    wire_from_text(text.as_bytes(), Some(apex.as_wire()), &mut wire)?;
    Name::from_wire(&wire)
}
