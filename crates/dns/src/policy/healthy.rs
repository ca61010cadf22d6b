//! `healthy`: who may be chosen at all.

use super::candidates::Set;

/// Those that are up. Empty if none is: what happens then is the route's `when_down`.
#[inline]
pub(crate) fn left(candidates: Set, is_up: impl FnMut(usize) -> bool) -> Set {
    candidates.filter(is_up)
}
