//! Consistent hashing on a ring, with bounded load.
//!
//! Each endpoint has points on the ring by the hashes of its name, as many as its weight says; a key goes to
//! the next point after its own hash. An endpoint that leaves gives its keys to its neighbours and moves no
//! others. No endpoint takes more than 1.25 times its fair share of the requests in flight; what exceeds
//! it goes on to the next (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2016).

use crate::policy::Candidate;
use crate::siphash::{hash_key, mix};

/// Points for each step of weight: shares are then true to about 1/√512, 4 %.
const POINTS_PER_WEIGHT: u32 = 512;
/// Points of a ring: 1.5 MiB. Above it, every endpoint's are halved until they fit: those that remain stay
/// where they are, so that a pool that grows past a bound moves few keys.
const POINTS_MAX: u64 = 1 << 17;
/// How much more than its fair share of the requests in flight an endpoint may have.
const LOAD_BOUND: f64 = 1.25;

/// The points of all candidates.
#[derive(Debug)]
pub(crate) struct Ring {
    /// In ascending order.
    points: Vec<Point>,
    /// For each of the ring's equal parts, the first point in or after it; as many parts as points, rounded
    /// up to a power of two, so that a search is one look and a step or two.
    parts: Vec<u32>,
    weight_total: u64,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    at: u64,
    candidate: u32,
}

impl Ring {
    /// `unit` is what one step of configured weight has become in the candidates' weights.
    pub(crate) fn of(candidates: &[Candidate], unit: u32) -> Self {
        let weight_total = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
        let mut halved = 0;
        while points_of(weight_total, unit, halved) > POINTS_MAX && halved < POINTS_PER_WEIGHT.ilog2() + 10 {
            halved += 1;
        }
        let mut points = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let seed = hash_key(candidate.endpoint.name().as_bytes());
            let count = points_of(u64::from(candidate.weight), unit, halved).max(1);
            points.extend((0..count).map(|number| Point {
                at: mix(seed ^ mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15))),
                candidate: index as u32,
            }));
        }
        points.sort_unstable_by_key(|point| (point.at, point.candidate));
        Self { parts: parts_of(&points), points, weight_total }
    }

    /// The number of the first point at or after `hash`, going round at the end.
    fn seek(&self, hash: u64) -> usize {
        let part = hash >> (64 - self.parts.len().ilog2());
        let start = self.parts[part as usize] as usize;
        let steps = self.points[start..].iter().take_while(|point| point.at < hash).count();
        if start + steps == self.points.len() { 0 } else { start + steps }
    }

    fn walk(&self, from: usize) -> impl Iterator<Item = usize> {
        self.points[from..].iter().chain(&self.points[..from]).map(|point| point.candidate as usize)
    }
}

fn points_of(weight: u64, unit: u32, halved: u32) -> u64 {
    (weight * u64::from(POINTS_PER_WEIGHT) / u64::from(unit)) >> halved
}

fn parts_of(points: &[Point]) -> Vec<u32> {
    let count = points.len().next_power_of_two().max(2);
    let width = 64 - count.ilog2();
    let mut parts = Vec::with_capacity(count);
    let mut next = 0;
    for part in 0..count as u64 {
        while next < points.len() && points[next].at >> width < part {
            next += 1;
        }
        parts.push(next as u32);
    }
    parts
}

