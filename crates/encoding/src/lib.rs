//! Content codings: which one a client takes, whether a response is worth it, and the bytes in it.
//!
//! 1. [`negotiate`] reads `Accept-Encoding` and says which of the codings on offer the client likes best;
//! 2. [`Compression::plan`] looks at a response's head and decides: encode, or pass on as it is and why; and
//!    what becomes of `Vary` and `ETag`, so that caches and conditional requests stay right;
//! 3. [`Encoder`] turns the body into that coding, piece by piece, with memory of a known size.
//!
//! Invariants:
//! - What is encoded already is never encoded again, and what must not be transformed passes untouched.
//! - A response that another client would have got encoded says `Vary: Accept-Encoding`, whoever asked.
//! - After [`Encoder::flush`] a client can read all that has been pushed.

mod accept;
mod cells;
mod coding;
mod config;
mod context;
mod encoder;
mod media;
mod policy;
mod spare;

pub use accept::{Choice, negotiate};
pub use coding::Coding;
pub use config::{CompressConfig, CompressOptions, Levels, check};
pub use encoder::{EncodeError, Encoder};
pub use policy::{
    Action, Compression, Plan, Reason, ResponseFacts, VOID_WHEN_ENCODED, is_no_transform, is_vary_complete,
};
