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

/// The networks of one family: a search touches the firsts alone, until it has found.
#[derive(Debug)]
struct Side<A> {
    firsts: Box<[A]>,
    rest: Box<[(A, Origin)]>,
}

impl<A> Default for Side<A> {
    fn default() -> Self {
        Self { firsts: Box::default(), rest: Box::default() }
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
        Self { firsts: firsts.into(), rest: rest.into() }
    }

    fn find(&self, address: A) -> Option<(A, A, Origin)> {
        let at = self.firsts.partition_point(|first| *first <= address).checked_sub(1)?;
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
