//! Counters, gauges and histograms, and how Prometheus reads them.

mod counter;
mod gauge;
mod histogram;
mod registry;
mod render;

pub use counter::Counter;
pub use gauge::Gauge;
pub use histogram::{Histogram, LATENCY_BOUNDS};
pub use registry::{Hook, Registry};
