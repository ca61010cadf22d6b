//! One event in code becomes metrics, logs and traces.
//!
//! A tier counts into handles of a [`Registry`], which renders them for Prometheus; it tells what happened
//! through `tracing`, which [`init_logs`] writes to stderr; it writes one line a request to an [`AccessLog`]
//! and passes a [`TraceContext`] on.
//!
//! Invariants: counting touches no other core's cache line and takes no lock. A line of the access log never
//! waits for a disk: what cannot be written in time is dropped whole, and counted. Logs go straight to
//! standard error, because the last one before an end matters most; so they are for what is rare.

mod access_log;
pub mod json;
mod logs;
mod metrics;
mod time;
mod trace_context;

pub use access_log::{AccessLog, Target};
pub use logs::{LogError, LogFormat, init_logs};
pub use metrics::{Counter, Gauge, Histogram, Hook, LATENCY_BOUNDS, Registry};
pub use time::Rfc3339;
pub use trace_context::TraceContext;
