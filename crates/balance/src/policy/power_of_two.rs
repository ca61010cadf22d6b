//! The less loaded of two drawn by weight: nearly as even as looking at all, at the price of two, and cores
//! that decide at the same moment do not all run to the same one.

use crate::policy::Candidate;
use crate::policy::draw::{Shares, draw_two};
use rand::Rng;

pub(crate) fn pick(
    shares: &Shares,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    rng: &mut impl Rng,
) -> Option<usize> {
    let (first, second) = draw_two(shares, candidates, usable, rng)?;
    let Some(second) = second else { return Some(first) };
    Some(if candidates[second].is_less_loaded_than(&candidates[first]) { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;

    #[test]
    fn idle_endpoints_are_chosen_by_weight() {
        let (weights, mut rng) = ([1, 4, 2], rng());
        let candidates = candidates(&weights);
        let shares = Shares::of(&candidates);
        assert_by_weight(&counts(3, 50_000, || pick(&shares, &candidates, &all, &mut rng)), &weights);
    }

    #[test]
    fn the_more_loaded_of_two_never_wins() {
        let (candidates, mut rng) = (candidates(&[1, 1]), rng());
        load(&candidates[0], 1);
        let shares = Shares::of(&candidates);
        assert_eq!(counts(2, 1000, || pick(&shares, &candidates, &all, &mut rng)), [0, 1000]);
    }

    #[test]
    fn requests_in_flight_stay_near_the_weights() {
        let (weights, mut rng) = ([1, 4, 2, 1, 2], rng());
        let candidates = candidates(&weights);
        let shares = Shares::of(&candidates);
        let counts = counts(5, 10_000, || {
            let picked = pick(&shares, &candidates, &all, &mut rng)?;
            load(&candidates[picked], 1);
            Some(picked)
        });
        assert_close_to_weight(&counts, &weights, 0.02);
    }
}
