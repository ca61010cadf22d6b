//! For whom a name is asked.

use crate::protocol::ClientSubnet;
use std::net::{IpAddr, Ipv4Addr};

/// RFC 7871 §11.1: what a resolver tells of an address at most, and so what is one client to us.
const SUBNET_BITS_V4: u8 = 24;
const SUBNET_BITS_V6: u8 = 56;

/// For whom a name is asked: the network that a resolver names (RFC 7871), or else whoever sent the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    address: IpAddr,
    is_named: bool,
}

impl Client {
    /// The client of a query that came from `sender`. A subnet of no bits is a client that does not want to be told apart: then it
    /// is about the resolver, as without one (RFC 7871 §7.1.2).
    pub fn of(sender: IpAddr, subnet: Option<ClientSubnet>) -> Self {
        match subnet {
            Some(ClientSubnet { address, prefix: 1.. }) => Self { address, is_named: true },
            _ => Self { address: sender.to_canonical(), is_named: false },
        }
    }

    /// Its address, or the first one of its network.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Whether its resolver named it.
    pub fn is_named(self) -> bool {
        self.is_named
    }

    /// The subnet that keeps its choice as one number, and how many bits of the address are in it.
    #[inline]
    pub(crate) fn subnet(self) -> (u64, u8) {
        match self.address {
            IpAddr::V4(v4) => (u64::from(v4.to_bits() >> (32 - SUBNET_BITS_V4)) << 8 | 4, SUBNET_BITS_V4),
            IpAddr::V6(v6) => {
                let bits = (v6.to_bits() >> (128 - SUBNET_BITS_V6)) as u64;
                (bits << 8 | 6, SUBNET_BITS_V6)
            }
        }
    }
}

/// Nobody in particular.
impl Default for Client {
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), is_named: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_subnet_that_a_resolver_names_counts_before_its_own_address() {
        let named = ClientSubnet { address: address("192.0.2.0"), prefix: 24 };
        let client = Client::of(address("203.0.113.9"), Some(named));
        assert_eq!((client.address(), client.is_named()), (address("192.0.2.0"), true));
        let hidden = ClientSubnet { address: address("0.0.0.0"), prefix: 0 };
        let client = Client::of(address("::ffff:203.0.113.9"), Some(hidden));
        assert_eq!((client.address(), client.is_named()), (address("203.0.113.9"), false));
    }

    #[test]
    fn clients_of_one_subnet_are_one() {
        let subnet = |text| Client::of(address(text), None).subnet();
        assert_eq!(subnet("192.0.2.1"), subnet("192.0.2.255"));
        assert_ne!(subnet("192.0.2.1"), subnet("192.0.3.1"));
        assert_eq!(subnet("2001:db8::1"), subnet("2001:db8:0:ff::1"));
        assert_ne!(subnet("2001:db8::1"), subnet("2001:db8:0:100::1"));
        assert_eq!((subnet("192.0.2.1").1, subnet("2001:db8::").1), (24, 56));
    }
}
