//! `nearest`: the candidates of the place that is nearest to the client's.

use super::candidates::Set;

/// Those with the least rank: how near their place is, seen from where the client is.
#[inline]
pub(crate) fn left(candidates: Set, rank: impl Fn(usize) -> u16) -> Set {
    let mut least = u16::MAX;
    let mut left = Set::EMPTY;
    for candidate in candidates.iter() {
        let rank = rank(candidate);
        if rank < least {
            (least, left) = (rank, Set::EMPTY);
        }
        if rank == least {
            left = left.with(candidate);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_nearest_place_are_left() {
        let ranks = [2, 1, 1, 0];
        let left = |candidates| left(candidates, |candidate| ranks[candidate]);
        assert_eq!(left(Set::first(4)), Set::of(3));
        assert_eq!(left(Set::first(3)), Set::of(1).with(2));
        assert_eq!(left(Set::of(0)), Set::of(0));
        assert_eq!(left(Set::EMPTY), Set::EMPTY);
    }
}
