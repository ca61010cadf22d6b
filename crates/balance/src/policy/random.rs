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
