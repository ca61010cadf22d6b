//! One message and its answer, whatever it came over, counted.

use crate::answer::{Facts, Kind, Outcome, answer, reject, truncate};
use crate::cookies::{COOKIE_BYTES, Shown, judge};
use crate::events::Dropped;
use crate::limit::{Subject, Verdict};
use crate::policy::mixed;
use crate::protocol::{Edns, Query, Rejection, Transport};
use crate::snapshot::Snapshot;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where a message came from, and how.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) client: IpAddr,
    pub(super) transport: Transport,
}

/// Writes the answer to a message into `out`, whose content is replaced. `false`: it has none.
#[inline]
pub(super) fn respond(snapshot: &Snapshot, message: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> bool {
    let parsed = Query::parse(message);
    let edns = match &parsed {
        Ok(query) => query.edns.as_ref(),
        Err(rejection) => rejection.edns.as_ref(),
    };
    let cookie = cookie(snapshot, edns, arrival.client);
    let identity = snapshot.identity.as_deref();
    let facts = Facts {
        sender: arrival.client,
        draw: draw(),
        nsid: identity.map(str::as_bytes),
        identity,
        server_cookie: cookie.as_ref().map(|(_, made)| made.as_slice()),
        ..Facts::of_transport(arrival.transport)
    };
    let outcome = match &parsed {
        Ok(query) => Some(answer(&snapshot.zones, query, &facts, out)),
        Err(rejection) => reject(rejection, &facts, out),
    };
    let Some(mut outcome) = outcome else {
        snapshot.live.events.dropped(Dropped::NotAQuery, 1);
        return false;
    };
    let has_proved = arrival.transport != Transport::Udp || matches!(cookie, Some((Shown::Good, _)));
    if !has_proved && !limit(snapshot, &parsed, &facts, &mut outcome, out) {
        return false;
    }
    count(snapshot, arrival.transport, &outcome);
    true
}

/// Holds a client that has proved nothing to its limit, where there is one. `false`: it gets no answer.
#[inline]
fn limit(
    snapshot: &Snapshot,
    parsed: &Result<Query<'_>, Rejection<'_>>,
    facts: &Facts<'_>,
    outcome: &mut Outcome<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let Some(limiter) = &snapshot.limiter else { return true };
    let zone = outcome.zone.map_or(0, |zone| Arc::as_ptr(zone).addr());
    let subject = Subject { kind: outcome.kind, zone, about: outcome.about };
    let events = &snapshot.live.events;
    // Another number than routes choose by.
    match limiter.judge(facts.sender, subject, Instant::now(), mixed(!facts.draw)) {
        Verdict::Sent => return true,
        Verdict::Slipped => {
            events.slipped.inc();
            // An error has no records to leave out, and as it is tells more.
            if let (Ok(query), true) = (parsed, outcome.kind != Kind::Error) {
                let zone = outcome.zone;
                *outcome = Outcome { zone, ..truncate(query, facts, out) };
            }
            return true;
        }
        Verdict::Dropped => events.limited.inc(),
    }
    events.udp.asked(outcome.rtype);
    if let Some(zone) = outcome.zone {
        snapshot.zone_events.answered(zone);
    }
    false
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

/// What the cookie of a client that has sent one shows, and the server's half for its answer.
#[inline]
fn cookie(
    snapshot: &Snapshot,
    edns: Option<&Edns<'_>>,
    client: IpAddr,
) -> Option<(Shown, [u8; COOKIE_BYTES])> {
    let cookie = edns?.cookie?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // RFC 9018 §4.3: 32 bits, which begin again.
    let (shown, made) = judge(&snapshot.cookie_key, &cookie, client, now.as_secs() as u32);
    snapshot.live.events.cookie(shown);
    Some((shown, made))
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
