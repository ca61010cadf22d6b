//! Routes as clients see them: zones with routes, pools that are up and down, and databases of a few networks.

mod answers;
mod checks;
pub(in crate::policy) mod database;
mod explanations;
mod world;
