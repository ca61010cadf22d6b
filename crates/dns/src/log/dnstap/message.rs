//! A message of dnstap (`dnstap.proto`) in the encoding of Protocol Buffers: a number for field and kind, then a number, four octets, or
//! a length and so many octets.

use crate::protocol::Transport;
use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

/// Kinds of encoding.
const VARINT: u32 = 0;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// Fields of `Dnstap`.
const IDENTITY: u32 = 1;
const VERSION: u32 = 2;
const MESSAGE: u32 = 14;
const TYPE: u32 = 15;
/// `Dnstap.Type.MESSAGE`.
const IS_MESSAGE: u64 = 1;

/// Fields of `Message`.
const MESSAGE_TYPE: u32 = 1;
const SOCKET_FAMILY: u32 = 2;
const SOCKET_PROTOCOL: u32 = 3;
const QUERY_ADDRESS: u32 = 4;
const QUERY_PORT: u32 = 6;
const QUERY_TIME_SEC: u32 = 8;
const QUERY_TIME_NSEC: u32 = 9;
const QUERY_MESSAGE: u32 = 10;
const RESPONSE_TIME_SEC: u32 = 12;
const RESPONSE_TIME_NSEC: u32 = 13;
const RESPONSE_MESSAGE: u32 = 14;

/// Which of the two messages is told: `Message.Type`'s `AUTH_QUERY` and `AUTH_RESPONSE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Query = 1,
    Response = 2,
}

/// What is told.
pub(super) struct Event<'e> {
    pub(super) direction: Direction,
    pub(super) client: SocketAddr,
    pub(super) transport: Transport,
    pub(super) received: SystemTime,
    pub(super) answered: SystemTime,
    pub(super) query: &'e [u8],
    pub(super) answer: &'e [u8],
}

/// What all of a server's frames begin with.
pub(super) fn head(identity: &str, version: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if !identity.is_empty() {
        bytes(IDENTITY, identity.as_bytes(), &mut out);
    }
    bytes(VERSION, version.as_bytes(), &mut out);
    number(TYPE, IS_MESSAGE, &mut out);
    out
}

/// Appends a frame's content.
pub(super) fn write(head: &[u8], event: &Event<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    varint(u64::from(MESSAGE << 3 | BYTES), out);
    // The length comes first: three octets hold any, and an encoding may be longer than it has to be.
    let at = out.len();
    out.extend_from_slice(&[0; 3]);
    body(event, out);
    let length = out.len() - at - 3;
    debug_assert!(length < 1 << 21, "a message has 64 KiB at most");
    let seven = |shift: u32| (length >> shift) as u8 & 0x7f;
    out[at..at + 3].copy_from_slice(&[seven(0) | 0x80, seven(7) | 0x80, seven(14)]);
}

fn body(event: &Event<'_>, out: &mut Vec<u8>) {
    let address = event.client.ip().to_canonical();
    number(MESSAGE_TYPE, event.direction as u64, out);
    number(SOCKET_FAMILY, if address.is_ipv4() { 1 } else { 2 }, out);
    let protocol = match event.transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
        Transport::Tls => 3,
        Transport::Https => 4,
    };
    number(SOCKET_PROTOCOL, protocol, out);
    match address {
        IpAddr::V4(v4) => bytes(QUERY_ADDRESS, &v4.octets(), out),
        IpAddr::V6(v6) => bytes(QUERY_ADDRESS, &v6.octets(), out),
    }
    number(QUERY_PORT, event.client.port().into(), out);
    time(QUERY_TIME_SEC, QUERY_TIME_NSEC, event.received, out);
    match event.direction {
        Direction::Query => bytes(QUERY_MESSAGE, event.query, out),
        Direction::Response => {
            time(RESPONSE_TIME_SEC, RESPONSE_TIME_NSEC, event.answered, out);
            bytes(RESPONSE_MESSAGE, event.answer, out);
        }
    }
}

fn time(seconds: u32, nanoseconds: u32, at: SystemTime, out: &mut Vec<u8>) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    number(seconds, since.as_secs(), out);
    varint(u64::from(nanoseconds << 3 | FIXED32), out);
    out.extend_from_slice(&since.subsec_nanos().to_le_bytes());
}

fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | VARINT), out);
    varint(value, out);
}

fn bytes(field: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | BYTES), out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Seven bits an octet, the lowest first; all but the last have the highest bit set.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
