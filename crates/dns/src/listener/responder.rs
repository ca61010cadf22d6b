//! One message and its answer, whatever it came over, counted.

use crate::answer::{Facts, Outcome, answer, reject};
use crate::events::Dropped;
use crate::protocol::{Query, Transport};
use crate::snapshot::Snapshot;

/// Writes the answer to a message into `out`, whose content is replaced. `false`: it has none.
#[inline]
pub(super) fn respond(snapshot: &Snapshot, message: &[u8], transport: Transport, out: &mut Vec<u8>) -> bool {
    let facts = facts(snapshot, transport);
    match Query::parse(message) {
        Ok(query) => count(snapshot, transport, &answer(&snapshot.zones, &query, &facts, out)),
        Err(rejection) => match reject(&rejection, &facts, out) {
            Some(outcome) => count(snapshot, transport, &outcome),
            None => {
                snapshot.live.events.dropped(Dropped::NotAQuery, 1);
                return false;
            }
        },
    }
    true
}

fn facts(snapshot: &Snapshot, transport: Transport) -> Facts<'_> {
    let identity = snapshot.identity.as_deref();
    Facts { nsid: identity.map(str::as_bytes), identity, ..Facts::of_transport(transport) }
}

#[inline]
fn count(snapshot: &Snapshot, transport: Transport, outcome: &Outcome<'_>) {
    let events = &snapshot.live.events;
    let of_transport = match transport {
        Transport::Udp => &events.udp,
        Transport::Tcp | Transport::Tls | Transport::Https => &events.tcp,
    };
    of_transport.answered(outcome.rtype, outcome.rcode);
    if let Some(zone) = outcome.zone {
        snapshot.zone_events.answered(zone);
    }
    if outcome.truncated {
        events.truncated.inc();
    }
}
