//! `"10.0.0.0/8"`: the addresses that begin with the same bits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use thiserror::Error;

/// Addresses that begin with the same bits (RFC 4632 §3.1, RFC 4291 §2.3), or a single one. The IPv4 addresses within
/// IPv6 (`::ffff:0:0/96`, RFC 4291 §2.5.5.2) are IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotANetwork {
    /// It is not an address, with or without a prefix's length.
    #[error("{0:?} is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\"")]
    Malformed(String),
    /// The prefix is longer than the address.
    #[error("{found:?}: a prefix of {family} has at most {bits_max} bits")]
    TooLong {
        /// The text.
        found: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// 32 or 128.
        bits_max: u8,
    },
    /// Bits are set behind the prefix: it is not told whether the network is meant or the host.
    #[error("{found:?} has bits set behind its prefix")]
    HostBits {
        /// The text.
        found: String,
        /// The network that it is in.
        network: Network,
    },
}

impl NotANetwork {
    /// What to write instead, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::HostBits { network, .. } => Some(format!("the network is \"{network}\"")),
            Self::Malformed(_) | Self::TooLong { .. } => None,
        }
    }
}

impl Network {
    /// The network of this address with a prefix of so many bits; bits behind the prefix are cleared.
    pub(crate) fn containing(address: IpAddr, prefix: u8) -> Self {
        let first = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !hosts_v4(prefix))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !hosts_v6(prefix))),
        };
        Self { first, prefix }
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Its last address.
    pub fn last(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | hosts_v4(self.prefix))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() | hosts_v6(self.prefix))),
        }
    }

    /// Whether an address is in it. An IPv4 address within IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // All of IPv4 is before all of IPv6.
        self.first() <= address && address <= self.last()
    }

    /// How many bits its addresses have in common.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn hosts_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
}

fn hosts_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let malformed = || NotANetwork::Malformed(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let (family, bits_max) = if address.is_ipv4() { ("IPv4", 32) } else { ("IPv6", 128) };
        let prefix = match prefix {
            None => bits_max,
            Some(digits) => {
                let is_plain =
                    (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
                let bits: u16 = digits.parse().ok().filter(|_| is_plain).ok_or_else(malformed)?;
                let too_long = || NotANetwork::TooLong { found: text.to_owned(), family, bits_max };
                u8::try_from(bits).ok().filter(|bits| *bits <= bits_max).ok_or_else(too_long)?
            }
        };
        // Within IPv6, IPv4 begins behind 96 bits.
        let (address, prefix) = match address.to_canonical() {
            v4 @ IpAddr::V4(_) if bits_max == 128 && prefix >= 96 => (v4, prefix - 96),
            _ => (address, prefix),
        };
        let network = Self::containing(address, prefix);
        if network.first != address {
            return Err(NotANetwork::HostBits { found: text.to_owned(), network });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.prefix) {
            (IpAddr::V4(address), 32) => address.fmt(f),
            (IpAddr::V6(address), 128) => address.fmt(f),
            (address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_and_addresses_are_read() {
        for (text, printed, last) in [
            ("10.0.0.0/8", "10.0.0.0/8", "10.255.255.255"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.255.255.255"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:DB8::1", "2001:db8::1", "2001:db8::1"),
            ("::/0", "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8", "10.255.255.255"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), printed);
            assert_eq!(network.last().to_string(), last);
        }
    }

    #[test]
    fn what_is_no_network_is_refused_and_shown() {
        for text in [
            "",
            "10.0.0.0/",
            "/8",
            "10.0.0/8",
            "10.0.0.0/08x",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/0008",
            "a.test",
            " 10.0.0.1",
            "10.0.0.0-10.0.0.9",
            "[::1]",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            let expected =
                format!("{text:?} is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\"");
            assert_eq!(error.to_string(), expected);
        }
        let error = "10.0.0.0/33".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "\"10.0.0.0/33\": a prefix of IPv4 has at most 32 bits");
        let error = "::/999".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "\"::/999\": a prefix of IPv6 has at most 128 bits");
    }

    #[test]
    fn a_host_within_a_network_is_told_the_network() {
        for (text, network) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error.to_string(), format!("{text:?} has bits set behind its prefix"));
            assert_eq!(error.help(), Some(format!("the network is \"{network}\"")));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bits: u128, is_v4: bool, prefix in 0..=128u8) {
            let (address, prefix) = if is_v4 {
                (IpAddr::V4(Ipv4Addr::from_bits(bits as u32)), prefix % 33)
            } else {
                (IpAddr::V6(Ipv6Addr::from_bits(bits)), prefix)
            };
            // One that begins as IPv4 within IPv6 does is IPv4.
            prop_assume!(is_v4 || bits >> 32 != 0xffff);
            let network = Network::containing(address, prefix);
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.first() <= address && address <= network.last());
        }
    }
}
