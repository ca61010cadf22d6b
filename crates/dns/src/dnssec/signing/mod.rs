//! Signing: a zone without signatures becomes one with them.

mod bind;
pub(crate) mod bitmap;
pub(crate) mod canonical;
pub(crate) mod config;
pub(crate) mod key;
pub(crate) mod on_demand;
pub(crate) mod plan;
pub(crate) mod resigning;
mod rollover;
pub(crate) mod routes;
mod status;
mod store;
mod zone;

pub use status::{KeyStatus, SigningStatus};
pub(crate) use zone::{SignedZone, check};
