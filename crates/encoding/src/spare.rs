//! Contexts that wait for the next body, per thread.

use crate::Coding;
use crate::context::Context;
use std::cell::RefCell;

/// Contexts that a thread keeps; one more is freed.
const SPARE_MAX: usize = 4;

/// A larger context is freed: only the highest levels of zstd have one.
const SPARE_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static SPARE: RefCell<Vec<Context>> = const { RefCell::new(Vec::new()) };
}

/// A spare context for that coding, the last used first: its tables are warm.
pub(crate) fn take(coding: Coding) -> Option<Context> {
    SPARE
        .try_with(|spare| {
            let mut spare = spare.borrow_mut();
            let at = spare.iter().rposition(|context| context.coding() == coding)?;
            Some(spare.remove(at))
        })
        .ok()
        .flatten()
}

/// Keeps a context for the next body, if there is room and it can begin anew.
pub(crate) fn give(context: Context) {
    let kept = |spare: &RefCell<Vec<Context>>| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX && context.reusable_bytes().is_some_and(|bytes| bytes <= SPARE_BYTES_MAX) {
            spare.push(context);
        }
    };
    // While the thread ends there is nothing left to keep it in, and it is freed.
    let _ = SPARE.try_with(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoder;

    fn spare_count() -> usize {
        SPARE.with(|spare| spare.borrow().len())
    }

    #[test]
    fn no_more_than_the_bound_are_kept() {
        let lent: Vec<_> =
            (0..SPARE_MAX + 3).map(|_| Encoder::lend(Coding::Zstd, 3, None).unwrap()).collect();
        assert_eq!(spare_count(), 0);
        drop(lent);
        assert_eq!(spare_count(), SPARE_MAX);
        let again = Encoder::lend(Coding::Zstd, 3, None).unwrap();
        assert_eq!(spare_count(), SPARE_MAX - 1);
        let others = [(Coding::Br, 3), (Coding::Gzip, 4)]
            .map(|(coding, level)| Encoder::lend(coding, level, None).unwrap());
        assert_eq!(spare_count(), SPARE_MAX - 1, "none of them is spare");
        drop((again, others));
        assert_eq!(spare_count(), SPARE_MAX);
    }

    #[test]
    fn large_ones_are_not_kept() {
        let mut out = Vec::new();
        let mut large = Encoder::lend(Coding::Zstd, 9, None).unwrap();
        large.push(&[b'a'; 1000], &mut out).unwrap();
        large.finish(&mut out).unwrap();
        drop(large);
        assert_eq!(spare_count(), 0);
        let mut usual = Encoder::lend(Coding::Zstd, 3, None).unwrap();
        usual.push(&[b'a'; 1000], &mut out).unwrap();
        drop(usual);
        assert_eq!(spare_count(), 1);
    }
}
