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
