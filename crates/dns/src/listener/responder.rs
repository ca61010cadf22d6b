//! One message and its answer, whatever it came over, counted.

use crate::answer::{Facts, Kind, Outcome, answer, reject, truncate};
use crate::cookies::{COOKIE_BYTES, Shown, judge};
use crate::events::Dropped;
use crate::limit::{Subject, Verdict};
use crate::log::Record;
use crate::policy::mixed;
use crate::protocol::{Edns, Query, Rejection, Transport};
use crate::snapshot::Snapshot;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What else is left to chance does not follow from what a route chooses by.
const LIMITED: u64 = 0x5bd1_e995_1b87_3593;
const SAMPLED: u64 = 0xc2b2_ae35_85eb_ca6b;

/// Where a message came from, and how.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) client: SocketAddr,
    pub(crate) transport: Transport,
    /// When, if anybody wants to know ([`Snapshot::wants_time`]).
    pub(crate) received: Option<Instant>,
}

/// Writes the answer to a message into `out`, whose content is replaced. `false`: it has none.
#[inline]
pub(crate) fn respond(snapshot: &Snapshot, message: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> bool {
    let parsed = Query::parse(message);
    let edns = match &parsed {
        Ok(query) => query.edns.as_ref(),
        Err(rejection) => rejection.edns.as_ref(),
    };
    let (client, drawn) = (arrival.client.ip(), draw());
    let cookie = cookie(snapshot, edns, client);
    let identity = snapshot.identity.as_deref();
    let facts = Facts {
        sender: client,
        draw: drawn,
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
    let verdict = match arrival.received {
        Some(now) if !has_proved => limit(snapshot, &parsed, &facts, now, &mut outcome, out),
        _ => Verdict::Sent,
    };
    if verdict == Verdict::Dropped {
        out.clear();
    }
    count(snapshot, arrival.transport, &outcome, verdict);
    if let (Some(log), Some(received)) = (&snapshot.log, arrival.received)
        && log.takes(mixed(drawn ^ SAMPLED))
    {
        let (query, took) = (parsed.as_ref().ok(), received.elapsed());
        let Arrival { client, transport, .. } = arrival;
        log.tell(&Record {
            client,
            transport,
            message,
            query,
            outcome: &outcome,
            answer: out,
            verdict,
            took,
        });
    }
    verdict != Verdict::Dropped
}

/// Holds a client that has proved nothing to its limit, where there is one.
#[inline]
fn limit(
    snapshot: &Snapshot,
    parsed: &Result<Query<'_>, Rejection<'_>>,
    facts: &Facts<'_>,
    now: Instant,
    outcome: &mut Outcome<'_>,
    out: &mut Vec<u8>,
) -> Verdict {
    let Some(limiter) = &snapshot.limiter else { return Verdict::Sent };
    let zone = outcome.zone.map_or(0, |zone| Arc::as_ptr(zone).addr());
    let subject = Subject { kind: outcome.kind, zone, about: outcome.about };
    let verdict = limiter.judge(facts.sender, subject, now, mixed(facts.draw ^ LIMITED));
    // An error has no records to leave out, and as it is tells more.
    if verdict == Verdict::Slipped
        && outcome.kind != Kind::Error
        && let Ok(query) = parsed
    {
        *outcome = Outcome { zone: outcome.zone, ..truncate(query, facts, out) };
    }
    verdict
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
fn count(snapshot: &Snapshot, transport: Transport, outcome: &Outcome<'_>, verdict: Verdict) {
    let events = &snapshot.live.events;
    let of_transport = events.of(transport);
    if let Some(zone) = outcome.zone {
        snapshot.zone_events.answered(zone);
    }
    match verdict {
        Verdict::Sent => {}
        Verdict::Slipped => events.slipped.inc(),
        Verdict::Dropped => {
            events.limited.inc();
            return of_transport.asked(outcome.rtype);
        }
    }
    of_transport.answered(outcome.rtype, outcome.rcode);
    if outcome.truncated {
        events.truncated.inc();
    }
}
