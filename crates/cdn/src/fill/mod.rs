//! A response that is arriving, for all who wait for it.
//!
//! One fetches (a [`Lead`]), any number read ([`Reader`]): each has its own place in the response, and is woken where more of it has
//! come. A response that is kept stays whole in memory while it arrives, so that whoever comes late reads it from its start, and so that the origin
//! is done with soon. One that is not, or that is larger than may be kept, passes through a window: its fetch waits for whoever reads it.
//!
//! Invariants:
//! - A reader reads the response from its first byte to its last, or hears that it is broken off.
//! - Whatever becomes of the fetch, nobody waits for it longer than it lasts.

mod flights;
mod lead;
mod reader;
mod state;
#[cfg(test)]
mod tests;
mod under_way;

pub use flights::{Flights, FlightsFigures, Place};
pub use lead::{Abandoned, Finished, Lead};
pub use reader::{Begun, Reader};
pub use under_way::{FetchSeen, UnderWay, Unshared};

use std::time::Duration;

/// What fetches may take.
#[derive(Debug, Clone)]
pub struct FillLimits {
    /// Fetches that are under way at once, of all keys. Where there are more, each request is on its own.
    pub flights_max: usize,
    /// Bytes of bodies that are kept while they arrive, of all fetches. Where there are more, bodies pass through windows.
    pub filling_bytes_max: u64,
    /// A body that is longer is not kept, and passes through a window.
    pub object_bytes_max: u64,
    /// Bytes of a window.
    pub window_bytes: u64,
    /// How long the slowest reader of a window may hold up the others before it is cut off.
    pub patience: Duration,
    /// Keys that are remembered as those of responses that cannot be kept.
    pub passes_max: usize,
}

impl Default for FillLimits {
    fn default() -> Self {
        Self {
            flights_max: 16 << 10,
            filling_bytes_max: 256 << 20,
            object_bytes_max: 32 << 20,
            window_bytes: 256 << 10,
            patience: Duration::from_secs(5),
            passes_max: 64 << 10,
        }
    }
}

/// Why a response did not come, or broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The origin failed, as this status says to clients (502, 503, 504).
    Origin(u16),
    /// The body was not as long as its head had said.
    Length,
    /// Whoever fetched it is gone.
    Dropped,
    /// This reader has held up the others for too long.
    TooSlow,
}
