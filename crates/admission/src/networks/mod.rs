//! Networks, lists of them, and who may come by them.

mod access;
mod config;
mod live;
mod network;
mod ranges;
mod trust;

pub use access::{Access, Denied};
pub use config::{NetworkEntry, NetworkFile, check_access, check_networks};
pub use live::{Matched, Networks, Refreshed};
pub use network::{Network, NotANetwork};
pub use trust::{Trust, TrustConfig, check_trust};
