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
