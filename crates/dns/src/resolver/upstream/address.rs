//! Who is asked, as the file writes it: `"9.9.9.9"`, `"192.0.2.1:5353"`, `"tcp://[2001:db8::1]:53"`,
//! `"tls://9.9.9.9#dns.quad9.net"`, `"https://9.9.9.9/dns-query#dns.quad9.net"`.

use http::Uri;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use thiserror::Error;

/// Where it is, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) at: SocketAddr,
    pub(crate) transport: Transport,
    /// The name that its certificate has to have; without it, that is the address.
    pub(crate) name: Option<Box<str>>,
    /// Where it answers, of one that is asked by HTTPS.
    pub(crate) path: Box<str>,
}

/// How an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// By datagrams, and by TCP for what is too long for one.
    Udp,
    Tcp,
    /// RFC 7858.
    Tls,
    /// RFC 8484.
    Https,
}

/// Why something is no upstream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotAnUpstream {
    #[error(
        "{0:?} is no server to forward to: an address, with a port or without, perhaps after `tcp://`, `tls://` or `https://`"
    )]
    Malformed(String),
    #[error(
        "{text:?}: {host:?} is a name that would have to be looked up; write the server's address, and the name of its certificate after `#`"
    )]
    Named { text: String, host: String },
    #[error("{text:?}: {name:?} is no name that a certificate can have")]
    NoName { text: String, name: String },
    #[error("{0:?}: a name is proved over TLS alone: `tls://` or `https://`")]
    NameInClear(String),
    #[error("{0:?} has a path that cannot be asked for")]
    BadPath(String),
    #[error("{0:?} is a port that nobody listens on")]
    NoPort(String),
}

/// Where RFC 8484's own examples are asked, and most of those that are there.
const PATH: &str = "/dns-query";

impl Transport {
    fn port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 53,
            Self::Tls => 853,
            Self::Https => 443,
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => "tcp://",
            Self::Tls => "tls://",
            Self::Https => "https://",
        }
    }

    /// Whether nobody on the way hears what is asked.
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https)
    }

    /// The protocol that is agreed on within TLS.
    pub(crate) fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Udp | Self::Tcp => &[],
            Self::Tls => &[b"dot"],
            Self::Https => &[b"h2"],
        }
    }
}

impl FromStr for Address {
    type Err = NotAnUpstream;

    fn from_str(text: &str) -> Result<Self, NotAnUpstream> {
        let (transport, rest) = match text.split_once("://") {
            None => (Transport::Udp, text),
            Some(("udp", rest)) => (Transport::Udp, rest),
            Some(("tcp", rest)) => (Transport::Tcp, rest),
            Some(("tls", rest)) => (Transport::Tls, rest),
            Some(("https", rest)) => (Transport::Https, rest),
            Some(_) => return Err(NotAnUpstream::Malformed(text.into())),
        };
        let (rest, name) = match rest.split_once('#') {
            None => (rest, None),
            Some(_) if !transport.is_encrypted() => return Err(NotAnUpstream::NameInClear(text.into())),
            Some((rest, name)) => (rest, Some(name)),
        };
        if let Some(name) = name.filter(|name| ServerName::try_from(*name).is_err()) {
            return Err(NotAnUpstream::NoName { text: text.into(), name: name.into() });
        }
        let (place, path) = match rest.find('/').filter(|_| transport == Transport::Https) {
            None => (rest, if transport == Transport::Https { PATH } else { "" }),
            Some(at) => rest.split_at(at),
        };
        let at = place_of(text, place, transport)?;
        let address = Self { at, transport, name: name.map(Into::into), path: path.into() };
        if transport == Transport::Https
            && (path.contains(['{', '}']) || address.uri().parse::<Uri>().is_err())
        {
            return Err(NotAnUpstream::BadPath(text.into()));
        }
        Ok(address)
    }
}

fn place_of(text: &str, place: &str, transport: Transport) -> Result<SocketAddr, NotAnUpstream> {
    let bare = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(place);
    match (bare.parse::<IpAddr>(), place.parse::<SocketAddr>()) {
        (Ok(address), _) => Ok(SocketAddr::new(address, transport.port())),
        (_, Ok(at)) if at.port() == 0 => Err(NotAnUpstream::NoPort(text.into())),
        (_, Ok(at)) => Ok(at),
        _ => {
            let host = place.split_once(':').map_or(place, |(host, _)| host);
            let is_name = host.contains(|letter: char| letter.is_ascii_alphabetic())
                && matches!(ServerName::try_from(host), Ok(ServerName::DnsName(_)));
            Err(if is_name && transport.is_encrypted() {
                NotAnUpstream::Named { text: text.into(), host: host.into() }
            } else {
                NotAnUpstream::Malformed(text.into())
            })
        }
    }
}

