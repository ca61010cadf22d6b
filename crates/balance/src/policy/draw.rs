//! Drawing candidates by weight.

use crate::policy::Candidate;
use rand::{Rng, RngExt};

/// The candidates' weights, summed up so that a draw is one random number and one search.
#[derive(Debug)]
pub(crate) struct Shares {
    /// The sums of the weights up to and with each candidate; the weights are reduced by their common divisor.
    ends: Vec<u32>,
    even: bool,
    mean: f64,
}

impl Shares {
    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        let divisor =
            candidates.iter().fold(0, |divisor, candidate| common_divisor(divisor, candidate.weight)).max(1);
        let ends = candidates.iter().scan(0u32, |sum, candidate| {
            *sum = sum.saturating_add(candidate.weight / divisor);
            Some(*sum)
        });
        let sum: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
        Self {
            ends: ends.collect(),
            even: candidates.windows(2).all(|pair| pair[0].weight == pair[1].weight),
            mean: sum / candidates.len().max(1) as f64,
        }
    }

    /// The mean of the weights, as they were given.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// The sum of all weights, in whole steps of their common divisor.
    pub(crate) fn total(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The candidate whose share holds this point, below [`total`](Self::total).
    pub(crate) fn at(&self, point: u32) -> usize {
        if self.even { point as usize } else { self.ends.partition_point(|end| *end <= point) }
    }

    /// One of all.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> usize {
        self.at(rng.random_range(0..self.total()))
    }

    /// One of all but `first`, of which there must be one.
    pub(crate) fn draw_other(&self, first: usize, rng: &mut impl Rng) -> usize {
        let (begin, end) = self.range(first);
        let point = rng.random_range(0..self.total() - (end - begin));
        self.at(if point < begin { point } else { point + (end - begin) })
    }

    /// One of the usable but `except`, if there is one.
    pub(crate) fn draw_usable(
        &self,
        candidates: &[Candidate],
        usable: &impl Fn(&Candidate) -> bool,
        except: Option<usize>,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        const TRIES: usize = 2;
        let fits = |index: usize| Some(index) != except && usable(&candidates[index]);
        for _ in 0..TRIES {
            let drawn = self.draw(rng);
            if fits(drawn) {
                return Some(drawn);
            }
        }
        // Reservoir sampling: each usable one replaces the one before with its share of the sum so far.
        let (mut chosen, mut sum) = (None, 0);
        for index in (0..candidates.len()).filter(|index| fits(*index)) {
            let (begin, end) = self.range(index);
            sum += end - begin;
            if rng.random_range(0..sum) < end - begin {
                chosen = Some(index);
            }
        }
        chosen
    }

    fn range(&self, index: usize) -> (u32, u32) {
        (if index == 0 { 0 } else { self.ends[index - 1] }, self.ends[index])
    }
}

/// Two different usable candidates by weight, or the only one.
pub(crate) fn draw_two(
    shares: &Shares,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    rng: &mut impl Rng,
) -> Option<(usize, Option<usize>)> {
    let first = shares.draw(rng);
    if candidates.len() == 1 {
        return usable(&candidates[first]).then_some((first, None));
    }
    let second = shares.draw_other(first, rng);
    if usable(&candidates[first]) && usable(&candidates[second]) {
        return Some((first, Some(second)));
    }
    let first = shares.draw_usable(candidates, usable, None, rng)?;
    Some((first, shares.draw_usable(candidates, usable, Some(first), rng)))
}

pub(crate) fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;

    #[test]
    fn a_second_draw_is_another_candidate_by_the_weights_that_are_left() {
        let (weights, mut rng) = ([5, 1, 3], rng());
        let candidates = candidates(&weights);
        let shares = Shares::of(&candidates);
        let others = counts(3, 20_000, || Some(shares.draw_other(0, &mut rng)));
        assert_eq!(others[0], 0);
        assert_by_weight(&others[1..], &weights[1..]);
    }

    #[test]
    fn the_usable_are_drawn_by_their_weights() {
        let (weights, mut rng) = ([90, 1, 3], rng());
        let candidates = candidates(&weights);
        let shares = Shares::of(&candidates);
        let usable = but("app-0");
        let drawn = counts(3, 20_000, || shares.draw_usable(&candidates, &usable, None, &mut rng));
        assert_eq!(drawn[0], 0);
        assert_by_weight(&drawn[1..], &weights[1..]);
        assert_eq!(shares.draw_usable(&candidates, &|_: &Candidate| false, None, &mut rng), None);
    }

    #[test]
    fn two_draws_differ_and_one_alone_is_alone() {
        let (candidates, mut rng) = (candidates(&[1, 1, 1]), rng());
        let shares = Shares::of(&candidates);
        for _ in 0..1000 {
            let (first, second) = draw_two(&shares, &candidates, &all, &mut rng).unwrap();
            assert_ne!(Some(first), second);
        }
        let only = |candidate: &Candidate| candidate.endpoint.name() == "app-2";
        assert_eq!(draw_two(&shares, &candidates, &only, &mut rng), Some((2, None)));
    }
}
