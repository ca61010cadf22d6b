//! What is counted of each listener.

use crate::error::Refusal;
use telemetry::{Counter, Gauge, Registry};

/// Counted of one `[tcp.NAME]`.
pub(crate) struct TcpEvents {
    pub(crate) accepted: Counter,
    pub(crate) open: Gauge,
    /// From clients to endpoints.
    pub(crate) received: Counter,
    /// From endpoints to clients.
    pub(crate) sent: Counter,
    pub(crate) retries: Counter,
    /// Directions that went over to splicing.
    pub(crate) spliced: Counter,
    pub(crate) idle: Counter,
    pub(crate) reset: Counter,
    pub(crate) tls: tls::Events,
    refused: [Counter; Refusal::ALL.len()],
}

impl TcpEvents {
    pub(crate) fn new(registry: &Registry, name: &str) -> Self {
        let labels = [("listener", name)];
        let counter = |name: &str, help: &str| registry.counter(name, help, &labels);
        let bytes = |direction| {
            let labels = [("listener", name), ("direction", direction)];
            registry.counter("nines_tcp_bytes_total", "Bytes passed on, by where they came from.", &labels)
        };
        Self {
            accepted: counter("nines_tcp_connections_total", "Client connections accepted."),
            open: registry.gauge("nines_tcp_connections", "Client connections open.", &labels),
            received: bytes("client"),
            sent: bytes("endpoint"),
            retries: counter("nines_tcp_retries_total", "Tries after a connection's first."),
            spliced: counter("nines_tcp_spliced_total", "Directions that carried bulk within the kernel."),
            idle: counter("nines_tcp_idle_total", "Connections ended because nothing came for too long."),
            reset: counter("nines_tcp_reset_total", "Connections that either side cut off."),
            tls: tls::Events::new(registry, &format!("tcp {name}")),
            refused: Refusal::ALL.map(|refusal| {
                let labels = [("listener", name), ("reason", refusal.as_str())];
                registry.counter("nines_tcp_refused_total", "Connections not served, by reason.", &labels)
            }),
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].inc();
    }
}

/// Why a datagram went nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// By `allow` or `deny`.
    Denied,
    /// All sessions are taken by clients that are answered.
    Sessions,
    /// The pool has no endpoint, or is full.
    NoEndpoint,
    /// This machine has no socket left for another session.
    NoSocket,
    /// It could not be sent: a full buffer, or a path that takes nothing so long.
    Unsent,
}

impl Dropped {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Denied, "denied"),
        (Self::Sessions, "sessions"),
        (Self::NoEndpoint, "no_endpoint"),
        (Self::NoSocket, "no_socket"),
        (Self::Unsent, "unsent"),
    ];
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing came for too long.
    Idle,
    /// It had all its answers.
    Answered,
    /// Another one took its place.
    Evicted,
    /// The endpoint's host said that nobody listens there.
    Refused,
    /// Its endpoint is gone or out of the choice.
    Moved,
}

impl Ended {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Idle, "idle"),
        (Self::Answered, "answered"),
        (Self::Evicted, "evicted"),
        (Self::Refused, "refused"),
        (Self::Moved, "moved"),
    ];
}

/// Counted of one `[udp.NAME]`.
pub(crate) struct UdpEvents {
    pub(crate) sessions: Counter,
    pub(crate) open: Gauge,
    /// From clients to endpoints.
    pub(crate) received: Traffic,
    /// From endpoints to clients.
    pub(crate) sent: Traffic,
    dropped: [Counter; Dropped::ALL.len()],
    ended: [Counter; Ended::ALL.len()],
}

/// Datagrams one way.
pub(crate) struct Traffic {
    datagrams: Counter,
    bytes: Counter,
}

impl Traffic {
    pub(crate) fn passed(&self, datagrams: usize, bytes: usize) {
        self.datagrams.add(datagrams as u64);
        self.bytes.add(bytes as u64);
    }
}

impl UdpEvents {
    pub(crate) fn new(registry: &Registry, name: &str) -> Self {
        let labels = [("listener", name)];
        let traffic = |direction| {
            let labels = [("listener", name), ("direction", direction)];
            let help = "Datagrams passed on, by where they came from.";
            Traffic {
                datagrams: registry.counter("nines_udp_datagrams_total", help, &labels),
                bytes: registry.counter(
                    "nines_udp_bytes_total",
                    "Bytes passed on, by where they came from.",
                    &labels,
                ),
            }
        };
        Self {
            sessions: registry.counter("nines_udp_sessions_total", "Sessions begun.", &labels),
            open: registry.gauge("nines_udp_sessions", "Sessions open.", &labels),
            received: traffic("client"),
            sent: traffic("endpoint"),
            dropped: Dropped::ALL.map(|(_, reason)| {
                let labels = [("listener", name), ("reason", reason)];
                registry.counter("nines_udp_dropped_total", "Datagrams not passed on, by reason.", &labels)
            }),
            ended: Ended::ALL.map(|(_, reason)| {
                let labels = [("listener", name), ("reason", reason)];
                registry.counter("nines_udp_sessions_ended_total", "Sessions ended, by reason.", &labels)
            }),
        }
    }

    pub(crate) fn dropped(&self, dropped: Dropped, datagrams: usize) {
        self.dropped[dropped as usize].add(datagrams as u64);
    }

    pub(crate) fn ended(&self, ended: Ended) {
        self.ended[ended as usize].inc();
    }
}
