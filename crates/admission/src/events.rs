//! What is counted of those who were not let in.

use telemetry::{Counter, Registry};

/// Why a client was told to come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// It has too many connections open.
    Connections,
    /// It sends requests too often.
    Requests,
    /// Too many passwords are being verified.
    Passwords,
}

impl Limited {
    const ALL: [Self; 3] = [Self::Connections, Self::Requests, Self::Passwords];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Passwords => "passwords",
        }
    }
}

/// Counts of one place: a listener, a site. Clones count together.
#[derive(Debug, Clone)]
pub struct Events {
    denied: Counter,
    limited: [Counter; Limited::ALL.len()],
    auth_failures: Counter,
    unsigned: Counter,
    proxy_protocol_errors: Counter,
}

impl Events {
    /// The counters of a tier (`edge`: metrics are named `nines_edge_…`), with labels such as `("site", "shop.test")`.
    pub fn new(registry: &Registry, tier: &str, labels: &[(&str, &str)]) -> Self {
        let counter = |what: &str, help: &str, more: &[(&str, &str)]| {
            registry.counter(&format!("nines_{tier}_{what}_total"), help, &[labels, more].concat())
        };
        let help = "Clients and requests told to come later, by what there was too much of.";
        Self {
            denied: counter("denied", "Clients that may not come, by allow and deny.", &[]),
            limited: Limited::ALL.map(|reason| counter("limited", help, &[("reason", reason.as_str())])),
            auth_failures: counter(
                "auth_failures",
                "Requests without a user and password that are known.",
                &[],
            ),
            unsigned: counter("unsigned", "Requests without a signature that is good.", &[]),
            proxy_protocol_errors: counter(
                "proxy_protocol_errors",
                "Connections that should have begun with a PROXY header and did not.",
                &[],
            ),
        }
    }

    /// Somebody may not come.
    pub fn denied(&self) {
        self.denied.inc();
    }

    /// Somebody was told to come later.
    pub fn limited(&self, reason: Limited) {
        self.limited[reason as usize].inc();
    }

    /// Somebody has shown no user and password, or wrong ones.
    pub fn auth_failed(&self) {
        self.auth_failures.inc();
    }

    /// Somebody has shown no signature, or none that is good.
    pub fn unsigned(&self) {
        self.unsigned.inc();
    }

    /// A connection did not begin with a PROXY header.
    pub fn proxy_protocol_failed(&self) {
        self.proxy_protocol_errors.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_counted_where_it_was_and_by_its_reason() {
        let registry = Registry::new();
        let events = Events::new(&registry, "edge", &[("site", "a.test")]);
        events.denied();
        events.auth_failed();
        events.unsigned();
        events.proxy_protocol_failed();
        Limited::ALL.into_iter().for_each(|reason| events.limited(reason));
        let text = registry.render();
        for line in [
            "nines_edge_denied_total{site=\"a.test\"} 1",
            "nines_edge_limited_total{reason=\"connections\",site=\"a.test\"} 1",
            "nines_edge_limited_total{reason=\"requests\",site=\"a.test\"} 1",
            "nines_edge_limited_total{reason=\"passwords\",site=\"a.test\"} 1",
            "nines_edge_auth_failures_total{site=\"a.test\"} 1",
            "nines_edge_unsigned_total{site=\"a.test\"} 1",
            "nines_edge_proxy_protocol_errors_total{site=\"a.test\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
