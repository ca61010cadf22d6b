//! The policies: each a pure decision over the candidates, `now` and `rng`, in a file of its own.
//!
//! `usable` tells which candidates this one request may still go to: not those it has been tried on, nor
//! those that are full. Mostly it is true for all, and a policy looks at no more candidates than it needs.

pub(crate) mod draw;
pub(crate) mod least_loaded;
pub(crate) mod maglev;
pub(crate) mod peak_ewma;
pub(crate) mod power_of_two;
pub(crate) mod random;
pub(crate) mod ring_hash;
pub(crate) mod round_robin;
pub(crate) mod weighted_round_robin;

use crate::endpoint::Endpoint;
use std::sync::Arc;

/// An endpoint that may be chosen, with what is fixed until the next change of the pool.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Its share against the others', never 0.
    pub(crate) weight: u32,
    /// Whether its ejection is over and one request at a time shows whether it works again.
    pub(crate) probing: bool,
}

impl Candidate {
    /// Whether this one is less loaded than `other`, in requests in flight over weight.
    pub(crate) fn is_less_loaded_than(&self, other: &Self) -> bool {
        let (own, theirs) = (self.endpoint.inflight(), other.endpoint.inflight());
        own.saturating_mul(u64::from(other.weight)) < theirs.saturating_mul(u64::from(self.weight))
    }
}

#[cfg(test)]
pub(crate) mod testing;
