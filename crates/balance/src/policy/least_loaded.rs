//! Fewest requests in flight over weight; among equals any, by weight.

use crate::policy::Candidate;
use rand::{Rng, RngExt};

pub(crate) fn pick(
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    rng: &mut impl Rng,
) -> Option<usize> {
    let (mut best, mut best_load, mut tied) = (None, (0u64, 1u32), 0u64);
    for (index, candidate) in candidates.iter().enumerate().filter(|(_, candidate)| usable(candidate)) {
        let (inflight, weight) = (candidate.endpoint.inflight(), candidate.weight);
        let ordering = if best.is_none() {
            std::cmp::Ordering::Less
        } else {
            // inflight / weight, multiplied out.
            inflight
                .saturating_mul(u64::from(best_load.1))
                .cmp(&best_load.0.saturating_mul(u64::from(weight)))
        };
        match ordering {
            std::cmp::Ordering::Less => {
                (best, best_load, tied) = (Some(index), (inflight, weight), u64::from(weight))
            }
            std::cmp::Ordering::Equal => {
                tied += u64::from(weight);
                if rng.random_range(0..tied) < u64::from(weight) {
                    (best, best_load) = (Some(index), (inflight, weight));
                }
            }
            std::cmp::Ordering::Greater => {}
        }
    }
    best
}