impl Address {
    /// What is asked for by HTTP.
    pub(super) fn uri(&self) -> String {
        format!("https://{}{}", self.authority(), self.path)
    }

    /// Who answers, by the name of the certificate: what a request by HTTP is addressed to.
    fn authority(&self) -> String {
        let host = match (&self.name, self.at.ip()) {
            // An address may be what a certificate is for.
            (Some(name), _) if name.parse::<Ipv6Addr>().is_ok() => format!("[{name}]"),
            (Some(name), _) => name.to_string(),
            (None, IpAddr::V4(ip)) => ip.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        if self.at.port() == self.transport.port() { host } else { format!("{host}:{}", self.at.port()) }
    }
}

/// As it would be written, with what is usual left out.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.transport.scheme())?;
        match (self.at.port() == self.transport.port(), self.at.ip()) {
            (true, IpAddr::V6(ip)) if self.transport == Transport::Https => write!(f, "[{ip}]")?,
            (true, ip) => write!(f, "{ip}")?,
            (false, _) => write!(f, "{}", self.at)?,
        }
        f.write_str(&self.path)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, "#{name}"))
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
            ("tls://9.9.9.9", "9.9.9.9:853", Transport::Tls, "tls://9.9.9.9"),
            ("tls://9.9.9.9:8853", "9.9.9.9:8853", Transport::Tls, "tls://9.9.9.9:8853"),
            ("https://9.9.9.9", "9.9.9.9:443", Transport::Https, "https://9.9.9.9/dns-query"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.at, address.transport), (at.parse().unwrap(), transport), "{text}");
            assert_eq!((address.name.as_deref(), address.to_string().as_str()), (None, shown));
            assert_eq!(address.to_string().parse(), Ok(address), "{shown} says the same");
        }
    }

    #[test]
    fn one_that_is_asked_over_tls_has_a_name_if_it_is_said_and_by_https_a_path() {
        for (text, at, name, path, authority, shown) in [
            (
                "tls://9.9.9.9:853#dns.quad9.net",
                "9.9.9.9:853",
                "dns.quad9.net",
                "",
                "dns.quad9.net",
                "tls://9.9.9.9#dns.quad9.net",
            ),
            (
                "https://[2620:fe::fe]/q?x=1#dns.quad9.net",
                "[2620:fe::fe]:443",
                "dns.quad9.net",
                "/q?x=1",
                "dns.quad9.net",
                "https://[2620:fe::fe]/q?x=1#dns.quad9.net",
            ),
            (
                "https://9.9.9.9:8443#dns.quad9.net",
                "9.9.9.9:8443",
                "dns.quad9.net",
                "/dns-query",
                "dns.quad9.net:8443",
                "https://9.9.9.9:8443/dns-query#dns.quad9.net",
            ),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.at, address.name.as_deref()), (at.parse().unwrap(), Some(name)), "{text}");
            assert_eq!((&*address.path, address.authority().as_str()), (path, authority));
            assert_eq!((address.to_string().as_str(), address.to_string().parse()), (shown, Ok(address)));
        }
        let uri = |text: &str| text.parse::<Address>().unwrap().uri();
        assert_eq!(uri("https://[2620:fe::fe]:1"), "https://[2620:fe::fe]:1/dns-query");
        assert_eq!(uri("https://9.9.9.9#2620:fe::fe"), "https://[2620:fe::fe]/dns-query");
        assert_eq!(uri("https://9.9.9.9:8443/q#2620:fe::fe"), "https://[2620:fe::fe]:8443/q");
        for text in ["https://9.9.9.9#2620:fe::fe", "https://9.9.9.9#9.9.9.9", "https://9.9.9.9#a_b.test."] {
            assert!(uri(text).parse::<Uri>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<Address>().unwrap_err();
        for text in ["", "dns.example", "9.9.9.9:x", "quic://9.9.9.9", "9.9.9", "tcp://", "tls://9.9.9.9/x"] {
            assert_eq!(refused(text), NotAnUpstream::Malformed(text.into()));
        }
        assert_eq!(refused("9.9.9.9:0"), NotAnUpstream::NoPort("9.9.9.9:0".into()));
        assert!(matches!(refused("9.9.9.9#dns.example"), NotAnUpstream::NameInClear(_)));
        assert!(matches!(refused("tls://9.9.9.9#dns..example"), NotAnUpstream::NoName { .. }));
        assert!(matches!(refused("https://9.9.9.9/dns-query{?dns}"), NotAnUpstream::BadPath(_)));
        for text in ["tls://dns.example", "https://dns.example:443/dns-query"] {
            assert!(matches!(refused(text), NotAnUpstream::Named { host, .. } if host == "dns.example"));
        }
    }
}
