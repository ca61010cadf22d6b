//! What goes up and down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up and down. Clones share the same series.
///
/// It is one value for all cores: what changes with every request belongs in a counter, or is set by a
/// hook at each rendering.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let new = (f64::from_bits(seen) + change as f64).to_bits();
            match self.0.compare_exchange_weak(seen, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => seen = current,
            }
        }
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// What it is now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn core(&self) -> &Arc<AtomicU64> {
        &self.0
    }

    pub(super) fn of(core: Arc<AtomicU64>) -> Self {
        Self(core)
    }
}
