//! One message and its answer, whatever it came over, counted.

use crate::answer::{Facts, Kind, Outcome, SignedNow, answer, reject, truncate};
use crate::cookies::{COOKIE_BYTES, Shown, judge};
use crate::core::Core;
use crate::events::Dropped;
use crate::limit::{Subject, Verdict};
use crate::log::Record;
use crate::policy::mixed;
use crate::protocol::{Edns, Query, Rejection, Transport};
use crate::resolver::{Key, Resolver, Served, Waiting};
use crate::snapshot::Snapshot;
use cores::Open;
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

/// What became of a message.
pub(crate) enum Responded {
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
pub(crate) fn respond(snapshot: &Snapshot, message: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> Responded {
    respond_by(snapshot, snapshot.resolver.as_deref(), message, arrival, out)
}

/// The same without the resolver: it never has to wait for others.
pub(crate) fn respond_by_zones(
    snapshot: &Snapshot,
    message: &[u8],
    arrival: Arrival,
    out: &mut Vec<u8>,
) -> Responded {
    respond_by(snapshot, None, message, arrival, out)
}

#[inline]
fn respond_by(
    snapshot: &Snapshot,
    resolver: Option<&Resolver>,
    message: &[u8],
    arrival: Arrival,
    out: &mut Vec<u8>,
) -> Responded {
    let parsed = Query::parse(message);
    let edns = match &parsed {
        Ok(query) => query.edns.as_ref(),
        Err(rejection) => rejection.edns.as_ref(),
    };
    let cookie = cookie(snapshot, edns, arrival.client.ip());
    if let Some((shown, _)) = cookie {
        snapshot.live.events.cookie(shown);
    }
    let facts = facts(snapshot, arrival, cookie.as_ref().map(|(_, made)| made));
    let mut due = None;
    let outcome = match (&parsed, resolver) {
        (Ok(query), Some(resolver)) => match resolver.serve(&snapshot.zones, query, &facts, out) {
            Served::Now(outcome) => Some(outcome),
            Served::Due(outcome, key) => {
                due = Some(key);
                Some(outcome)
            }
            Served::Later(waiting) => return Responded::Later(waiting),
        },
        (Ok(query), None) => Some(answer(&snapshot.zones, query, &facts, out)),
        (Err(rejection), _) => reject(rejection, &facts, out),
    };
    let Some(mut outcome) = outcome else {
        snapshot.live.events.dropped(Dropped::NotAQuery, 1);
        return Responded::Not;
    };
    // The resolver's clients are those of its list, whatever they ask for.
    let is_ours = outcome.zone.is_some() || outcome.kind == Kind::Error;
    let has_proved = arrival.transport != Transport::Udp || matches!(cookie, Some((Shown::Good, _)));
    let verdict = match arrival.received {
        Some(now) if is_ours && !has_proved => limit(snapshot, &parsed, &facts, now, &mut outcome, out),
        _ => Verdict::Sent,
    };
    if verdict == Verdict::Dropped {
        out.clear();
    }
    tell(snapshot, arrival, message, parsed.as_ref().ok(), &facts, &outcome, verdict, out);
    match due {
        _ if verdict == Verdict::Dropped => Responded::Not,
        Some(key) => Responded::Due(key),
        None => Responded::Now,
    }
}

/// Writes the answer to a query that has to wait for others, once it is there. A client is counted as waiting for as long.
pub(crate) async fn respond_later(
    core: &Core,
    message: &[u8],
    arrival: Arrival,
    out: &mut Vec<u8>,
    waiting: Waiting,
) -> bool {
    respond_later_to(&core.snapshot(), &core.connections, message, arrival, out, waiting).await
}

/// The same for those who have no core of DNS: what is looked up is counted by `owner`.
pub(crate) async fn respond_later_to(
    snapshot: &Snapshot,
    owner: &Open,
    message: &[u8],
    arrival: Arrival,
    out: &mut Vec<u8>,
    waiting: Waiting,
) -> bool {
    let (Ok(query), Some(resolver)) = (Query::parse(message), &snapshot.resolver) else { return false };
    let cookie = cookie(snapshot, query.edns.as_ref(), arrival.client.ip());
    let facts = facts(snapshot, arrival, cookie.as_ref().map(|(_, made)| made));
    let outcome = resolver.finish(&snapshot.zones, &query, &facts, owner, out).await;
    tell(snapshot, arrival, message, Some(&query), &facts, &outcome, Verdict::Sent, out);
    drop(waiting);
    true
}

/// Asks anew for an answer that will soon be over.
pub(crate) fn renew(owner: &Open, snapshot: &Snapshot, key: &Key) {
    if let Some(resolver) = &snapshot.resolver {
        resolver.renew(key, owner);
    }
}

fn facts<'f>(snapshot: &'f Snapshot, arrival: Arrival, cookie: Option<&'f [u8; COOKIE_BYTES]>) -> Facts<'f> {
    let identity = snapshot.identity.as_deref();
    Facts {
        sender: arrival.client.ip(),
        draw: draw(),
        now: if snapshot.zones.sign_on_demand() { unix_now() } else { 0 },
        nsid: identity.map(str::as_bytes),
        identity,
        server_cookie: cookie.map(<[u8; COOKIE_BYTES]>::as_slice),
        ..Facts::of_transport(arrival.transport)
    }
}

/// Counts an answer, and logs it where that is wanted.
#[inline]
#[expect(clippy::too_many_arguments, reason = "all that is known of a message")]
fn tell(
    snapshot: &Snapshot,
    arrival: Arrival,
    message: &[u8],
    query: Option<&Query<'_>>,
    facts: &Facts<'_>,
    outcome: &Outcome<'_>,
    verdict: Verdict,
    answer: &[u8],
) {
    let Arrival { client, transport, received } = arrival;
    count(snapshot, transport, outcome, verdict);
    if let (Some(log), Some(received)) = (&snapshot.log, received)
        && log.takes(mixed(facts.draw ^ SAMPLED))
    {
        let took = received.elapsed();
        log.tell(&Record { client, transport, message, query, outcome, answer, verdict, took });
    }
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

/// Whether an answer that has no records may go to whoever a datagram says it is from. They are errors, all alike.
pub(super) fn may_tell(snapshot: &Snapshot, arrival: Arrival) -> bool {
    let (Some(limiter), Some(now)) = (&snapshot.limiter, arrival.received) else { return true };
    if arrival.transport != Transport::Udp {
        return true;
    }
    let subject = Subject { kind: Kind::Error, zone: 0, about: 0 };
    let verdict = limiter.judge(arrival.client.ip(), subject, now, draw());
    let events = &snapshot.live.events;
    match verdict {
        Verdict::Sent => {}
        Verdict::Slipped => events.slipped.inc(),
        Verdict::Dropped => events.limited.inc(),
    }
    verdict != Verdict::Dropped
}

thread_local! {
    /// Known to nobody outside the process.
    static DRAWN: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
}

/// The next number by chance: SplitMix64, each core from a seed of its own.
#[inline]
pub(crate) fn draw() -> u64 {
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
    Some(judge(&snapshot.cookie_key, &cookie, client, unix_now()))
}

/// RFC 9018 §4.3, RFC 4034 §3.1.5: 32 bits, which begin again.
fn unix_now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32
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
    if outcome.signed != SignedNow::default() {
        events.signed(outcome.signed);
    }
    if outcome.truncated {
        events.truncated.inc();
    }
}
