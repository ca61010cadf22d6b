//! How values are spread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use sys::PerCore;

/// Upper bounds in seconds for times between half a millisecond and a minute.
pub const LATENCY_BOUNDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How often a value fell under each bound. Clones count into the same series.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Core>);

#[derive(Debug)]
pub(super) struct Core {
    pub(super) bounds: &'static [f64],
    shards: PerCore<Shard>,
}

#[derive(Debug)]
struct Shard {
    /// One for each bound, not cumulative, and one for what is above them all.
    buckets: Box<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

/// The figures over all cores.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    pub(super) buckets: Vec<u64>,
    pub(super) sum: f64,
}

impl Histogram {
    /// Counts a length of time, in seconds.
    #[inline]
    pub fn observe(&self, time: Duration) {
        self.observe_value(time.as_secs_f64());
    }

    /// Counts a value. What is not a number is not counted.
    #[inline]
    pub fn observe_value(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let shard = self.0.shards.mine();
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        shard.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let mut seen = shard.sum.load(Ordering::Relaxed);
        loop {
            let new = (f64::from_bits(seen) + value).to_bits();
            match shard.sum.compare_exchange_weak(seen, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => seen = current,
            }
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.0.figures().buckets.iter().sum()
    }

    pub(super) fn new(bounds: &'static [f64]) -> Self {
        assert!(bounds.is_sorted_by(|a, b| a < b), "the bounds of a histogram rise");
        let shard = || Shard {
            buckets: (0..=bounds.len()).map(|_| AtomicU64::default()).collect(),
            sum: AtomicU64::default(),
        };
        Self(Arc::new(Core { bounds, shards: PerCore::new(shard) }))
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    pub(super) fn of(core: Arc<Core>) -> Self {
        Self(core)
    }
}

impl Core {
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures { buckets: vec![0; self.bounds.len() + 1], sum: 0.0 };
        for shard in self.shards.iter() {
            for (total, bucket) in figures.buckets.iter_mut().zip(&shard.buckets) {
                *total += bucket.load(Ordering::Relaxed);
            }
            figures.sum += f64::from_bits(shard.sum.load(Ordering::Relaxed));
        }
        figures
    }
}