/// The first usable candidate from the key's place on, that is within its bound of the load.
pub(crate) fn pick(
    ring: &Ring,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    hash: u64,
) -> Option<usize> {
    let from = ring.seek(mix(hash));
    let first = ring.points[from].candidate as usize;
    // An idle endpoint is within any bound, so that mostly nothing needs to be summed up.
    if usable(&candidates[first]) && candidates[first].endpoint.inflight() == 0 {
        return Some(first);
    }
    let inflight: u64 = candidates.iter().map(|candidate| candidate.endpoint.inflight()).sum();
    let within = |candidate: &Candidate| {
        let share = f64::from(candidate.weight) / ring.weight_total as f64;
        (candidate.endpoint.inflight() + 1) as f64 <= (LOAD_BOUND * (inflight + 1) as f64 * share).ceil()
    };
    // Somebody is below the fair share, so the walk ends early; when those are not usable, the bound gives way.
    let all = || ring.walk(from).filter(|index| usable(&candidates[*index]));
    all().find(|index| within(&candidates[*index])).or_else(|| all().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;

    const KEYS: u64 = 100_000;

    fn owners(candidates: &[Candidate]) -> Vec<String> {
        let ring = Ring::of(candidates, 1);
        let owner = |key: u64| {
            pick(&ring, candidates, &all, mix(key)).map(|index| candidates[index].endpoint.name().to_owned())
        };
        (0..KEYS).map(|key| owner(key).unwrap()).collect()
    }

    fn count(owners: &[String], weights: &[u32]) -> Vec<u64> {
        let count = |number| owners.iter().filter(|owner| **owner == format!("app-{number}")).count() as u64;
        (0..weights.len()).map(count).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        for weights in [vec![1, 1, 1, 1], vec![1, 2, 4], vec![100; 20]] {
            assert_close_to_weight(&count(&owners(&candidates(&weights)), &weights), &weights, 0.15);
        }
    }

    #[test]
    fn an_endpoint_that_leaves_moves_only_its_own_keys_and_takes_them_back() {
        let mut candidates = candidates(&[1, 2, 1, 3]);
        let before = owners(&candidates);
        let gone = candidates.remove(1);
        let without = owners(&candidates);
        let moved = before.iter().zip(&without).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| before == "app-1"));
        assert_eq!(moved.count(), before.iter().filter(|owner| *owner == "app-1").count());
        candidates.push(gone);
        assert_eq!(owners(&candidates), before, "the order of the file does not matter");
    }

    #[test]
    fn a_weight_that_grows_takes_keys_and_moves_no_others() {
        let before = owners(&candidates(&[1, 1, 1]));
        let after = owners(&candidates(&[1, 2, 1]));
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || after == "app-1"));
    }

    #[test]
    fn a_search_finds_the_first_point_at_or_after_the_hash() {
        let ring = Ring::of(&candidates(&[1, 1, 1]), 1);
        let points: Vec<u64> = ring.points.iter().map(|point| point.at).collect();
        let hashes = (0..50_000)
            .map(mix)
            .chain([0, u64::MAX])
            .chain(points.iter().flat_map(|at| [*at, at + 1, at - 1]));
        for hash in hashes {
            let expected = points.iter().position(|at| *at >= hash).unwrap_or(0);
            assert_eq!(ring.seek(hash), expected, "{hash:x}");
        }
    }

    #[test]
    fn no_endpoint_exceeds_its_bound_though_all_ask_for_one_key() {
        let candidates = candidates(&[1, 1, 2]);
        let ring = Ring::of(&candidates, 1);
        for _ in 0..1000 {
            load(&candidates[pick(&ring, &candidates, &all, 7).unwrap()], 1);
        }
        let inflight: Vec<u64> = candidates.iter().map(|candidate| candidate.endpoint.inflight()).collect();
        for (inflight, share) in inflight.iter().zip([0.25, 0.25, 0.5]) {
            assert!(*inflight as f64 <= (1000.0 * share * LOAD_BOUND).ceil(), "{inflight:?}");
        }
        assert!(inflight.iter().any(|inflight| *inflight > 300), "the owner takes what it may: {inflight:?}");
    }

    #[test]
    fn a_ring_is_bounded_and_every_endpoint_is_on_it() {
        let candidates = candidates(&vec![1000; 300]);
        let ring = Ring::of(&candidates, 1);
        assert!(ring.points.len() as u64 <= POINTS_MAX);
        assert!((0..300).all(|index| ring.points.iter().any(|point| point.candidate == index)));
    }
}
