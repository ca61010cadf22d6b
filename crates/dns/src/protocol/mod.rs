//! Bytes of a message ⇄ what they mean. No I/O, no allocation, and a bound for everything that is read.

pub(crate) mod edns;
pub(crate) mod message;
pub(crate) mod name;
mod query;
mod rejection;
pub(crate) mod response;
#[cfg(test)]
mod tests;
mod transport;

pub use edns::{ClientSubnet, Cookie, Edns};
pub(crate) use name::NAME_BYTES_MAX;
pub use name::{Name, NameError};
pub use query::Query;
pub(crate) use query::least_ttl;
pub use rejection::Rejection;
pub use transport::Transport;

/// Octets of a message's header.
pub const HEADER_BYTES: usize = 12;
/// What a message can carry at most: its length is 16 bits on a stream.
pub const MESSAGE_BYTES_MAX: usize = 65535;
/// RFC 1035 §4.2.1: what everybody takes in a datagram.
pub(crate) const PLAIN_UDP_BYTES: u16 = 512;
/// What is neither fragmented nor dropped on most paths (the DNS flag day of 2020).
pub const UDP_PAYLOAD_BYTES: u16 = 1232;

/// Two octets at `at`, in network order.
#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
