//! The steps of a choice, one after the other.

use super::candidates::Set;
use super::client::Client;
use super::config::{StepName, WhenDown};
use super::route::{Candidate, Chosen, Policy};
use super::{failover, healthy, maintenance, multivalue, nearest, weighted};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Healthy,
    /// Where there are weights: those that have none go first, and come back if no other is left.
    Maintenance,
    Nearest,
    Weighted,
    Failover,
    Multivalue,
}

impl Step {
    /// The steps of the file. Candidates under maintenance are dropped before `nearest` sees them, but not before `healthy`: they
    /// are better than what is down.
    pub(super) fn chain(names: &[StepName]) -> Box<[Self]> {
        let mut steps: Vec<Self> = names.iter().map(|name| Self::from(*name)).collect();
        if names.contains(&StepName::Weighted) {
            let after_healthy = usize::from(names.first() == Some(&StepName::Healthy));
            steps.insert(after_healthy, Self::Maintenance);
        }
        steps.into()
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => StepName::Healthy.as_str(),
            Self::Maintenance => "weight 0",
            Self::Nearest => StepName::Nearest.as_str(),
            Self::Weighted => StepName::Weighted.as_str(),
            Self::Failover => StepName::Failover.as_str(),
            Self::Multivalue => StepName::Multivalue.as_str(),
        }
    }
}

impl From<StepName> for Step {
    fn from(name: StepName) -> Self {
        match name {
            StepName::Healthy => Self::Healthy,
            StepName::Nearest => Self::Nearest,
            StepName::Weighted => Self::Weighted,
            StepName::Failover => Self::Failover,
            StepName::Multivalue => Self::Multivalue,
        }
    }
}

impl Policy {
    /// Who is chosen for a client, by this draw.
    #[inline]
    pub(crate) fn choose(&self, client: Client, draw: u64) -> Chosen {
        self.walk(client, draw, |_, _, _| {})
    }

    /// The same, while every step is shown: the candidates before and after it. Where `healthy` finds none, after it there are none,
    /// whatever comes of that.
    #[inline]
    pub(super) fn walk(&self, client: Client, draw: u64, mut seen: impl FnMut(Step, Set, Set)) -> Chosen {
        let mut left = Set::first(self.candidates.len());
        let mut bits = 0;
        for &step in &self.steps {
            let before = left;
            left = self.step(step, before, client, draw, &mut bits);
            seen(step, before, left);
            if left.is_empty() {
                // Only `healthy` drops all.
                match self.when_down {
                    WhenDown::ServeAll => left = before,
                    WhenDown::Servfail => break,
                }
            }
        }
        Chosen { candidates: left, bits }
    }

    #[inline]
    fn step(&self, step: Step, left: Set, client: Client, draw: u64, bits: &mut u8) -> Set {
        let weight = |candidate: usize| self.of(candidate).weight;
        match step {
            Step::Healthy => healthy::left(left, |candidate| self.of(candidate).is_up()),
            Step::Maintenance => maintenance::left(left, weight),
            Step::Nearest => self.nearest(left, client, bits),
            Step::Weighted if self.sticky => {
                let (subnet, subnet_bits) = client.subnet();
                if left.len() > 1 {
                    *bits = subnet_bits.max(*bits);
                }
                weighted::kept(left, weight, |candidate| self.of(candidate).key, subnet)
            }
            Step::Weighted => weighted::drawn(left, weight, draw),
            Step::Failover => failover::first(left),
            Step::Multivalue => multivalue::some(left, self.values_max, draw),
        }
    }

    /// Where there is something to choose: all candidates at one place are as near as each other, whoever asks.
    #[inline]
    fn nearest(&self, left: Set, client: Client, bits: &mut u8) -> Set {
        let mut places = left.iter().map(|candidate| self.of(candidate).place);
        let first = places.next();
        if places.all(|place| Some(place) == first) {
            return left;
        }
        let region = self.places.of_client(client.address());
        *bits = region.bits.max(*bits);
        match self.places.ranks_from(region.value) {
            Some(ranks) => nearest::left(left, |candidate| {
                ranks.get(usize::from(self.of(candidate).place)).copied().unwrap_or(u16::MAX)
            }),
            None => left,
        }
    }

    #[inline]
    pub(super) fn of(&self, candidate: usize) -> &Candidate {
        &self.candidates[candidate]
    }
}
