//! Where responses are kept: in memory, and on the disk behind it.
//!
//! Invariant: an object is whole, and never changes; what is newer takes its place.

mod body;
mod memory;
mod object;
mod policy;
#[cfg(test)]
pub(crate) mod samples;

pub use body::{Body, CHUNK_BYTES, Pieces};
pub use memory::{Memory, MemoryFigures, VARIANTS_MAX};
pub use object::Object;
