//! What only ever grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sys::PerCore;

/// A number that only grows. Clones count into the same series.
#[derive(Debug, Clone)]
pub struct Counter(Arc<PerCore<AtomicU64>>);

impl Counter {
    /// Counts one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `count`.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.mine().fetch_add(count, Ordering::Relaxed);
    }

    /// The count over all cores.
    pub fn get(&self) -> u64 {
        total(&self.0)
    }

    pub(super) fn new() -> Self {
        Self(Arc::new(PerCore::new(AtomicU64::default)))
    }

    pub(super) fn core(&self) -> &Arc<PerCore<AtomicU64>> {
        &self.0
    }

    pub(super) fn of(core: Arc<PerCore<AtomicU64>>) -> Self {
        Self(core)
    }
}

pub(super) fn total(core: &PerCore<AtomicU64>) -> u64 {
    core.iter().fold(0, |sum, shard| sum.wrapping_add(shard.load(Ordering::Relaxed)))
}
