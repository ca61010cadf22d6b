//! One after the other, weights spread evenly: with weights 5, 1, 1 the turns are a a b a c a a.
//!
//! The rule is nginx's smooth weighted round-robin: at each turn every candidate's credit grows by its
//! weight; the one with the most is chosen and pays the sum of all. It returns to its beginning after as
//! many turns as the sum of the weights, so the sequence is worked out once per change of the pool, and
//! the cores walk it with one shared counter.

use crate::policy::Candidate;
use crate::policy::draw::common_divisor;

/// The longest sequence times the number of candidates: the steps of one build, about a millisecond.
const STEPS_MAX: u64 = 1 << 20;

/// The order of turns.
#[derive(Debug)]
pub(crate) struct Sequence(Vec<u32>);

impl Sequence {
    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        let weights = scaled(candidates);
        let total: u64 = weights.iter().sum();
        let mut credit = vec![0i64; weights.len()];
        let turns = (0..total).map(|_| {
            let mut richest = 0;
            for (index, weight) in weights.iter().enumerate() {
                credit[index] += *weight as i64;
                if credit[index] > credit[richest] {
                    richest = index;
                }
            }
            credit[richest] -= total as i64;
            richest as u32
        });
        Self(turns.collect())
    }
}

/// The weights reduced by their common divisor, and below that to what [`STEPS_MAX`] allows.
fn scaled(candidates: &[Candidate]) -> Vec<u64> {
    let divisor =
        candidates.iter().fold(0, |divisor, candidate| common_divisor(divisor, candidate.weight)).max(1);
    let weights: Vec<u64> =
        candidates.iter().map(|candidate| u64::from(candidate.weight / divisor)).collect();
    let total: u64 = weights.iter().sum();
    let total_max = (STEPS_MAX / weights.len().max(1) as u64).max(weights.len() as u64);
    if total <= total_max {
        return weights;
    }
    weights.iter().map(|weight| (weight * total_max / total).max(1)).collect()
}

/// The candidate whose turn it is, or the first usable one in the turns after it.
pub(crate) fn pick(
    sequence: &Sequence,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    turn: u64,
) -> Option<usize> {
    let turns = &sequence.0;
    let due = (turn % turns.len() as u64) as usize;
    let candidate = turns[due] as usize;
    if usable(&candidates[candidate]) {
        return Some(candidate);
    }
    turns[due..]
        .iter()
        .chain(&turns[..due])
        .map(|index| *index as usize)
        .find(|index| usable(&candidates[*index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;
    use proptest::prelude::*;

    #[test]
    fn weights_are_spread_evenly() {
        let candidates = candidates(&[5, 1, 1]);
        let sequence = Sequence::of(&candidates);
        let turns: Vec<usize> =
            (0..8).map(|turn| pick(&sequence, &candidates, &all, turn).unwrap()).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0, 0], "nginx's own example");
    }

    #[test]
    fn a_sequence_is_bounded_whatever_the_weights() {
        let weights: Vec<u32> = (0..500).map(|number| 9973 - number * 7).collect();
        let candidates = candidates(&weights);
        let sequence = Sequence::of(&candidates);
        assert!(sequence.0.len() as u64 * 500 <= STEPS_MAX + 500 * 500);
        let counts = counts(500, sequence.0.len(), {
            let mut turn = 0;
            move || {
                turn += 1;
                pick(&sequence, &candidates, &all, turn)
            }
        });
        assert!(counts.iter().all(|count| *count > 0), "everyone has a turn");
    }

    #[test]
    fn one_that_may_not_be_used_is_passed_over() {
        let candidates = candidates(&[2, 1]);
        let sequence = Sequence::of(&candidates);
        assert!((0..9).all(|turn| pick(&sequence, &candidates, &but("app-0"), turn) == Some(1)));
        assert_eq!(pick(&sequence, &candidates, &|_: &Candidate| false, 0), None);
    }

    proptest! {
        #[test]
        fn a_round_gives_each_exactly_its_weight(weights in prop::collection::vec(1u32..40, 1..8)) {
            let candidates = candidates(&weights);
            let sequence = Sequence::of(&candidates);
            let divisor = weights.iter().copied().fold(0, common_divisor);
            for (index, weight) in weights.iter().enumerate() {
                let turns = sequence.0.iter().filter(|turn| **turn as usize == index).count();
                prop_assert_eq!(turns as u32, weight / divisor);
            }
        }
    }
}
