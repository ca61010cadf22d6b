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
