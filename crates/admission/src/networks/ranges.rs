//! Many networks, compiled for looking up an address.

use super::network::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a network was named: the entry of the configuration, and the line if that is a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) entry: u32,
    /// From 1; 0 where the configuration names the network itself.
    pub(crate) line: u32,
}

/// Disjoint networks, in order. Two networks are disjoint or one is within the other: the outer ones are kept.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    v4: Side<u32>,
    v6: Side<u128>,
}

/// The networks of one family. A search goes through every sixteenth first address, of which there are so few that they
/// stay in a cache, then through the fifteen behind one of them, which lie side by side.
#[derive(Debug)]
struct Side<A> {
    sixteenths: Box<[A]>,
    firsts: Box<[A]>,
    rest: Box<[(A, Origin)]>,
}

impl<A> Default for Side<A> {
    fn default() -> Self {
        Self { sixteenths: Box::default(), firsts: Box::default(), rest: Box::default() }
    }
}

impl<A: Ord + Copy> Side<A> {
    /// Of networks by first and last address.
    fn new(mut networks: Vec<(A, A, Origin)>) -> Self {
        // The outer before the inner, and of equals the one that was named first.
        networks.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut firsts: Vec<A> = Vec::new();
        let mut rest: Vec<(A, Origin)> = Vec::new();
        for (first, last, origin) in networks {
            if rest.last().is_none_or(|(outer, _)| *outer < first) {
                firsts.push(first);
                rest.push((last, origin));
            }
        }
        let sixteenths = firsts.iter().step_by(16).copied().collect();
        Self { sixteenths, firsts: firsts.into(), rest: rest.into() }
    }

    fn find(&self, address: A) -> Option<(A, A, Origin)> {
        let block = 16 * self.sixteenths.partition_point(|first| *first <= address).checked_sub(1)?;
        let firsts = &self.firsts[block..self.firsts.len().min(block + 16)];
        // The first of them is not behind the address.
        let at = block + firsts.partition_point(|first| *first <= address) - 1;
        let (last, origin) = self.rest[at];
        (address <= last).then(|| (self.firsts[at], last, origin))
    }
}

impl Ranges {
    pub(crate) fn new(networks: impl IntoIterator<Item = (Network, Origin)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, origin) in networks {
            match (network.first(), network.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits(), origin)),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.to_bits(), last.to_bits(), origin)),
                _ => unreachable!("a network is of one family"),
            }
        }
        Self { v4: Side::new(v4), v6: Side::new(v6) }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.firsts.len() + self.v6.firsts.len()
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.find(v4.to_bits()).is_some(),
            IpAddr::V6(v6) => self.v6.find(v6.to_bits()).is_some(),
        }
    }

    /// The network that an address is in, and where it was named.
    pub(crate) fn find(&self, address: IpAddr) -> Option<(Network, Origin)> {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let (first, last, origin) = self.v4.find(v4.to_bits())?;
                let prefix = (first ^ last).leading_zeros() as u8;
                Some((Network::containing(Ipv4Addr::from_bits(first).into(), prefix), origin))
            }
            IpAddr::V6(v6) => {
                let (first, last, origin) = self.v6.find(v6.to_bits())?;
                let prefix = (first ^ last).leading_zeros() as u8;
                Some((Network::containing(Ipv6Addr::from_bits(first).into(), prefix), origin))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(networks: &[Network]) -> Ranges {
        let origin = |entry| Origin { entry, line: 0 };
        Ranges::new((0..).zip(networks).map(|(entry, network)| (*network, origin(entry))))
    }

    fn of(texts: &[&str]) -> Ranges {
        ranges(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    fn found(ranges: &Ranges, address: &str) -> Option<(String, u32)> {
        let address = address.parse().unwrap();
        let found = ranges.find(address).map(|(network, origin)| (network.to_string(), origin.entry));
        assert_eq!(ranges.contains(address), found.is_some());
        found
    }

    #[test]
    fn the_widest_network_is_found_that_was_named_first() {
        let ranges = of(&["10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "10.1.2.3", "11.0.0.0/8"]);
        assert_eq!(ranges.len(), 2);
        assert_eq!(found(&ranges, "10.1.2.3"), Some(("10.0.0.0/8".into(), 1)));
        assert_eq!(found(&ranges, "::ffff:11.2.3.4"), Some(("11.0.0.0/8".into(), 4)));
        assert_eq!(found(&ranges, "9.255.255.255"), None);
        assert_eq!(found(&ranges, "12.0.0.0"), None);
    }

    #[test]
    fn all_of_one_family_is_nothing_of_the_other() {
        let (v4, v6) = (of(&["0.0.0.0/0"]), of(&["::/0"]));
        assert_eq!(found(&v4, "192.0.2.1"), Some(("0.0.0.0/0".into(), 0)));
        assert_eq!(found(&v4, "2001:db8::1"), None);
        assert_eq!(found(&v6, "2001:db8::1"), Some(("::/0".into(), 0)));
        assert_eq!(found(&v6, "::ffff:192.0.2.1"), None);
        assert_eq!(found(&of(&[]), "192.0.2.1"), None);
    }

    #[test]
    fn each_of_many_is_found_and_nothing_between_them() {
        for count in [1, 15, 16, 17, 32, 33, 1000u32] {
            // Every second /24.
            let network = |number: u32| Network::containing(Ipv4Addr::from_bits(number << 9).into(), 24);
            let networks: Vec<Network> = (1..=count).map(network).collect();
            let ranges = ranges(&networks);
            for (network, number) in networks.iter().zip(1..) {
                for address in [network.first(), network.last()] {
                    assert_eq!(ranges.find(address).map(|(found, _)| found), Some(*network));
                }
                for outside in [(number << 9) - 1, (number << 9) + 256] {
                    assert!(!ranges.contains(Ipv4Addr::from_bits(outside).into()), "{number} of {count}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn an_address_is_found_if_one_network_has_it(
            networks in proptest::collection::vec((0..64u8, 26..=32u8), 0..20), v6: bool, address in 0..64u8,
        ) {
            let at = |low: u8| -> IpAddr {
                if v6 { Ipv6Addr::from_bits(1 << 100 | u128::from(low)).into() } else { Ipv4Addr::new(10, 0, 0, low).into() }
            };
            let network = |(low, prefix): &(u8, u8)| Network::containing(at(*low), if v6 { prefix + 96 } else { *prefix });
            let networks: Vec<Network> = networks.iter().map(network).collect();
            let address = at(address);
            let expected = networks.iter().any(|network| network.first() <= address && address <= network.last());
            let found = ranges(&networks).find(address);
            prop_assert_eq!(found.is_some(), expected);
            if let Some((network, origin)) = found {
                prop_assert_eq!(network, networks[origin.entry as usize]);
                prop_assert!(network.first() <= address && address <= network.last());
            }
        }
    }
}
