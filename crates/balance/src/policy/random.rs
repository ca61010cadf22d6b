//! Any, by weight.

use crate::policy::Candidate;
use crate::policy::draw::Shares;
use rand::Rng;

pub(crate) fn pick(
    shares: &Shares,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    rng: &mut impl Rng,
) -> Option<usize> {
    let drawn = shares.draw(rng);
    if usable(&candidates[drawn]) { Some(drawn) } else { shares.draw_usable(candidates, usable, None, rng) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;

    #[test]
    fn shares_follow_the_weights() {
        for weights in [vec![1, 1, 1], vec![1, 2, 7], vec![1000, 1, 500, 20]] {
            let (candidates, mut rng) = (candidates(&weights), rng());
            let shares = Shares::of(&candidates);
            assert_by_weight(
                &counts(weights.len(), 50_000, || pick(&shares, &candidates, &all, &mut rng)),
                &weights,
            );
        }
    }

    #[test]
    fn one_that_may_not_be_used_leaves_its_share_to_the_others() {
        let (weights, mut rng) = ([4, 1, 3], rng());
        let candidates = candidates(&weights);
        let shares = Shares::of(&candidates);
        let usable = but("app-0");
        let counts = counts(3, 20_000, || pick(&shares, &candidates, &usable, &mut rng));
        assert_eq!(counts[0], 0);
        assert_by_weight(&counts[1..], &weights[1..]);
    }
}
