//! One after the other, each as often in a row as its weight says.

use crate::policy::Candidate;
use crate::policy::draw::Shares;

/// The candidate whose turn it is, or the next usable one after it.
pub(crate) fn pick(
    shares: &Shares,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    turn: u64,
) -> Option<usize> {
    let due = shares.at((turn % u64::from(shares.total())) as u32);
    (due..candidates.len()).chain(0..due).find(|index| usable(&candidates[*index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;

    fn turns(weights: &[u32], usable: &impl Fn(&Candidate) -> bool, turns: u64) -> Vec<usize> {
        let candidates = candidates(weights);
        let shares = Shares::of(&candidates);
        (0..turns).map(|turn| pick(&shares, &candidates, usable, turn).unwrap()).collect()
    }

    #[test]
    fn each_weight_comes_in_a_row() {
        assert_eq!(turns(&[1, 1, 1], &all, 7), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(turns(&[2, 1, 3], &all, 8), [0, 0, 1, 2, 2, 2, 0, 0]);
        assert_eq!(turns(&[200, 100], &all, 4), [0, 0, 1, 0], "weights count against each other");
    }

    #[test]
    fn the_next_takes_the_turn_of_one_that_may_not_be_used() {
        assert_eq!(turns(&[1, 1, 1], &but("app-1"), 6), [0, 2, 2, 0, 2, 2]);
        let candidates = candidates(&[1, 1]);
        assert_eq!(pick(&Shares::of(&candidates), &candidates, &|_: &Candidate| false, 0), None);
    }
}
