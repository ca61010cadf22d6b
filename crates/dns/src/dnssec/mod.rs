//! DNSSEC: signed zones are answered with their signatures and with proofs of what is not there.

mod denial;
pub(crate) mod nsec3;
pub(crate) mod order;
pub(crate) mod signing;
#[cfg(test)]
mod tests;

pub use signing::config::{Algorithm, DenialConfig, KeyLayout, Sign, SignConfig};
pub use signing::{KeyStatus, NextStep, RolledKey, SigningStatus, judge_ds};

pub(crate) use denial::{Denial, Proof};
