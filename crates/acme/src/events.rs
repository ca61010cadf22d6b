//! What is counted here.

use telemetry::{Counter, Gauge, Registry};

/// Figures of all orders.
pub(crate) struct Meters {
    pub(crate) issued: Counter,
    pub(crate) failed: Counter,
    pub(crate) rate_limited: Counter,
    registry: Registry,
}

impl Meters {
    pub(crate) fn new(registry: &Registry) -> Self {
        let orders = |result| {
            let help = "Orders of certificates, by how they ended.";
            registry.counter("nines_acme_orders_total", help, &[("result", result)])
        };
        Self {
            issued: orders("issued"),
            failed: orders("failed"),
            rate_limited: orders("rate-limited"),
            registry: registry.clone(),
        }
    }

    /// The end of a name's certificate, in seconds of the Unix epoch; 0 while there is none.
    pub(crate) fn expiry(&self, name: &str) -> Gauge {
        let help = "When the certificate ends, in seconds of the Unix epoch; 0 while there is none.";
        self.registry.gauge("nines_acme_certificate_expires_timestamp_seconds", help, &[("name", name)])
    }
}

/// Figures of OCSP.
pub(crate) struct OcspMeters {
    pub(crate) stapled: Counter,
    pub(crate) failed: Counter,
    pub(crate) refused: Counter,
}

impl OcspMeters {
    pub(crate) fn new(registry: &Registry) -> Self {
        let fetches = |result| {
            let help = "OCSP responses that were fetched, by what became of them.";
            registry.counter("nines_acme_ocsp_fetches_total", help, &[("result", result)])
        };
        Self { stapled: fetches("stapled"), failed: fetches("failed"), refused: fetches("refused") }
    }
}
