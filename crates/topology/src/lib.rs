//! The file `nines.toml`, and the only place where the tiers meet.
//!
//! A file arrives as text. [`load`] answers with a [`Checked`] topology, or with everything that is wrong
//! with the file ([`Rejected`]).
//!
//! Invariants:
//! - the types are the one description of the file: the JSON Schema is made from them, keys and values are
//!   checked against that schema, and serde reads into them;
//! - a file is used whole or not at all.

mod changes;
mod config;
mod effective;
mod file;
mod paths;
mod problem;
mod schema;

pub use changes::{Changes, NameChanges};
pub use config::{ADMIN_DEFAULT, NodeConfig, Topology};
pub use effective::effective;
pub use file::{Checked, load, parse};
pub use problem::{Level, Problem, Rejected};
pub use schema::json_schema;
