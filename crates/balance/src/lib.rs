//! A pool of endpoints: who is alive and who is chosen.

mod config;

pub use config::*;
