//! Consistent hashing by Maglev's lookup table (Eisenbud et al., NSDI 2016, §3.4): a choice is one look, the
//! shares are true to a fraction of a percent, and a change moves few keys besides those it must.

use crate::policy::Candidate;
use crate::siphash::{hash_key, mix};

/// The table's places, a prime: the paper's small size. Larger pools take the large one, so that each
/// endpoint still has a hundred places.
const PLACES: u32 = 65_537;
const PLACES_LARGE: u32 = 655_373;

/// Which candidate each hash belongs to.
#[derive(Debug)]
pub(crate) struct Table(Vec<u32>);

const EMPTY: u32 = u32::MAX;

/// A candidate's way through the table: it takes the first free place on it at each of its turns.
struct Way {
    next: u32,
    skip: u32,
    weight: u64,
    /// Turns count by weight: the heaviest has one in every round, the others when their credit is full.
    credit: u64,
}

impl Table {
    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        let size = if candidates.len() * 100 > PLACES as usize { PLACES_LARGE } else { PLACES };
        let mut places = vec![EMPTY; size as usize];
        let mut ways: Vec<Way> = candidates.iter().map(|candidate| way(candidate, size)).collect();
        let heaviest = ways.iter().map(|way| way.weight).max().unwrap_or(1);
        // Who goes first must not depend on the order of the file.
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|index| candidates[*index].endpoint.name());
        let mut free = size;
        while free > 0 && !ways.is_empty() {
            for &index in &order {
                let way = &mut ways[index];
                way.credit += way.weight;
                if way.credit < heaviest {
                    continue;
                }
                way.credit -= heaviest;
                let place = first_free(&places, way, size);
                places[place as usize] = index as u32;
                free -= 1;
                if free == 0 {
                    break;
                }
            }
        }
        Self(places)
    }

    /// The candidate of a hash.
    pub(crate) fn at(&self, hash: u64) -> usize {
        self.0[(mix(hash) % self.0.len() as u64) as usize] as usize
    }
}

fn way(candidate: &Candidate, size: u32) -> Way {
    let hash = hash_key(candidate.endpoint.name().as_bytes());
    Way {
        next: (hash % u64::from(size)) as u32,
        skip: (mix(hash) % u64::from(size - 1)) as u32 + 1,
        weight: u64::from(candidate.weight),
        credit: 0,
    }
}

fn first_free(places: &[u32], way: &mut Way, size: u32) -> u32 {
    loop {
        let place = way.next;
        way.next = (way.next + way.skip) % size;
        if places[place as usize] == EMPTY {
            return place;
        }
    }
}

/// The candidate of the hash; when it is not usable, that of the hash's hash, and so on: what one endpoint
/// cannot take is spread over all others, and each key always has the same second choice.
pub(crate) fn pick(
    table: &Table,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    hash: u64,
) -> Option<usize> {
    const TRIES: usize = 8;
    let mut hash = hash;
    for _ in 0..TRIES {
        let index = table.at(hash);
        if usable(&candidates[index]) {
            return Some(index);
        }
        hash = mix(hash.wrapping_add(0x9e37_79b9_7f4a_7c15));
    }
    let last = table.at(hash);
    (last..candidates.len()).chain(0..last).find(|index| usable(&candidates[*index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;

    fn owners(candidates: &[Candidate]) -> Vec<&str> {
        Table::of(candidates).0.iter().map(|index| candidates[*index as usize].endpoint.name()).collect()
    }

    fn count(owners: &[&str], weights: &[u32]) -> Vec<u64> {
        let count = |number| owners.iter().filter(|owner| **owner == format!("app-{number}")).count() as u64;
        (0..weights.len()).map(count).collect()
    }

    #[test]
    fn shares_follow_the_weights_closely() {
        for weights in [vec![1, 1, 1], vec![1, 2, 4], vec![5; 40], vec![7, 100, 3]] {
            let candidates = candidates(&weights);
            assert_close_to_weight(&count(&owners(&candidates), &weights), &weights, 0.01);
        }
    }

    #[test]
    fn an_endpoint_that_leaves_moves_few_keys_besides_its_own() {
        let before = candidates(&[1; 10]);
        let after: Vec<Candidate> = before[1..].to_vec();
        let moved_without_need = owners(&before)
            .iter()
            .zip(owners(&after))
            .filter(|(before, after)| **before != "app-0" && *before != after)
            .count();
        // The paper's figure 12 shows a few percent for so small a pool and table.
        assert!((moved_without_need as f64) < 0.1 * f64::from(PLACES), "{moved_without_need}");
    }

    #[test]
    fn the_order_of_the_file_does_not_matter() {
        let mut candidates = candidates(&[3, 1, 2]);
        let before: Vec<String> = owners(&candidates).into_iter().map(str::to_owned).collect();
        candidates.reverse();
        assert_eq!(owners(&candidates), before);
    }

    #[test]
    fn what_one_cannot_take_is_spread_over_the_others_and_always_alike() {
        let candidates = candidates(&[1, 1, 1, 1]);
        let table = Table::of(&candidates);
        let usable = but("app-2");
        let mut counts = [0u64; 4];
        for key in 0..40_000u64 {
            let owner = pick(&table, &candidates, &all, key).unwrap();
            let stand_in = pick(&table, &candidates, &usable, key).unwrap();
            assert_eq!(pick(&table, &candidates, &usable, key), Some(stand_in));
            if owner != 2 {
                assert_eq!(stand_in, owner);
            } else {
                counts[stand_in] += 1;
            }
        }
        assert_eq!(counts[2], 0);
        assert_close_to_weight(&[counts[0], counts[1], counts[3]], &[1, 1, 1], 0.1);
        assert_eq!(pick(&table, &candidates, &|_: &Candidate| false, 1), None);
    }
}
