//! Weight 0: a candidate that is out for maintenance. It is dropped before `nearest`, so that its clients go to the next place, and
//! is only used when no other is left, as with Route 53.

use super::candidates::Set;

/// Those that have a weight; all if none has.
#[inline]
pub(crate) fn left(candidates: Set, weight: impl Fn(usize) -> u16) -> Set {
    candidates.filter(|candidate| weight(candidate) > 0).or(candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_weight_stands_in_for_nobody_unless_it_is_all_there_is() {
        let weights = [0, 3, 0, 1];
        let left = |candidates| left(candidates, |candidate| weights[candidate]);
        assert_eq!(left(Set::first(4)), Set::of(1).with(3));
        assert_eq!(left(Set::of(0).with(2)), Set::of(0).with(2));
    }
}
