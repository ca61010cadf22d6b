//! `multivalue`: several at once, so that a client has another to try.

use super::candidates::Set;
use super::weighted::mixed;

/// So many of the candidates, each set of them as likely as any other.
#[inline]
pub(crate) fn some(candidates: Set, values_max: usize, draw: u64) -> Set {
    let mut left = candidates;
    let mut state = draw;
    // Dropping at random until few enough are left; mostly none has to go.
    while left.len() > values_max {
        state = mixed(state);
        // The high half times a small number: no division, and no bias that could be seen.
        let rank = (((state >> 32) * left.len() as u64) >> 32) as usize;
        let Some(dropped) = left.iter().nth(rank) else { break };
        left = left.without(Set::of(dropped));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_are_answered_and_each_as_often() {
        let all = Set::first(12);
        let mut seen = [0u32; 12];
        for draw in 0..12_000 {
            let some = some(all, 3, mixed(draw));
            assert_eq!(some.len(), 3);
            some.iter().for_each(|candidate| seen[candidate] += 1);
        }
        // 3000 each; six standard deviations are about 285.
        assert!(seen.iter().all(|times| (2700..3300).contains(times)), "{seen:?}");
        assert_eq!(some(Set::of(3).with(9), 3, 7), Set::of(3).with(9));
        assert_eq!(some(Set::EMPTY, 3, 7), Set::EMPTY);
    }
}
