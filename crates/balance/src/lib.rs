//! A pool of endpoints: who is alive and who is chosen.
//!
//! The sources (`sources`: servers, a service's instances, a name's addresses by `discovery`) say who the
//! endpoints should be. Checks (`health`), failures of live requests (`eject`) and people (drain) say what
//! each of them is. From all this the pool builds a `snapshot`: who may be picked, in groups of falling
//! preference, with every policy's tables ready. A request reads the snapshot, `choose`s by one of the
//! `policy`s, and holds a [`Picked`] until it says how it ended; its figures feed the next choice.
//!
//! Invariants:
//! - A pick takes no lock and sees exactly one snapshot. All state is behind one lock, `pool` alone takes it,
//!   and every change under it ends in `settle`: told, counted, and a new snapshot.
//! - Outside a panic, no unhealthy, ejected, draining or weight-0 endpoint is picked for a new client.
//! - The last available endpoint is never ejected.
//! - An endpoint's name outlives its restarts; its [`EndpointId`] names one address for as long as it stays.
//! - Decisions are pure: they are given `now` and `rng`.

mod check;
mod choose;
mod config;
mod discovery;
mod eject;
mod endpoint;
mod error;
mod events;
mod explain;
mod health;
mod latency;
mod member;
mod picked;
mod policy;
mod pool;
mod run;
mod siphash;
mod slow_start;
mod snapshot;
mod sources;
mod status;
#[cfg(test)]
mod tests;
mod transport;

pub use check::{check, check_health};
pub use config::*;
pub use discovery::{Resolve, Resolved, Resolving, SystemResolver};
pub use endpoint::{Endpoint, EndpointId};
pub use error::{Error, PickError, SettingsError};
pub use explain::{EndpointExplanation, PoolExplanation};
pub use picked::{KeySource, Outcome, Picked, Wish};
pub use pool::{Pool, PoolContext};
pub use siphash::{hash_key, siphash};
pub use sources::Instance;
pub use status::{EndpointStatus, PoolStatus, State};
pub use transport::{Settings, Transport};
