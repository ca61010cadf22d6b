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
                (best, best_load, tied) = (Some(index), (inflight, weight), u64::from(weight));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;

    #[test]
    fn the_fewest_in_flight_over_weight_wins() {
        let (candidates, mut rng) = (candidates(&[1, 4, 2]), rng());
        load(&candidates[0], 2);
        load(&candidates[1], 7);
        load(&candidates[2], 4);
        assert_eq!(pick(&candidates, &all, &mut rng), Some(1));
        assert_ne!(pick(&candidates, &but("app-1"), &mut rng), Some(1));
    }

    #[test]
    fn equals_are_chosen_by_weight() {
        let (weights, mut rng) = ([1, 4, 2], rng());
        let candidates = candidates(&weights);
        assert_by_weight(&counts(3, 30_000, || pick(&candidates, &all, &mut rng)), &weights);
    }

    #[test]
    fn requests_in_flight_settle_at_the_weights() {
        let (weights, mut rng) = ([1, 4, 2], rng());
        let candidates = candidates(&weights);
        let counts = counts(3, 700, || {
            let picked = pick(&candidates, &all, &mut rng)?;
            load(&candidates[picked], 1);
            Some(picked)
        });
        assert_eq!(counts, [100, 400, 200]);
    }
}
