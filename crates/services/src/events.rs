//! What services count.

use crate::InstanceState;
use telemetry::{Counter, Gauge, Registry};

/// The figures of one service.
pub(crate) struct Meters {
    instances: [(InstanceState, Gauge); 4],
    /// Runs begun after one that ended by itself.
    pub(crate) restarts: Counter,
    /// Runs that could not be begun.
    pub(crate) start_failures: Counter,
    /// Instances that had to be killed because they did not end in time.
    pub(crate) kills: Counter,
    /// Lines printed to stdout.
    pub(crate) stdout_lines: Counter,
    /// Lines printed to stderr.
    pub(crate) stderr_lines: Counter,
}

impl Meters {
    /// The figures of this service, in the registry.
    pub(crate) fn new(registry: &Registry, service: &str) -> Self {
        let instances = InstanceState::ALL.map(|state| {
            let labels = [("service", service), ("state", state.as_str())];
            (state, registry.gauge("nines_services_instances", "Instances by what they are doing.", &labels))
        });
        let counter = |name, help| registry.counter(name, help, &[("service", service)]);
        let lines = |stream| {
            let labels = [("service", service), ("stream", stream)];
            registry.counter("nines_services_output_lines_total", "Lines that instances printed.", &labels)
        };
        Self {
            instances,
            restarts: counter(
                "nines_services_restarts_total",
                "Runs begun after one that ended by itself or could not be begun.",
            ),
            start_failures: counter("nines_services_start_failures_total", "Runs that could not be begun."),
            kills: counter(
                "nines_services_kills_total",
                "Process groups killed because they did not end within the time to stop.",
            ),
            stdout_lines: lines("stdout"),
            stderr_lines: lines("stderr"),
        }
    }

    /// Sets how many instances are in which state.
    pub(crate) fn set_instances(&self, states: &[InstanceState]) {
        for (state, gauge) in &self.instances {
            gauge.set(states.iter().filter(|each| *each == state).count() as f64);
        }
    }
}
