//! The last differences of a zone, for those who have one of its last states.

use super::Difference;
use std::collections::VecDeque;
use std::sync::Arc;

/// States of a zone that can be told the difference to.
const DIFFERENCES_MAX: usize = 100;
/// Octets that differences of a zone take at most.
const BYTES_MAX: usize = 16 << 20;

/// The last differences, each from where the one before it ended.
#[derive(Debug, Default)]
pub(crate) struct History {
    differences: VecDeque<(Arc<Difference>, usize)>,
    bytes: usize,
}

impl History {
    /// Adds the newest; the oldest give way.
    pub(crate) fn push(&mut self, difference: Difference) {
        if self.differences.back().is_some_and(|(last, _)| last.to != difference.from) {
            *self = Self::default();
        }
        let bytes = difference.bytes();
        self.bytes += bytes;
        self.differences.push_back((Arc::new(difference), bytes));
        while self.differences.len() > DIFFERENCES_MAX || self.bytes > BYTES_MAX {
            let Some((_, bytes)) = self.differences.pop_front() else { break };
            self.bytes -= bytes;
        }
    }

    /// The differences that lead from one serial number to another, if all of them are there.
    pub(crate) fn between(&self, from: u32, to: u32) -> Option<Vec<Arc<Difference>>> {
        // A serial number that comes twice has two histories; the later one is right.
        let first = self.differences.iter().rposition(|(difference, _)| difference.from == from)?;
        let last = self.differences.iter().rposition(|(difference, _)| difference.to == to)?;
        let all =
            self.differences.range(first..=last.max(first)).map(|(difference, _)| Arc::clone(difference));
        (first <= last).then(|| all.collect())
    }

    /// Octets of the differences, about.
    pub(crate) fn bytes_of(differences: &[Arc<Difference>]) -> usize {
        differences.iter().map(|difference| difference.bytes()).sum()
    }
}
