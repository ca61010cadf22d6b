//! Who is asked, as the file writes it: `"9.9.9.9"`, `"192.0.2.1:5353"`, `"tcp://[2001:db8::1]:53"`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use thiserror::Error;

/// Where it is, and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) at: SocketAddr,
    pub(crate) transport: Transport,
}

/// How an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// By datagrams, and by TCP for what is too long for one.
    Udp,
    Tcp,
}

/// Why something is no upstream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotAnUpstream {
    #[error("{0:?} is no server to forward to: an address, with a port or without, perhaps after `tcp://`")]
    Malformed(String),
    #[error("{0:?}: upstreams over TLS and HTTPS are not there yet")]
    Encrypted(String),
    #[error("{0:?} is a port that nobody listens on")]
    NoPort(String),
}

const PORT: u16 = 53;

impl FromStr for Address {
    type Err = NotAnUpstream;

    fn from_str(text: &str) -> Result<Self, NotAnUpstream> {
        if text.starts_with("tls://") || text.starts_with("https://") {
            return Err(NotAnUpstream::Encrypted(text.into()));
        }
        let (transport, place) = match text.split_once("://") {
            None => (Transport::Udp, text),
            Some(("udp", place)) => (Transport::Udp, place),
            Some(("tcp", place)) => (Transport::Tcp, place),
            Some(_) => return Err(NotAnUpstream::Malformed(text.into())),
        };
        let bare = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(place);
        let at = match (bare.parse::<IpAddr>(), place.parse::<SocketAddr>()) {
            (Ok(address), _) => SocketAddr::new(address, PORT),
            (_, Ok(at)) if at.port() == 0 => return Err(NotAnUpstream::NoPort(text.into())),
            (_, Ok(at)) => at,
            _ => return Err(NotAnUpstream::Malformed(text.into())),
        };
        Ok(Self { at, transport })
    }
}

/// As it would be written, with the port only where it is not 53.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.transport == Transport::Tcp {
            f.write_str("tcp://")?;
        }
        if self.at.port() == PORT { write!(f, "{}", self.at.ip()) } else { write!(f, "{}", self.at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_address_with_a_port_and_a_transport_if_they_are_said() {
        for (text, at, transport, shown) in [
            ("9.9.9.9", "9.9.9.9:53", Transport::Udp, "9.9.9.9"),
            ("udp://9.9.9.9:53", "9.9.9.9:53", Transport::Udp, "9.9.9.9"),
            ("192.0.2.1:5353", "192.0.2.1:5353", Transport::Udp, "192.0.2.1:5353"),
            ("tcp://2001:db8::1", "[2001:db8::1]:53", Transport::Tcp, "tcp://2001:db8::1"),
            ("[2001:db8::1]", "[2001:db8::1]:53", Transport::Udp, "2001:db8::1"),
            ("tcp://[2001:db8::1]:54", "[2001:db8::1]:54", Transport::Tcp, "tcp://[2001:db8::1]:54"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.at, address.transport), (at.parse().unwrap(), transport), "{text}");
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<Address>().unwrap_err();
        for text in ["", "dns.example", "9.9.9.9:x", "quic://9.9.9.9", "9.9.9", "tcp://"] {
            assert_eq!(refused(text), NotAnUpstream::Malformed(text.into()));
        }
        assert_eq!(refused("9.9.9.9:0"), NotAnUpstream::NoPort("9.9.9.9:0".into()));
        assert!(matches!(refused("tls://dns.example@9.9.9.9"), NotAnUpstream::Encrypted(_)));
    }
}
