//! The PROXY protocol of HAProxy, versions 1 and 2 (doc/proxy-protocol.txt, revision of 2020-03-05): whom a connection
//! comes from, told by its first bytes. Nothing here reads or writes a socket.

mod crc32c;
mod tlv;
mod v1;
mod v2;
mod write;

use std::net::SocketAddr;
use thiserror::Error;

pub use tlv::{Ssl, Tlvs};
pub use write::{Extras, V1_UNKNOWN, V2_LOCAL, write_v1, write_v2};

/// No header is longer. That of version 1 has 107 bytes at the most; that of version 2 could say that it has 65,551,
/// but addresses, a name, an identity and all about a certificate are far below this.
pub const HEADER_BYTES_MAX: usize = 4096;

/// What a connection's first bytes say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 1 or 2.
    pub version: u8,
    /// Whom the connection is for.
    pub origin: Origin,
    /// What else is said of it; nothing in version 1.
    pub tlvs: Tlvs,
}

/// Whom a connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The proxy itself, as for its health checks (`LOCAL`): it counts by its own addresses.
    Local,
    /// A client of the proxy, of which nothing is told (`UNKNOWN`, `UNSPEC`): it counts by the proxy's addresses.
    Unknown,
    /// A client of the proxy, over TCP.
    Stream {
        /// The client.
        source: SocketAddr,
        /// What it had connected to.
        destination: SocketAddr,
    },
    /// A client of the proxy, over UDP.
    Datagram {
        /// The client.
        source: SocketAddr,
        /// Where its datagram went to.
        destination: SocketAddr,
    },
    /// A client on the proxy's own machine, by a Unix socket.
    Unix {
        /// The path of the client's socket; often none.
        source: Box<[u8]>,
        /// The path that it had connected to.
        destination: Box<[u8]>,
    },
}

impl Header {
    /// The client's address and port; `None` when the connection counts by its own.
    pub fn client(&self) -> Option<SocketAddr> {
        match self.origin {
            Origin::Stream { source, .. } | Origin::Datagram { source, .. } => Some(source),
            Origin::Local | Origin::Unknown | Origin::Unix { .. } => None,
        }
    }
}

/// Why a connection does not begin with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Bad {
    /// It begins with something else.
    #[error("no PROXY header")]
    Signature,
    /// A line of version 1 breaks its grammar.
    #[error("PROXY v1: {0}")]
    Line(&'static str),
    /// A header of version 2 says something that the protocol does not know.
    #[error("PROXY v2: unknown {what} {value:#04x}")]
    Unknown {
        /// "version or command", "family or protocol".
        what: &'static str,
        /// The byte.
        value: u8,
    },
    /// A header of version 2 is too short for the addresses that it says it has.
    #[error("PROXY v2: {length} bytes are too few for its addresses")]
    Short {
        /// How many bytes follow the first 16.
        length: u16,
    },
    /// A header of version 2 is longer than any that is meant well.
    #[error("PROXY v2: {length} bytes are more than {HEADER_BYTES_MAX}")]
    TooLong {
        /// How many bytes follow the first 16.
        length: u16,
    },
    /// What follows the addresses is not made of whole records.
    #[error("PROXY v2: a record is longer than what holds it")]
    Record,
    /// The checksum is not that of the header.
    #[error("PROXY v2: the checksum is wrong")]
    Checksum,
}

/// Reads a header from a connection's first bytes: the header and its length, `None` while more bytes are needed to
/// tell. An error is final, and comes as soon as no further byte could mend it.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Bad> {
    let begins = |signature: &[u8]| {
        let length = bytes.len().min(signature.len());
        bytes[..length] == signature[..length]
    };
    if begins(v1::SIGNATURE) {
        v1::parse(bytes)
    } else if begins(v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Err(Bad::Signature)
    }
}

#[cfg(test)]
mod tests;
