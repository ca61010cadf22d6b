//! A transfer from another server: messages become a zone, or differences (RFC 5936 §2.2, RFC 1995 §4). Nothing is believed.

use super::{Difference, Overlay, is_newer, soa_number};
use crate::protocol::Name;
use crate::protocol::message::{Header, MessageRecord, Reader};
use crate::zone::{Record, TTL_MAX, Zone, ZoneBuilder, is_stored};
use domain::base::iana::{Class, Rcode, Rtype};
use thiserror::Error;

/// TC.
const TRUNCATED: u16 = 0x0200;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of the zone.
    Whole,
    /// What has changed since this serial number.
    Since(u32),
}

impl Asked {
    pub(crate) fn rtype(self) -> Rtype {
        if self == Self::Whole { Rtype::AXFR } else { Rtype::IXFR }
    }
}

/// Why a transfer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum IncomingFault {
    /// The other side says no.
    #[error("the other side answered {0}")]
    Rcode(Rcode),
    /// It is no transfer of this zone.
    #[error("{0}")]
    Wrong(String),
    /// It is older than what is here.
    #[error("its serial number is {theirs}, and {ours} is here already")]
    Older {
        /// Theirs.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// It is larger than what is taken.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing newer is there.
    Current,
    /// All of the zone.
    Whole(Box<Zone>),
    /// What makes another zone of the one that is there.
    Differences(Vec<Difference>),
}

/// A transfer under way.
pub(crate) struct Incoming {
    apex: Name,
    asked: Asked,
    id: u16,
    bytes: usize,
    bytes_max: usize,
    state: State,
    /// The SOA that came first, and ends it.
    last_soa: Option<(Record, u32)>,
}

enum State {
    /// Nothing has come.
    Begin,
    /// The SOA has.
    First,
    Whole(Box<ZoneBuilder>),
    Differences {
        done: Vec<Difference>,
        now: Box<Difference>,
        is_adding: bool,
    },
    Current,
    End(Received),
}

fn wrong(message: impl Into<String>) -> IncomingFault {
    IncomingFault::Wrong(message.into())
}

impl Incoming {
    /// What comes as an answer to a question with this identifier.
    pub(crate) fn new(apex: Name, asked: Asked, id: u16, bytes_max: usize) -> Self {
        Self { apex, asked, id, bytes: 0, bytes_max, state: State::Begin, last_soa: None }
    }

    /// Takes the next message. `Ok(true)`: it was the last.
    pub(crate) fn take(&mut self, message: &[u8]) -> Result<bool, IncomingFault> {
        let header = Header::of(message).ok_or_else(|| wrong("a message is too short"))?;
        if !header.is_response() || header.id != self.id || header.opcode() != 0 {
            return Err(wrong("a message is no answer to what was asked"));
        }
        if header.rcode() != 0 {
            return Err(IncomingFault::Rcode(Rcode::masked_from_int(header.rcode())));
        }
        if header.flags & TRUNCATED != 0 || header.counts[0] > 1 {
            return Err(wrong("a message is truncated, or has several questions"));
        }
        let mut reader = Reader::new(message);
        if header.counts[0] == 1 {
            let question = reader.question().ok_or_else(|| wrong("a message is malformed"))?;
            if question.name != self.apex || question.rtype != self.asked.rtype() {
                return Err(wrong("a message answers another question"));
            }
        }
        for _ in 0..header.counts[1] {
            let record = reader.record().ok_or_else(|| wrong("a message is malformed"))?;
            let record = self.record(&record)?;
            self.next(record)?;
        }
        if matches!(self.state, State::Begin) {
            return Err(wrong("there is no SOA"));
        }
        Ok(matches!(self.state, State::Current | State::End(_)))
    }

    /// What came, once it is all there.
    pub(crate) fn finish(self) -> Result<Received, IncomingFault> {
        match self.state {
            State::Current => Ok(Received::Current),
            State::End(received) => Ok(received),
            _ => Err(wrong("it ended before its end")),
        }
    }

    /// A record, if it may be one of the zone.
    fn record(&mut self, record: &MessageRecord<'_>) -> Result<Record, IncomingFault> {
        let owner = &record.owner;
        if !owner.is_within(&self.apex) || record.class != Class::IN || !is_stored(record.rtype) {
            let (rtype, class) = (record.rtype, record.class);
            return Err(wrong(format!("{owner} {class} {rtype} is no record of this zone")));
        }
        let Some(data) = record.uncompressed() else {
            return Err(wrong(format!("{owner} has data that is no {}", record.rtype)));
        };
        self.bytes += owner.wire_len() + data.len() + 16;
        if self.bytes > self.bytes_max {
            return Err(IncomingFault::TooLarge(self.bytes_max));
        }
        // RFC 2181 §8: with the highest bit it means zero.
        let ttl = if record.ttl > TTL_MAX { 0 } else { record.ttl };
        Ok(Record { owner: owner.as_wire().into(), rtype: record.rtype, ttl, data: data.into() })
    }

