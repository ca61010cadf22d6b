//! What a client is told apart by.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;

/// The address that a client is counted by: an IPv4 address is one client, of IPv6 it is the /64 that one
/// subscriber has at the least (RFC 6177 §2), written with its last 64 bits clear. An IPv4 address within IPv6 is
/// the IPv4 address.
pub fn client_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A client as a number. It is hashed with a key of this process, so that nobody outside can look for two that are
/// taken for one another, or for many that fall into one place of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) u64);

impl Key {
    /// The client behind an address: [`client_key`].
    pub fn of_client(address: IpAddr) -> Self {
        match client_key(address) {
            IpAddr::V4(v4) => Self::hashed((4u8, u64::from(v4.to_bits()))),
            IpAddr::V6(v6) => Self::hashed((6u8, (v6.to_bits() >> 64) as u64)),
        }
    }

    /// The client that names itself so, as by the value of a header.
    pub fn of_value(value: &[u8]) -> Self {
        Self::hashed((0u8, value))
    }

    /// A key that is this one within a scope, and another in every other.
    pub(crate) fn within(self, scope: u64) -> Self {
        // A product with an odd number mixes all lower bits into the upper ones, the shift brings them back.
        let mixed = (self.0 ^ scope).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed ^ (mixed >> 32))
    }

    pub(crate) fn hashed(value: impl std::hash::Hash) -> Self {
        static HASHER: OnceLock<RandomState> = OnceLock::new();
        Self(HASHER.get_or_init(RandomState::new).hash_one(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> String {
        client_key(address.parse().unwrap()).to_string()
    }

    #[test]
    fn a_client_is_a_v4_address_or_a_v6_subscriber() {
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn keys_are_equal_for_one_client_and_differ_for_two() {
        let key = |address: &str| Key::of_client(address.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("0.0.0.1"), key("0:0:0:1::"), "of two families");
        assert_ne!(Key::of_value(b"a"), Key::of_value(b"b"));
    }

    #[test]
    fn a_client_has_another_key_in_every_scope() {
        let key = Key::of_value(b"a");
        assert_eq!(key.within(7), key.within(7));
        assert_ne!(key.within(7), key.within(8));
    }
}
