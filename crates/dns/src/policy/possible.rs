//! Which sets of candidates a route can choose: finite, so that each may be signed before it is asked for.

use super::candidates::Set;
use super::chain::Step;
use super::route::Policy;

/// Sets of candidates that a route of a signed zone may choose between: each is one RRset for A and one for AAAA, with signatures.
const SETS_MAX: usize = 256;

impl Policy {
    /// All sets that can be chosen; or how many there are, if that is more than [`SETS_MAX`].
    pub(crate) fn possible(&self) -> Result<Vec<Set>, u128> {
        let all = Set::first(self.candidates.len());
        let size_max = match self.steps.last() {
            Some(Step::Weighted | Step::Failover) => 1,
            Some(Step::Multivalue) => self.values_max,
            _ => all.len(),
        };
        if self.steps.contains(&Step::Healthy) {
            return of_sizes(all, 1..=size_max.min(all.len()));
        }
        // Without health nothing is dropped but by places, weights, and the last step.
        let mut sets = vec![all];
        for step in &self.steps {
            let mut next = Vec::new();
            for set in sets {
                self.after(*step, set, &mut next)?;
            }
            next.sort_unstable_by_key(|set| set.bits());
            next.dedup();
            if next.len() > SETS_MAX {
                return Err(next.len() as u128);
            }
            sets = next;
        }
        Ok(sets)
    }

    /// What a step can leave of a set.
    fn after(&self, step: Step, set: Set, next: &mut Vec<Set>) -> Result<(), u128> {
        match step {
            Step::Healthy => next.push(set),
            Step::Maintenance => next.push(set.filter(|at| self.candidates[at].weight > 0).or(set)),
            Step::Nearest => {
                next.push(set);
                for candidate in set.iter() {
                    let place = self.candidates[candidate].place;
                    next.push(set.filter(|at| self.candidates[at].place == place));
                }
            }
            Step::Weighted => next.extend(set.iter().map(Set::of)),
            Step::Failover => next.extend(set.iter().take(1).map(Set::of)),
            Step::Multivalue => {
                let size = self.values_max.min(set.len());
                next.extend(of_sizes(set, size..=size)?);
            }
        }
        Ok(())
    }
}

/// All subsets of these sizes.
fn of_sizes(all: Set, sizes: std::ops::RangeInclusive<usize>) -> Result<Vec<Set>, u128> {
    let count: u128 = sizes.clone().map(|size| choices(all.len(), size)).sum();
    if count > SETS_MAX as u128 {
        return Err(count);
    }
    let members: Vec<usize> = all.iter().collect();
    // Subsets that end with each member, one size after the other.
    let mut of_size: Vec<(Set, usize)> = vec![(Set::EMPTY, 0)];
    let mut found = Vec::new();
    for size in 1..=*sizes.end() {
        let grown = of_size.iter().flat_map(|(set, from)| {
            members.iter().enumerate().skip(*from).map(|(at, member)| (set.with(*member), at + 1))
        });
        of_size = grown.collect();
        if sizes.contains(&size) {
            found.extend(of_size.iter().map(|(set, _)| *set));
        }
    }
    Ok(found)
}

/// How many subsets of this size there are.
fn choices(of: usize, size: usize) -> u128 {
    (0..size).fold(1, |count, nth| count * (of - nth) as u128 / (nth as u128 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_all_there_each_once() {
        let all = of_sizes(Set::first(8), 1..=8).unwrap();
        let mut bits: Vec<u64> = all.iter().map(|set| set.bits()).collect();
        bits.sort_unstable();
        assert_eq!(bits, (1..256).collect::<Vec<u64>>());
        let pairs = of_sizes(Set::of(3).with(9).with(40), 2..=2).unwrap();
        assert_eq!(pairs.len(), 3);
        assert_eq!(of_sizes(Set::first(9), 1..=9), Err(511));
        assert_eq!(of_sizes(Set::first(64), 1..=64), Err(u128::from(u64::MAX)));
    }
}
