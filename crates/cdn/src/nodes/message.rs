//! What nodes say to each other, and what a node writes of it to its disk: [`frames`] after eight bytes that name the format.
//!
//! The first byte of a payload says what follows it; a node is 16 bytes, a number 8, all little-endian.

use super::ledger::{Item, NodeId, Vector};
use crate::frames::{self, Next};
use crate::purge::{Entry, TARGET_BYTES_MAX};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const FORMAT: &[u8; 8] = b"9nodes01";
const FROM: u8 = 0;
const KNOWN: u8 = 1;
const PURGE: u8 = 2;
const ALL: u8 = 3;
const HEARD: u8 = 4;
const PAYLOAD_BYTES_MAX: usize = 64 + TARGET_BYTES_MAX;
/// The longest message that is taken: what [`MESSAGE_ITEMS_BYTES`] says, one purge more, and a vector.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// So much of purges goes into one message.
pub(super) const MESSAGE_ITEMS_BYTES: usize = 256 << 10;
/// Other nodes that a message tells of.
const HEARD_MAX: usize = 64;
/// Nodes in a vector.
const VECTOR_MAX: usize = 4096;

/// One half of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub from: NodeId,
    /// It ends, and begins no purge any more.
    pub is_leaving: bool,
    /// What it knows.
    pub vector: Vector,
    /// What it thinks the other lacks.
    pub items: Vec<Item>,
    /// How long ago it was that it knew all that other nodes did.
    pub heard: Vec<(SocketAddr, Duration)>,
}

