//! What is counted of transfers, notifications and updates.

use telemetry::{Counter, Registry};

/// Whose zone it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From another server.
    In,
    /// To another server.
    Out,
}

/// What kind of transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferKind {
    /// All of the zone.
    Axfr,
    /// Differences, or that there are none.
    Ixfr,
}

/// What became of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferOutcome {
    /// All of it came over.
    Done,
    /// There was nothing newer.
    Current,
    /// Whoever asked may not, or is not told; or the other side said so.
    Refused,
    /// It broke off, or was not understood.
    Failed,
}

const DIRECTIONS: [(Direction, &str); 2] = [(Direction::In, "in"), (Direction::Out, "out")];
const KINDS: [(TransferKind, &str); 2] = [(TransferKind::Axfr, "axfr"), (TransferKind::Ixfr, "ixfr")];
const OUTCOMES: [(TransferOutcome, &str); 4] = [
    (TransferOutcome::Done, "done"),
    (TransferOutcome::Current, "current"),
    (TransferOutcome::Refused, "refused"),
    (TransferOutcome::Failed, "failed"),
];

/// What updates are answered, by number.
const RCODES: [(u8, &str); 11] = [
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
];

/// Counted of zones that change.
pub(crate) struct ChangeEvents {
    transfers: [[[Counter; 4]; 2]; 2],
    notifies: [[Counter; 2]; 2],
    updates: [Counter; RCODES.len() + 1],
}

impl ChangeEvents {
    pub(crate) fn new(registry: &Registry) -> Self {
        let transfer = |direction: &str, kind: &str, outcome: &str| {
            let labels = [("direction", direction), ("kind", kind), ("outcome", outcome)];
            registry.counter(
                "nines_dns_transfers_total",
                "Transfers of zones, by what became of them.",
                &labels,
            )
        };
        let notify = |direction: &str, outcome: &str| {
            let labels = [("direction", direction), ("outcome", outcome)];
            let help = "Notifications that a zone has changed, by whether they were understood.";
            registry.counter("nines_dns_notifies_total", help, &labels)
        };
        Self {
            updates: std::array::from_fn(|at| {
                let rcode = RCODES.get(at).map_or("other", |(_, name)| name);
                let help = "Updates of zones, by RCODE.";
                registry.counter("nines_dns_updates_total", help, &[("rcode", rcode)])
            }),
            transfers: DIRECTIONS.map(|(_, direction)| {
                KINDS.map(|(_, kind)| OUTCOMES.map(|(_, outcome)| transfer(direction, kind, outcome)))
            }),
            notifies: DIRECTIONS
                .map(|(_, direction)| ["done", "failed"].map(|outcome| notify(direction, outcome))),
        }
    }

    pub(crate) fn transfer(&self, direction: Direction, kind: TransferKind, outcome: TransferOutcome) {
        self.transfers[direction as usize][kind as usize][outcome as usize].inc();
    }

    pub(crate) fn update(&self, rcode: u8) {
        self.updates[usize::from(rcode).min(RCODES.len())].inc();
    }

    pub(crate) fn notify(&self, direction: Direction, is_done: bool) {
        self.notifies[direction as usize][usize::from(!is_done)].inc();
    }
}
