//! A port of its own for every instance.
//!
//! A free port is only known to be free at the moment it is tried; nobody can reserve it for a program that
//! binds it later. What keeps accidents away: ports outside the range from which the kernel takes the near ends
//! of outgoing connections (a busy proxy uses thousands of those), a random start so that two nines do not try
//! the same ones, and no port is given to two of our own instances. What remains is met by the restart on
//! another port.

use rand::{Rng, RngExt};
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ports from here on are taken when the kernel's own range leaves room for them.
const FIRST: u16 = 20_000;

/// A smaller range than this is not worth searching.
const RANGE_MIN: u16 = 1000;

/// Tries within the range before the kernel is asked.
const TRIES_MAX: u16 = 500;

/// The ports that our instances have.
#[derive(Clone, Default)]
pub(crate) struct Ports(Arc<Mutex<BTreeSet<u16>>>);

/// A port that no other instance of ours gets while this lives.
pub(crate) struct Lease {
    port: u16,
    ports: Ports,
}

impl Ports {
    /// A free port, `wished` if that is free.
    pub(crate) fn lease(&self, wished: Option<u16>, rng: &mut impl Rng) -> io::Result<Lease> {
        if let Some(lease) = wished.and_then(|port| self.try_lease(port)) {
            return Ok(lease);
        }
        if let Some(range) = range_outside(ephemeral()) {
            let start = rng.random_range(range.clone());
            let found = (start..range.end).chain(range.start..start).take(usize::from(TRIES_MAX));
            if let Some(lease) = found.into_iter().find_map(|port| self.try_lease(port)) {
                return Ok(lease);
            }
        }
        loop {
            let port = TcpListener::bind(address(0))?.local_addr()?.port();
            if self.held().insert(port) {
                return Ok(Lease { port, ports: self.clone() });
            }
        }
    }

    fn try_lease(&self, port: u16) -> Option<Lease> {
        if !self.held().insert(port) {
            return None;
        }
        // From here on the lease gives it back.
        let lease = Lease { port, ports: self.clone() };
        sys::is_taken(address(port)).is_ok().then_some(lease)
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ports.held().remove(&self.port);
    }
}

/// Where an instance with this port is reached.
pub(crate) fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The range from which the kernel takes ports by itself.
fn ephemeral() -> Range<u32> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 32_768..61_000,
    }
}

/// Ports below or else above the kernel's range; `None` when it leaves too few.
fn range_outside(ephemeral: Range<u32>) -> Option<Range<u16>> {
    let wide = |range: &Range<u16>| range.len() >= usize::from(RANGE_MIN);
    let below = FIRST..u16::try_from(ephemeral.start).unwrap_or(u16::MAX);
    let above = u16::try_from(ephemeral.end).unwrap_or(u16::MAX)..u16::MAX;
    [below, above].into_iter().find(wide)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn ports_keep_away_from_those_of_outgoing_connections() {
        assert_eq!(range_outside(32_768..61_000), Some(20_000..32_768));
        assert_eq!(range_outside(10_000..50_000), Some(50_000..65_535));
        assert_eq!(range_outside(20_500..65_000), None);
        assert_eq!(range_outside(1024..65_536), None);
    }

    #[test]
    fn no_two_instances_have_the_same_port() {
        let ports = Ports::default();
        // The same seed each time: every lease would start its search at the same port.
        let leases: Vec<Lease> =
            (0..20).map(|_| ports.lease(None, &mut SmallRng::seed_from_u64(1)).unwrap()).collect();
        let distinct: BTreeSet<u16> = leases.iter().map(Lease::port).collect();
        assert_eq!(distinct.len(), 20);
        drop(leases);
        assert!(ports.held().is_empty());
    }

    #[test]
    fn a_wished_port_is_given_only_while_it_is_free() {
        let (ports, mut rng) = (Ports::default(), SmallRng::seed_from_u64(2));
        let listener = TcpListener::bind(address(0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert_ne!(ports.lease(Some(taken), &mut rng).unwrap().port(), taken);
        let lease = ports.lease(None, &mut rng).unwrap();
        let port = lease.port();
        assert_ne!(ports.lease(Some(port), &mut rng).unwrap().port(), port);
        drop(lease);
        assert_eq!(ports.lease(Some(port), &mut rng).unwrap().port(), port);
    }
}
