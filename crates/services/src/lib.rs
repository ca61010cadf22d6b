//! Runs services, keeps them running and says where their instances are.

mod config;

pub use config::*;
