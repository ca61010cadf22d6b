//! `weighted`: one of the candidates, each as often as its weight says.
//!
//! For a client that keeps its choice this is weighted rendezvous hashing: client and candidate together make a number that is
//! exponentially distributed with the candidate's weight as its rate, and the least wins. The choice needs no memory, is the same on
//! every server that has the same file, and moves as few as possible: a candidate that goes gives its clients to the others, in
//! proportion; one whose weight rises only takes. Candidates are known by their names, so that the same pools in two routes get the
//! same clients.

use super::candidates::Set;

/// The candidate for this client.
#[inline]
pub(crate) fn kept(
    candidates: Set,
    weight: impl Fn(usize) -> u16,
    key: impl Fn(usize) -> u64,
    client: u64,
) -> Set {
    if candidates.len() < 2 {
        return candidates;
    }
    let client = mixed(client);
    let mut chosen = Set::EMPTY;
    let mut least = f64::INFINITY;
    for candidate in candidates.iter() {
        let hash = mixed(client.wrapping_add(key(candidate)));
        // In (0, 1): neither end can be reached, so the logarithm is finite and negative.
        let uniform = ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
        let weight = f64::from(effective(weight(candidate)));
        // −ln x ≥ 1 − x: most of many candidates have lost before the logarithm is taken, which costs more than all the rest.
        if 1.0 - uniform >= least * weight {
            continue;
        }
        let waits = -uniform.ln() / weight;
        if waits < least {
            (least, chosen) = (waits, Set::of(candidate));
        }
    }
    chosen
}

/// A candidate by chance.
#[inline]
pub(crate) fn drawn(candidates: Set, weight: impl Fn(usize) -> u16, draw: u64) -> Set {
    let total: u64 = candidates.iter().map(|candidate| u64::from(effective(weight(candidate)))).sum();
    let mut left = ((u128::from(mixed(draw)) * u128::from(total)) >> 64) as u64;
    for candidate in candidates.iter() {
        let own = u64::from(effective(weight(candidate)));
        if left < own {
            return Set::of(candidate);
        }
        left -= own;
    }
    Set::EMPTY
}

/// Weight 0 is only left where all have it: then all have the same.
#[inline]
fn effective(weight: u16) -> u16 {
    weight.max(1)
}

/// What a candidate is known by, as a number that is the same in every process.
pub(crate) fn key(label: &str, nth: u64) -> u64 {
    // FNV-1a, and then mixed: it is computed once, when the route is made.
    let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(hash.wrapping_add(nth))
}

/// The end of SplitMix64: every bit of the result depends on every bit of the number.
#[inline]
pub(crate) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLIENTS: u64 = 5_000;

    fn choices(candidates: Set, weights: &[u16]) -> Vec<usize> {
        let keys: Vec<u64> = (0..weights.len()).map(|nth| key(&format!("pool-{nth}"), 0)).collect();
        let choice = |client| kept(candidates, |at| weights[at], |at| keys[at], client);
        (0..CLIENTS).map(|client| choice(client).iter().next().expect("one is chosen")).collect()
    }

    /// How far from its share a candidate may be: six standard deviations of so many throws.
    fn is_share(times: usize, weight: u16, weights: &[u16]) -> bool {
        let share = f64::from(weight) / weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
        let expected = share * CLIENTS as f64;
        (times as f64 - expected).abs() <= 6.0 * (expected * (1.0 - share)).sqrt() + 4.0
    }

    #[test]
    fn with_no_weight_at_all_all_are_equal() {
        let chosen = choices(Set::first(3), &[0, 0, 0]);
        for candidate in 0..3 {
            let times = chosen.iter().filter(|chosen| **chosen == candidate).count();
            assert!(is_share(times, 1, &[1, 1, 1]), "{candidate}: {times}");
        }
        assert_eq!(drawn(Set::EMPTY, |_| 0, 9), Set::EMPTY);
        assert_eq!(kept(Set::EMPTY, |_| 0, |_| 0, 9), Set::EMPTY);
    }

    /// Other servers of the same zones, and other versions of this one, choose the same.
    #[test]
    fn the_choice_is_the_same_everywhere() {
        let chosen = choices(Set::first(3), &[1, 2, 3]);
        let first: String = chosen[..32].iter().map(usize::to_string).collect();
        assert_eq!(first, PINNED);
    }

    const PINNED: &str = "12021121221211221101021211012022";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn each_gets_its_share(weights in prop::collection::vec(1u16..1000, 2..7)) {
            let all = Set::first(weights.len());
            let chosen = choices(all, &weights);
            let mut throws = vec![0; weights.len()];
            for draw in 0..CLIENTS {
                throws[drawn(all, |at| weights[at], draw).iter().next().expect("one is drawn")] += 1;
            }
            for (candidate, weight) in weights.iter().enumerate() {
                let times = chosen.iter().filter(|chosen| **chosen == candidate).count();
                prop_assert!(is_share(times, *weight, &weights), "kept: {candidate}: {times} of {weights:?}");
                prop_assert!(is_share(throws[candidate], *weight, &weights), "drawn: {throws:?} of {weights:?}");
            }
        }

        #[test]
        fn a_candidate_that_goes_moves_nobody_elses_clients(
            weights in prop::collection::vec(1u16..1000, 2..7),
            gone in any::<prop::sample::Index>(),
        ) {
            let gone = gone.index(weights.len());
            let all = Set::first(weights.len());
            let (before, after) = (choices(all, &weights), choices(all.without(Set::of(gone)), &weights));
            for (before, after) in before.into_iter().zip(after) {
                prop_assert!(before == after || before == gone);
                prop_assert_ne!(after, gone);
            }
        }

        #[test]
        fn a_weight_that_rises_only_takes(
            weights in prop::collection::vec(1u16..1000, 2..7),
            raised in any::<prop::sample::Index>(),
            by in 1u16..1000,
        ) {
            let raised = raised.index(weights.len());
            let mut more = weights.clone();
            more[raised] += by;
            let all = Set::first(weights.len());
            for (before, after) in choices(all, &weights).into_iter().zip(choices(all, &more)) {
                prop_assert!(before == after || after == raised);
            }
        }
    }
}
