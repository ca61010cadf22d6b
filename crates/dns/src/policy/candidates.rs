//! Which candidates of a route are left: one bit each, in the order of the file.

/// Candidates that a route can have.
pub(crate) const CANDIDATES_MAX: usize = 64;

/// A set of candidates by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Set(u64);

impl Set {
    pub(crate) const EMPTY: Self = Self(0);

    /// The first so many.
    pub(crate) fn first(count: usize) -> Self {
        assert!(count <= CANDIDATES_MAX, "a route has {CANDIDATES_MAX} candidates at most");
        Self(if count == CANDIDATES_MAX { u64::MAX } else { (1 << count) - 1 })
    }

    pub(crate) fn of(candidate: usize) -> Self {
        Self(1 << candidate)
    }

    /// As a number: one bit for each.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    #[inline]
    #[must_use]
    pub(crate) fn with(self, candidate: usize) -> Self {
        Self(self.0 | 1 << candidate)
    }

    /// Those for which it holds.
    #[inline]
    #[must_use]
    pub(crate) fn filter(self, mut holds: impl FnMut(usize) -> bool) -> Self {
        self.iter().filter(|candidate| holds(*candidate)).fold(Self::EMPTY, Self::with)
    }

    /// This, or if nothing is in it the other.
    #[inline]
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        if self.is_empty() { other } else { self }
    }

    #[inline]
    #[must_use]
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// In the order of the file.
    #[inline]
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = left.trailing_zeros() as usize;
            // Takes away the lowest bit.
            left &= left.checked_sub(1)?;
            Some(next)
        })
    }

    /// In the order of the file, but beginning at the candidate of this rank (from 0, modulo how many there are).
    #[inline]
    pub(crate) fn iter_from(self, rank: usize) -> impl Iterator<Item = usize> {
        let skipped = if self.is_empty() { 0 } else { rank % self.len() };
        self.iter().skip(skipped).chain(self.iter().take(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_who_is_in_it_in_order() {
        let set = Set::of(63).with(0).with(5);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!(set.iter_from(4).collect::<Vec<_>>(), [5, 63, 0]);
        assert_eq!(set.len(), 3);
        assert_eq!(Set::first(64).len(), 64);
        assert_eq!(Set::EMPTY.iter_from(3).count(), 0);
        assert_eq!(set.filter(|candidate| candidate > 3).iter().collect::<Vec<_>>(), [5, 63]);
        assert_eq!(Set::EMPTY.or(set), set);
    }
}
