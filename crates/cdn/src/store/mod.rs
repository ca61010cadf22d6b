//! Where responses are kept: in memory, and on the disk behind it.
//!
//! Invariant: an object is whole, and never changes; what is newer takes its place.

mod body;
mod disk;
pub(crate) mod forgotten;
mod joining;
mod memory;
mod object;
mod policy;
mod record;
#[cfg(test)]
pub(crate) mod samples;

pub use body::{Body, CHUNK_BYTES, Pieces};
pub(crate) use disk::Lock;
pub use disk::{Disk, DiskConfig, DiskFigures};
pub use forgotten::forget_later;
pub(crate) use joining::join;
pub use memory::{Memory, MemoryFigures, VARIANTS_MAX};
pub use object::Object;
pub(crate) use record::check_any;
