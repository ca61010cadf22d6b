//! Signing: a zone without signatures becomes one with them.

mod bind;
pub(crate) mod bitmap;
pub(crate) mod canonical;
pub(crate) mod config;
mod entry;
pub(crate) mod kept;
pub(crate) mod key;
pub(crate) mod on_demand;
pub(crate) mod parent;
pub(crate) mod plan;
pub(crate) mod resigning;
mod rollover;
pub(crate) mod routes;
mod status;
mod store;
pub(crate) mod submission;
mod zone;

pub use parent::judge_ds;
pub use status::{KeyStatus, NextStep, SigningStatus};
pub use submission::RolledKey;
pub(crate) use zone::{SignedZone, check};
