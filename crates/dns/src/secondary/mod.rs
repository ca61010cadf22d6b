//! Zones that come from another server (RFC 1034 §4.3.5): fetched, kept on disk, refreshed, and withdrawn when nobody has confirmed them
//! for too long.
//!
//! When to do what is a pure decision of `timers`. `fetch` asks primaries, `store` keeps what came, and `task` does one after the other.

mod fetch;
pub(crate) mod store;
mod task;
mod timers;

pub(crate) use task::{Notified, Secondary, restored, run, signable};