    fn serial_of(&self, soa: &Record) -> Result<u32, IncomingFault> {
        if *soa.owner != *self.apex.as_wire() {
            return Err(wrong("there is an SOA below the apex"));
        }
        soa_number(&soa.data, 0).ok_or_else(|| wrong("an SOA is malformed"))
    }

    fn next(&mut self, record: Record) -> Result<(), IncomingFault> {
        let serial = if record.rtype == Rtype::SOA { Some(self.serial_of(&record)?) } else { None };
        let state = std::mem::replace(&mut self.state, State::Begin);
        self.state = match (state, serial) {
            (State::Begin, Some(serial)) => {
                self.last_soa = Some((record, serial));
                match self.asked {
                    Asked::Since(ours) if serial == ours => State::Current,
                    Asked::Since(ours) if !is_newer(serial, ours) => {
                        return Err(IncomingFault::Older { theirs: serial, ours });
                    }
                    _ => State::First,
                }
            }
            (State::Begin, None) => return Err(wrong("it does not begin with the SOA")),
            // RFC 1995 §4: what follows tells the two kinds of answers apart.
            (State::First, Some(serial)) if self.asked == Asked::Since(serial) => State::Differences {
                done: Vec::new(),
                now: Box::new(begun(record, serial)),
                is_adding: false,
            },
            (State::First, _) => {
                let mut builder = Box::new(ZoneBuilder::new(self.apex.clone()));
                builder.source("transfer");
                if let Some((soa, _)) = &self.last_soa {
                    builder.record(&self.apex, Rtype::SOA, soa.ttl, &soa.data);
                }
                self.whole(builder, &record, serial)?
            }
            (State::Whole(builder), serial) => self.whole(builder, &record, serial)?,
            (State::Differences { done, now, is_adding }, serial) => {
                self.difference(done, now, is_adding, record, serial)?
            }
            (State::Current | State::End(_), _) => return Err(wrong("records follow its end")),
        };
        Ok(())
    }

    fn whole(
        &self,
        mut builder: Box<ZoneBuilder>,
        record: &Record,
        serial: Option<u32>,
    ) -> Result<State, IncomingFault> {
        if let Some(serial) = serial {
            if self.last_soa.as_ref().is_none_or(|(_, first)| *first != serial) {
                return Err(wrong("it ends with another SOA than it began with"));
            }
            let zone = builder.finish().map_err(|error| wrong(error.to_string()))?.zone;
            return Ok(State::End(Received::Whole(Box::new(zone))));
        }
        let owner = Name::from_wire(&record.owner).map_err(|error| wrong(error.to_string()))?;
        builder.record(&owner, record.rtype, record.ttl, &record.data);
        Ok(State::Whole(builder))
    }

    fn difference(
        &self,
        mut done: Vec<Difference>,
        mut now: Box<Difference>,
        is_adding: bool,
        record: Record,
        serial: Option<u32>,
    ) -> Result<State, IncomingFault> {
        let Some(serial) = serial else {
            (if is_adding { &mut now.added } else { &mut now.removed }).push(record);
            return Ok(State::Differences { done, now, is_adding });
        };
        if !is_adding {
            if !is_newer(serial, now.from) {
                return Err(wrong("a difference leads to an older serial"));
            }
            (now.to, now.new_soa) = (serial, record);
            return Ok(State::Differences { done, now, is_adding: true });
        }
        if serial != now.to {
            return Err(wrong("a difference does not begin where the one before it ended"));
        }
        let is_last = self.last_soa.as_ref().is_some_and(|(_, last)| *last == serial);
        done.push(*now);
        Ok(if is_last {
            State::End(Received::Differences(done))
        } else {
            State::Differences { done, now: Box::new(begun(record, serial)), is_adding: false }
        })
    }
}

fn begun(soa: Record, serial: u32) -> Difference {
    Difference {
        from: serial,
        to: serial,
        new_soa: soa.clone(),
        old_soa: soa,
        removed: Vec::new(),
        added: Vec::new(),
    }
}

/// The zone that differences make of another one.
pub(crate) fn applied(base: &Zone, differences: &[Difference]) -> Result<Zone, String> {
    let mut overlay = Overlay::new(base);
    for difference in differences {
        overlay.apply(difference)?;
    }
    overlay.build("transfer").map_err(|error| error.to_string())
}
