//! A folder on its way to become a release: what is in it ([`read`]), and the draft that it makes ([`Plan`]). `nines push`
//! sends that to a node; a store whose file names a folder takes it by itself (`deploy`). Everything here may wait for
//! the disk.

mod deploy;
mod found;
mod plan;

pub use found::{Found, read};
pub use plan::{Content, Plan, Wishes};
