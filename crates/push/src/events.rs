//! What a store counts.

use telemetry::{Counter, Gauge, Registry};

/// The figures of one store.
pub(crate) struct Events {
    releases: Counter,
    /// Bytes of files that were sent to it.
    pub(crate) uploaded_bytes: Counter,
    stored_bytes: Gauge,
}

impl Events {
    pub(crate) fn new(registry: &Registry, store: &str) -> Self {
        let labels = [("store", store)];
        Self {
            releases: registry.counter("nines_push_releases_total", "Releases that were made.", &labels),
            uploaded_bytes: registry.counter(
                "nines_push_uploaded_bytes_total",
                "Bytes of files that were uploaded.",
                &labels,
            ),
            stored_bytes: registry.gauge(
                "nines_push_stored_bytes",
                "Bytes of files that are stored on this machine.",
                &labels,
            ),
        }
    }

    pub(crate) fn released(&self) {
        self.releases.inc();
    }

    pub(crate) fn stored(&self, bytes: u64) {
        self.stored_bytes.set(bytes as f64);
    }
}
