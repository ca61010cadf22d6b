//! What is counted of handshakes and certificates.

use crate::config::Version;
use crate::peer::Peer;
use crate::server::Refused;
use std::io;
use telemetry::{Counter, Gauge, Registry};

/// Counts of one listener's handshakes; clones count together.
#[derive(Debug, Clone)]
pub struct Events {
    /// By version (1.2, 1.3) and whether the session was resumed.
    handshakes: [[Counter; 2]; 2],
    failures: [Counter; Failure::ALL.len()],
}

/// Why a handshake failed, for a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The client asked for a name that is not served.
    UnknownName,
    /// The name's certificate has not been issued yet.
    NotIssued,
    /// Client and server have no version, cipher, signature or protocol in common.
    NothingInCommon,
    /// The client showed no certificate where one is required, or one that is not believed.
    ClientCertificate,
    /// The client ended the handshake with an alert, as it does when it does not believe the certificate.
    Alert,
    /// What came was no TLS, or broke its rules.
    Protocol,
    /// The connection ended within the handshake.
    Gone,
    /// It took too long.
    Timeout,
}

impl Failure {
    const ALL: [Self; 8] = [
        Self::UnknownName,
        Self::NotIssued,
        Self::NothingInCommon,
        Self::ClientCertificate,
        Self::Alert,
        Self::Protocol,
        Self::Gone,
        Self::Timeout,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownName => "unknown_name",
            Self::NotIssued => "not_issued",
            Self::NothingInCommon => "nothing_in_common",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
        }
    }

    /// What a failed handshake's error says, as tokio-rustls gives it.
    pub fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (inner, error.kind()) {
            (Some(error), _) => Self::of_rustls(error),
            (None, io::ErrorKind::TimedOut) => Self::Timeout,
            (None, _) => Self::Gone,
        }
    }

    /// What rustls' own error says.
    pub fn of_rustls(error: &rustls::Error) -> Self {
        use rustls::Error;
        match error {
            Error::AlertReceived(_) => Self::Alert,
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Self::ClientCertificate,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::NothingInCommon,
            // The resolver had no certificate that the client can verify.
            Error::General(_) => Self::NothingInCommon,
            _ => Self::Protocol,
        }
    }
}

impl From<&Refused> for Failure {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::UnknownName { .. } => Self::UnknownName,
            Refused::NotIssued { .. } => Self::NotIssued,
        }
    }
}

impl Events {
    /// The counters of a listener: `"edge"`, `"tcp db"`.
    pub fn new(registry: &Registry, listener: &str) -> Self {
        let handshakes = ["1.2", "1.3"].map(|version| {
            ["false", "true"].map(|resumed| {
                registry.counter(
                    "nines_tls_handshakes_total",
                    "TLS handshakes that succeeded.",
                    &[("listener", listener), ("version", version), ("resumed", resumed)],
                )
            })
        });
        let failures = Failure::ALL.map(|failure| {
            registry.counter(
                "nines_tls_handshake_failures_total",
                "TLS handshakes that failed.",
                &[("listener", listener), ("reason", failure.as_str())],
            )
        });
        Self { handshakes, failures }
    }

    /// A handshake has succeeded.
    pub fn succeeded(&self, peer: &Peer) {
        let version = usize::from(peer.version == Version::Tls13);
        self.handshakes[version][usize::from(peer.is_resumed)].inc();
    }

    /// A handshake has failed.
    pub fn failed(&self, failure: Failure) {
        self.failures[failure as usize].inc();
    }
}

/// When a certificate ends, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Expiry(#[expect(dead_code, reason = "the series lives as long as its handle")] Gauge);

impl Expiry {
    pub(crate) fn told(registry: &Registry, listener: &str, name: &str, kind: &str, not_after: u64) -> Self {
        let gauge = registry.gauge(
            "nines_tls_certificate_expires_timestamp_seconds",
            "When a certificate ends, in seconds since 1970.",
            &[("listener", listener), ("name", name), ("key", kind)],
        );
        gauge.set(not_after as f64);
        Self(gauge)
    }
}
