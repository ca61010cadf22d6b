//! Who may come, how often, and who that really is.
//!
//! A connection arrives with an address. If a proxy has sent it on, its first bytes say for whom
//! (`proxy_protocol`), or its requests do (`forwarded`). Whoever that is may come by its address (`networks`), by a user
//! and a password (`basic_auth`) or a URL that was signed for it (`signed`), as often as is allowed (`rate`), with so much at once (`held`) and so fast (`pace`);
//! what leaves is a decision, with the words to tell it in. Those who own a door, tiers, bring sockets and tasks.
//!
//! Invariants:
//! - Nothing here knows a socket or a clock: bytes and `now` come in, decisions go out.
//! - A client is an IPv4 address or a /64 of IPv6 ([`client_key`]), and an IPv4 address within IPv6 is IPv4.
//! - Nobody is believed who is not listed, and whoever is believed only about the one in front of it.
//! - What is kept of clients is bounded, by a number or by what they hold open, and takes no memory that they choose.
//! - A changed file is swapped in whole; one that cannot be used changes nothing, and is told once.
//! - Passwords are verified on threads of their own, so many at once; they are in no log and in no memory for longer.

mod basic_auth;
mod client;
mod error;
mod events;
mod followed;
mod forwarded;
mod hashed;
mod held;
mod limits;
mod networks;
mod pace;
pub mod proxy_protocol;
mod rate;
pub mod signed;

pub use basic_auth::{
    BasicAuth, BasicAuthConfig, Credentials, Judged, Refusal, Verification, Verifiers, check_basic_auth,
    parse_basic,
};
pub use client::{Key, client_key};
pub use error::Error;
pub use events::{Events, Limited};
pub use forwarded::{Hop, Malformed, Node, came_by_https, parse_forwarded, real_client};
pub use hashed::{BuildHashed, Hashed};
pub use held::{Held, PerClient};
pub use limits::{By, ClientLimits, check_limits};
pub use networks::{
    Access, Denied, Matched, Network, NetworkEntry, NetworkFile, Networks, NotANetwork, Refreshed, Trust,
    TrustConfig, check_access, check_networks, check_trust,
};
pub use pace::Pace;
pub use rate::{Decision, RateLimit, RateTable, decide};
pub use signed::{Signed, SignedConfig, Unsigned, check_signed};
