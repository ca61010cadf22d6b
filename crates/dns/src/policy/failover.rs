//! `failover`: the first in the order of the file.

use super::candidates::Set;

#[inline]
pub(crate) fn first(candidates: Set) -> Set {
    candidates.iter().next().map_or(Set::EMPTY, Set::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_left_is_chosen() {
        assert_eq!(first(Set::of(4).with(2).with(7)), Set::of(2));
        assert_eq!(first(Set::EMPTY), Set::EMPTY);
    }
}
