//! Records as they are kept: in wire form, compressed against the question and each other.

use super::rdata::compressible;
use super::{Record, name};
use crate::protocol::{HEADER_BYTES, MESSAGE_BYTES_MAX};
use std::collections::HashMap;

/// What a compression pointer can reach.
const POINTER_MAX: usize = 0x3fff;

/// Records behind a question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Records of answer, authority and additional section.
    pub(crate) counts: [u16; 3],
    pub(crate) body: Vec<u8>,
    /// Where the TTLs are in `body`.
    pub(crate) ttls_at: Vec<u16>,
}

/// Writes records behind the question for `question`, a name in wire form; they stand in the order of their sections. Those that
/// would make the message too long are left out: `None`.
pub(crate) fn write<'r>(question: &[u8], records: impl IntoIterator<Item = &'r Record>) -> Option<Written> {
    let mut writer = Writer {
        base: HEADER_BYTES + question.len() + 4,
        written: Written::default(),
        places: HashMap::new(),
    };
    writer.remember(question, HEADER_BYTES);
    for record in records {
        writer.record(record);
        if writer.base + writer.written.body.len() > MESSAGE_BYTES_MAX {
            return None;
        }
    }
    Some(writer.written)
}

struct Writer {
    base: usize,
    written: Written,
    /// Where names stand in the message, in small letters.
    places: HashMap<Box<[u8]>, u16>,
}

impl Writer {
    fn record(&mut self, record: &Record) {
        self.name(&record.owner);
        let body = &mut self.written.body;
        body.extend_from_slice(&record.rtype.to_be_bytes());
        body.extend_from_slice(&[0, 1]);
        // A message that is too long is noticed after the record.
        self.written.ttls_at.push(body.len() as u16);
        body.extend_from_slice(&record.ttl.to_be_bytes());
        let length_at = body.len();
        body.extend_from_slice(&[0, 0]);
        self.rdata(record);
        let body = &mut self.written.body;
        let length = (body.len() - length_at - 2) as u16;
        body[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        self.written.counts[usize::from(record.section)] += 1;
    }

    fn rdata(&mut self, record: &Record) {
        let mut rest = &record.rdata[..];
        if let Some((before, names)) = compressible(record.rtype)
            && let Some((head, tail)) = rest.split_at_checked(before)
        {
            self.written.body.extend_from_slice(head);
            rest = tail;
            for _ in 0..names {
                let Some((name, tail)) = name::length(rest).and_then(|length| rest.split_at_checked(length))
                else {
                    break;
                };
                self.name(name);
                rest = tail;
            }
        }
        self.written.body.extend_from_slice(rest);
    }

    /// A name, of which the end is a pointer if it stands somewhere already.
    fn name(&mut self, name: &[u8]) {
        let at = self.base + self.written.body.len();
        let lower = name.to_ascii_lowercase();
        let mut suffix = 0;
        while name[suffix] != 0 {
            if let Some(place) = self.places.get(&lower[suffix..]) {
                let pointer = 0xc000 | *place;
                self.written.body.extend_from_slice(&name[..suffix]);
                self.written.body.extend_from_slice(&pointer.to_be_bytes());
                self.remember_up_to(&lower, suffix, at);
                return;
            }
            suffix += 1 + usize::from(name[suffix]);
        }
        self.written.body.extend_from_slice(name);
        self.remember_up_to(&lower, suffix, at);
    }

    fn remember(&mut self, name: &[u8], at: usize) {
        let lower = name.to_ascii_lowercase();
        self.remember_up_to(&lower, lower.len() - 1, at);
    }

    fn remember_up_to(&mut self, lower: &[u8], end: usize, at: usize) {
        let mut suffix = 0;
        while suffix < end && at + suffix <= POINTER_MAX {
            self.places.entry(lower[suffix..].into()).or_insert((at + suffix) as u16);
            suffix += 1 + usize::from(lower[suffix]);
        }
    }
}
