//! A shared cache for HTTP (RFC 9110, RFC 9111): what may be kept and for how long, where it is kept, how one fetch serves a crowd,
//! and how it is purged.
//!
//! This crate knows no wire. `rules` are pure decisions over the lines of heads, with `now` given; `store` keeps responses in
//! memory and on disk; `fill` is a response that is still arriving, for all who wait for it. The edge looks a request up, and fetches what
//! is missing through its pools.
//!
//! Invariants:
//! - What is served was answered to a request with the same key, whose fields that `Vary` names were the same.
//! - A body is served whole and unmixed, or broken off where its client can tell.
//! - Nothing that was asked for before a purge is served after it.

mod check;
mod config;
mod engine;
mod error;
mod events;
pub mod fill;
mod frames;
mod growing;
mod handing;
pub mod key;
mod misses;
pub mod nodes;
pub mod purge;
pub mod rules;
mod seen;
mod siphash;
pub mod store;
mod tending;
mod trusted;
pub mod twin;

pub use check::{check, check_route};
pub use config::{
    Cache, CacheConfig, CdnConfig, ClientControl, ControlFields, HeuristicConfig, QueryConfig, StaleConfig,
};
pub use engine::{Engine, EngineConfig, Figures};
pub use error::Error;
pub use events::register;
pub use key::Key;
pub use misses::{Missed, Misses, SiteMisses, TopMiss};
pub use seen::{Seen, Tier};

/// Reads any bytes as a log of purges, and as a record of the disk. For the fuzz target.
#[doc(hidden)]
pub fn read_any_of_disk(bytes: &[u8]) {
    purge::check_any(bytes);
    store::check_any(bytes);
}

/// Reads any bytes as what a node says, and as what it writes of it. For the fuzz target.
#[doc(hidden)]
pub fn read_any_of_nodes(bytes: &[u8]) {
    nodes::check_any(bytes);
}

/// Reads any bytes as what the other process of a takeover says. For the fuzz target.
#[doc(hidden)]
pub fn read_any_of_twin(bytes: &[u8]) {
    twin::check_any(bytes);
}
