//! One message and its answer, whatever it came over, counted.

use crate::answer::{Facts, Outcome, answer, reject};
use crate::events::Dropped;
use crate::policy::mixed;
use crate::protocol::{Query, Transport};
use crate::snapshot::Snapshot;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Writes the answer to a message into `out`, whose content is replaced. `false`: it has none.
#[inline]
pub(super) fn respond(
    snapshot: &Snapshot,
    message: &[u8],
    sender: IpAddr,
    transport: Transport,
    out: &mut Vec<u8>,
) -> bool {
    let facts = facts(snapshot, sender, transport);
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

fn facts(snapshot: &Snapshot, sender: IpAddr, transport: Transport) -> Facts<'_> {
    let identity = snapshot.identity.as_deref();
    Facts {
        sender,
        draw: draw(),
        nsid: identity.map(str::as_bytes),
        identity,
        ..Facts::of_transport(transport)
    }
}

thread_local! {
    /// Known to nobody outside the process.
    static DRAWN: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
}

/// The next number by chance: SplitMix64, each core from a seed of its own.
#[inline]
fn draw() -> u64 {
    let drawn = DRAWN.get();
    DRAWN.set(drawn.wrapping_add(0x9e37_79b9_7f4a_7c15));
    mixed(drawn)
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
