//! One node of a chain of proxies.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Somebody that a request has come by (RFC 7239 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Somebody with an address.
    Address(IpAddr),
    /// Somebody that the proxy knows nothing of: `unknown`.
    Unknown,
    /// Somebody that the proxy tells nothing of but a name of its own: `_hidden`.
    Hidden(String),
}

impl Node {
    /// Reads a node's name of `Forwarded`, with a port or without, unquoted.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (name, port) = if text.starts_with('[') {
            let (name, rest) = text.split_at(text.find(']')? + 1);
            (name, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        } else {
            match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            }
        };
        if !port.is_none_or(is_port) {
            return None;
        }
        if let Some(v6) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            return v6
                .parse()
                .ok()
                .map(|address: Ipv6Addr| Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if name.eq_ignore_ascii_case("unknown") {
            return Some(Self::Unknown);
        }
        if is_obfuscated(name) {
            return Some(Self::Hidden(name.to_owned()));
        }
        name.parse().ok().map(|v4: std::net::Ipv4Addr| Self::Address(v4.into()))
    }

    /// Reads an entry of `X-Forwarded-For`, of which there is no grammar but habit: an address, with a port or without,
    /// one of IPv6 in brackets or without.
    pub(super) fn parse_loosely(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let address = text.parse::<IpAddr>().or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()));
        match address {
            Ok(address) => Some(Self::Address(address.to_canonical())),
            Err(_) => Self::parse(text.as_bytes()),
        }
    }
}

/// RFC 7239 §6.2: up to five digits, or obfuscated.
fn is_port(text: &str) -> bool {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number || is_obfuscated(text)
}

/// RFC 7239 §6.3.
fn is_obfuscated(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_plain))
}
