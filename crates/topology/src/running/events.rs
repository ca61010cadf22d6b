//! What a node counts about itself.

use telemetry::{Counter, Registry};

/// A series lives as long as its handle, so that a node without reloads shows a zero.
pub(super) struct Events {
    applied: Counter,
    refused: Counter,
}

impl Events {
    pub(super) fn new(registry: &Registry) -> Self {
        let reloads = |outcome| {
            let help = "Reloads of the file, by what became of them.";
            registry.counter("nines_topology_reloads_total", help, &[("outcome", outcome)])
        };
        Self { applied: reloads("applied"), refused: reloads("refused") }
    }

    pub(super) fn reloaded(&self, is_applied: bool) {
        if is_applied { &self.applied } else { &self.refused }.inc();
    }
}
