//! One message and its answer, whatever it came over, counted.

use crate::answer::{Facts, Outcome, answer, reject};
use crate::cookies::{COOKIE_BYTES, Shown, judge};
use crate::core::Core;
use crate::events::Dropped;
use crate::policy::mixed;
use crate::protocol::{Edns, Query, Transport};
use crate::resolver::{Key, Served, Waiting};
use crate::snapshot::Snapshot;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a message came from, and how.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) client: IpAddr,
    pub(super) transport: Transport,
}

/// What became of a message.
pub(super) enum Responded {
    /// It has no answer.
    Not,
    /// Its answer is written.
    Now,
    /// Its answer is written, and is worth to be asked for anew: [`renew`].
    Due(Box<Key>),
    /// Its answer is somebody else's to know: [`respond_later`].
    Later(Waiting),
}

/// Writes the answer to a message into `out`, whose content is replaced.
#[inline]
pub(super) fn respond(snapshot: &Snapshot, message: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> Responded {
    let parsed = Query::parse(message);
    let edns = match &parsed {
        Ok(query) => query.edns.as_ref(),
        Err(rejection) => rejection.edns.as_ref(),
    };
    let cookie = cookie(snapshot, edns, arrival.client);
    if let Some((shown, _)) = cookie {
        snapshot.live.events.cookie(shown);
    }
    let cookie = cookie.map(|(_, cookie)| cookie);
    let facts = facts(snapshot, arrival, cookie.as_ref());
    let outcome = match (&parsed, &snapshot.resolver) {
        (Ok(query), Some(resolver)) => match resolver.serve(&snapshot.zones, query, &facts, out) {
            Served::Now(outcome) => outcome,
            Served::Due(outcome, key) => {
                count(snapshot, arrival.transport, &outcome);
                return Responded::Due(key);
            }
            Served::Later(waiting) => return Responded::Later(waiting),
        },
        (Ok(query), None) => answer(&snapshot.zones, query, &facts, out),
        (Err(rejection), _) => match reject(rejection, &facts, out) {
            Some(outcome) => outcome,
            None => {
                snapshot.live.events.dropped(Dropped::NotAQuery, 1);
                return Responded::Not;
            }
        },
    };
    count(snapshot, arrival.transport, &outcome);
    Responded::Now
}

/// Writes the answer to a query that has to wait for others, once it is there. A client is counted as waiting for as long.
pub(super) async fn respond_later(
    core: &Core,
    message: &[u8],
    arrival: Arrival,
    out: &mut Vec<u8>,
    waiting: Waiting,
) -> bool {
    let snapshot = core.snapshot();
    let (Ok(query), Some(resolver)) = (Query::parse(message), &snapshot.resolver) else { return false };
    let cookie = cookie(&snapshot, query.edns.as_ref(), arrival.client).map(|(_, cookie)| cookie);
    let facts = facts(&snapshot, arrival, cookie.as_ref());
    let outcome = resolver.finish(&snapshot.zones, &query, &facts, &core.connections, out).await;
    count(&snapshot, arrival.transport, &outcome);
    drop(waiting);
    true
}

/// Asks anew for an answer that will soon be over.
pub(super) fn renew(core: &Core, snapshot: &Snapshot, key: &Key) {
    if let Some(resolver) = &snapshot.resolver {
        resolver.renew(key, &core.connections);
    }
}

fn facts<'f>(snapshot: &'f Snapshot, arrival: Arrival, cookie: Option<&'f [u8; COOKIE_BYTES]>) -> Facts<'f> {
    let identity = snapshot.identity.as_deref();
    Facts {
        sender: arrival.client,
        draw: draw(),
        nsid: identity.map(str::as_bytes),
        identity,
        server_cookie: cookie.map(<[u8; COOKIE_BYTES]>::as_slice),
        ..Facts::of_transport(arrival.transport)
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

/// What the cookie of a client that has sent one shows, and the server's half for it.
#[inline]
fn cookie(
    snapshot: &Snapshot,
    edns: Option<&Edns<'_>>,
    client: IpAddr,
) -> Option<(Shown, [u8; COOKIE_BYTES])> {
    let cookie = edns?.cookie?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // RFC 9018 §4.3: 32 bits, which begin again.
    Some(judge(&snapshot.cookie_key, &cookie, client, now.as_secs() as u32))
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
