//! What an answer depends on beside the zones and the query.

use crate::protocol::{Transport, UDP_PAYLOAD_BYTES};
use std::net::{IpAddr, Ipv4Addr};

/// What an answer depends on beside the zones and the query.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// What the query came over.
    pub transport: Transport,
    /// Who sent the query: routes may look at it.
    pub sender: IpAddr,
    /// A number that nobody foresees, another one for each query: where a route chooses by chance, this is the chance.
    pub draw: u64,
    /// Seconds since 1970, for what is signed with the answer. Nobody looks at it unless a zone signs on demand.
    pub now: u32,
    /// The largest datagram that is sent, and said to be taken.
    pub udp_payload_bytes: u16,
    /// The name of this server for those who ask for it (RFC 5001); at most 128 octets are sent.
    pub nsid: Option<&'f [u8]>,
    /// The server's half of the cookie for this client (RFC 7873: 8 to 32 octets), made by the caller, who knows time, address
    /// and secret. It is sent to clients that sent theirs; one of another length is not.
    pub server_cookie: Option<&'f [u8]>,
    /// The answer to `version.bind` and `version.server` in class CH; `None` refuses.
    pub version: Option<&'f str>,
    /// The answer to `id.server` and `hostname.bind` in class CH (RFC 4892); `None` refuses.
    pub identity: Option<&'f str>,
}

impl Facts<'_> {
    /// Facts of a server that tells nothing about itself, to nobody in particular.
    pub fn of_transport(transport: Transport) -> Self {
        Self {
            transport,
            sender: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            draw: 0,
            now: 0,
            udp_payload_bytes: UDP_PAYLOAD_BYTES,
            nsid: None,
            server_cookie: None,
            version: None,
            identity: None,
        }
    }
}
