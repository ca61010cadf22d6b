//! How often a client may come.

mod gcra;
mod limit;
mod table;

pub use gcra::{Decision, decide};
pub use limit::RateLimit;
pub use table::RateTable;
