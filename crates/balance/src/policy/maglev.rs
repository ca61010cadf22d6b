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
