//! Who may come, how often, and who that really is.

mod basic_auth;
mod client;
mod error;
mod events;
mod followed;
mod held;
mod limits;
mod networks;
mod pace;
mod rate;

pub use basic_auth::{
    BasicAuth, BasicAuthConfig, Credentials, Judged, Refusal, Verification, Verifiers, check_basic_auth,
    parse_basic,
};
pub use client::{Key, client_key};
pub use error::Error;
pub use events::{Events, Limited};
pub use held::{Held, PerClient};
pub use limits::{By, ClientLimits, check_limits};
pub use networks::{
    Access, Denied, Matched, Network, NetworkEntry, NetworkFile, Networks, NotANetwork, Refreshed, Trust,
    TrustConfig, check_access, check_networks, check_trust,
};
pub use pace::Pace;
pub use rate::{Decision, RateLimit, RateTable, decide};
