//! What is under way for a key, for whoever asks why: nothing is joined or begun.

use super::flights::{Flights, Slot};
use crate::Key;
use crate::rules::NotStored;
use std::fmt;
use std::time::{Duration, Instant};

/// Why nobody waits for another's response of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unshared {
    /// The last one was not stored.
    NotStored(NotStored),
    /// The body of the last one was longer than what is kept.
    TooLong,
}

impl fmt::Display for Unshared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStored(reason) => reason.fmt(f),
            Self::TooLong => f.write_str("the response is longer than may be kept"),
        }
    }
}

/// What is known of a key's fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnderWay {
    /// The fetch that a request would join.
    pub fetch: Option<FetchSeen>,
    /// Why and for how long nobody waits for another's.
    pub unshared: Option<(Unshared, Duration)>,
}

/// A fetch that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchSeen {
    /// Its head has come.
    pub has_head: bool,
    /// Bytes of the body so far.
    pub received_bytes: u64,
    /// Who reads it, or waits to.
    pub readers: usize,
}

impl Flights {
    /// What is under way for a key, as [`Flights::join`] would find it.
    pub fn under_way(&self, key: &Key, variant: u64, now: Instant) -> UnderWay {
        let slot = Slot::of(key, variant);
        let table = self.lock();
        let unshared = table.passes.get(&slot).filter(|pass| pass.until > now);
        let unshared = unshared.map(|pass| (pass.why, pass.until - now));
        let flight = table.flights.get(&slot).filter(|flight| self.may_join(flight, key));
        let fetch = flight.map(|flight| {
            let state = flight.shared.state();
            FetchSeen {
                has_head: state.head.is_some(),
                received_bytes: state.total(),
                readers: state.readers(),
            }
        });
        UnderWay { fetch, unshared }
    }
}