impl Message {
    /// As it is sent.
    pub fn write(&self) -> Vec<u8> {
        let mut out = FORMAT.to_vec();
        let mut payload = vec![FROM];
        payload.extend_from_slice(&self.from.0.to_le_bytes());
        payload.push(u8::from(self.is_leaving));
        frames::write(&payload, &mut out);
        for (id, upto) in &self.vector {
            write_numbered(KNOWN, *id, *upto, &mut out);
        }
        self.items.iter().for_each(|item| write_item(item, &mut out));
        for (address, ago) in &self.heard {
            let mut payload = vec![HEARD];
            payload.extend_from_slice(&u64::try_from(ago.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
            payload.extend_from_slice(address.to_string().as_bytes());
            frames::write(&payload, &mut out);
        }
        out
    }

    /// `None`: it is no message.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(FORMAT)?;
        let mut message = None;
        while let Next::Payload(payload, after) = frames::next(rest, 1..=PAYLOAD_BYTES_MAX) {
            rest = after;
            let (kind, payload) = payload.split_first()?;
            match (kind, &mut message) {
                (&FROM, None) => message = Some(read_from(payload)?),
                (&KNOWN, Some(message)) if message.vector.len() < VECTOR_MAX => {
                    let (id, upto) = read_numbered(payload)?;
                    message.vector.insert(id, upto);
                }
                (&(PURGE | ALL), Some(message)) => message.items.push(read_item(*kind, payload)?),
                (&HEARD, Some(message)) if message.heard.len() < HEARD_MAX => {
                    let (ago, address) = payload.split_first_chunk::<8>()?;
                    let address = std::str::from_utf8(address).ok()?.parse().ok()?;
                    message.heard.push((address, Duration::from_millis(u64::from_le_bytes(*ago))));
                }
                _ => return None,
            }
        }
        message.filter(|_| rest.is_empty())
    }
}

fn read_from(payload: &[u8]) -> Option<Message> {
    let (id, rest) = payload.split_first_chunk::<16>()?;
    let is_leaving = match rest {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let from = NodeId(u128::from_le_bytes(*id));
    Some(Message { from, is_leaving, vector: Vector::new(), items: Vec::new(), heard: Vec::new() })
}

fn read_numbered(payload: &[u8]) -> Option<(NodeId, u64)> {
    let (id, number) = payload.split_first_chunk::<16>()?;
    Some((NodeId(u128::from_le_bytes(*id)), u64::from_le_bytes(number.try_into().ok()?)))
}

fn read_item(kind: u8, payload: &[u8]) -> Option<Item> {
    if kind == ALL {
        let (origin, upto) = read_numbered(payload)?;
        return Some(Item::All { origin, upto });
    }
    let (numbered, entry) = payload.split_at_checked(24)?;
    let (origin, number) = read_numbered(numbered)?;
    Some(Item::Purge { origin, number, entry: Arc::new(Entry::read(entry)?) })
}

fn write_numbered(kind: u8, id: NodeId, number: u64, out: &mut Vec<u8>) {
    frames::write(&numbered(kind, id, number), out);
}

fn numbered(kind: u8, id: NodeId, number: u64) -> Vec<u8> {
    let mut payload = vec![kind];
    payload.extend_from_slice(&id.0.to_le_bytes());
    payload.extend_from_slice(&number.to_le_bytes());
    payload
}

/// Adds what was entered.
pub(super) fn write_item(item: &Item, out: &mut Vec<u8>) {
    match item {
        Item::Purge { origin, number, entry } => {
            let mut payload = numbered(PURGE, *origin, *number);
            entry.write(&mut payload);
            frames::write(&payload, out);
        }
        Item::All { origin, upto } => write_numbered(ALL, *origin, *upto, out),
    }
}

/// What a ledger's file begins with.
pub(super) fn write_own(own: NodeId) -> Vec<u8> {
    let mut out = FORMAT.to_vec();
    let mut payload = vec![FROM];
    payload.extend_from_slice(&own.0.to_le_bytes());
    payload.push(0);
    frames::write(&payload, &mut out);
    out
}

/// A ledger's file, as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Whose it is.
    pub(super) own: NodeId,
    pub(super) items: Vec<Item>,
    /// All of it could be read, but for a record at its end that was not finished.
    pub(super) is_whole: bool,
}

/// `None`: not even whose it is can be read.
pub(super) fn read_written(bytes: &[u8]) -> Option<Written> {
    let mut rest = bytes.strip_prefix(FORMAT)?;
    let mut written: Option<Written> = None;
    loop {
        let payload = match frames::next(rest, 1..=PAYLOAD_BYTES_MAX) {
            Next::Payload(payload, after) => {
                rest = after;
                payload
            }
            Next::End => return written,
            Next::Damaged => {
                return written.map(|written| Written { is_whole: false, ..written });
            }
        };
        let (kind, payload) = payload.split_first()?;
        match (*kind, &mut written) {
            (FROM, None) => {
                let own = read_from(payload)?.from;
                written = Some(Written { own, items: Vec::new(), is_whole: true });
            }
            (PURGE | ALL, Some(written)) => match read_item(*kind, payload) {
                Some(item) => written.items.push(item),
                None => written.is_whole = false,
            },
            (_, Some(written)) => written.is_whole = false,
            (_, None) => return None,
        }
    }
}

/// Reads any bytes as a message and as a file; what is read is written the same way again. For the fuzz target.
pub(crate) fn check_any(bytes: &[u8]) {
    if let Some(fetched) = super::Fetched::read(bytes) {
        let mut line = Vec::new();
        fetched.write(&mut line);
        let value = &line[super::FETCHED.len() + 2..line.len() - 2];
        assert_eq!(super::Fetched::read(value), Some(fetched));
    }
    if let Some(message) = Message::read(bytes) {
        assert_eq!(Message::read(&message.write()).as_ref(), Some(&message));
    }
    if let Some(written) = read_written(bytes) {
        let mut again = write_own(written.own);
        written.items.iter().for_each(|item| write_item(item, &mut again));
        let Some(again) = read_written(&again) else { panic!("a ledger that was read can be written") };
        assert_eq!((again.own, &again.items, again.is_whole), (written.own, &written.items, true));
    }
}
