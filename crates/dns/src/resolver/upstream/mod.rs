//! Those who are asked: which first (`health`), how (`exchange`, by datagrams or `connections`), how often, and what is believed of what
//! they say.

mod address;
mod connections;
mod exchange;
mod health;
mod message;

pub(crate) use address::{Address, Transport};
pub use connections::framed_messages;

use super::events::{Attempt, UpstreamEvents};
use super::forward::Forwarder;
use super::key::Asked;
use super::wire::Reply;
use connections::{Connections, Dialer, Lost};
use exchange::Exchange;
use health::{Health, order};
use rand::{Rng, RngExt};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use telemetry::Registry;
use tokio::task::JoinSet;

/// One of those who are asked, shared by all cores.
pub(crate) struct Upstream {
    pub(crate) address: Arc<Address>,
    dialer: Dialer,
    connections: Connections,
    /// Why the last try has failed, until one does not.
    trouble: Mutex<Option<Box<str>>>,
    health: Mutex<Health>,
    /// Our half of the cookie (RFC 7873), and the one that it gave us.
    cookie: [u8; 8],
    server_cookie: Mutex<Option<Box<[u8]>>>,
    pub(crate) events: UpstreamEvents,
}

impl Upstream {
    /// Of a state of the file: the one that is known from the state before, if there is one.
    pub(super) fn of(forwarder: &Forwarder, known: Option<Arc<Self>>, registry: &Registry) -> Arc<Self> {
        let (address, tls) = (&forwarder.address, &forwarder.tls);
        let Some(known) = known else {
            return Arc::new(Self::new(address.clone(), tls.clone(), registry));
        };
        // A file is read again by itself when it changes; the authorities of the system are those of the last reload.
        if forwarder.ca.is_none() {
            known.dialer.believe(tls.clone());
        }
        known
    }

    /// `tls` says whom to believe, where it is asked over TLS.
    pub(crate) fn new(address: Address, tls: Option<Arc<tls::Client>>, registry: &Registry) -> Self {
        let (name, address) = (address.to_string(), Arc::new(address));
        let events = UpstreamEvents::new(registry, &name);
        Self {
            dialer: Dialer::new(Arc::clone(&address), tls),
            connections: Connections::new(registry, &name, events.foreign.clone()),
            trouble: Mutex::default(),
            health: Mutex::default(),
            cookie: rand::rng().random(),
            server_cookie: Mutex::default(),
            address,
            events,
        }
    }

    /// Looks for changed files. Not for a core.
    pub(crate) fn refresh(&self) {
        self.dialer.refresh();
    }

    /// Why it does not answer.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_deref().map(str::to_owned)
    }

    /// How long it takes to answer, and whether it is down.
    pub(crate) fn state(&self, now: Instant) -> (Option<Duration>, bool) {
        let health = self.health();
        (health.rtt(), health.is_down(now))
    }

    fn has_answered(&self, took: Duration) {
        let was_down = {
            let mut health = self.health();
            let was_down = health.is_known_down();
            health.answered(took);
            was_down
        };
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if was_down {
            tracing::info!(target: "dns", upstream = %self.address, "resolver: an upstream answers again");
        }
    }

    /// What is the matter is told once, when it is taken for down.
    fn has_failed(&self, cause: &str, now: Instant) {
        let (was_down, is_down) = {
            let mut health = self.health();
            let was_down = health.is_known_down();
            health.failed(now);
            (was_down, health.is_known_down())
        };
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.into());
        if is_down && !was_down {
            tracing::warn!(target: "dns", upstream = %self.address, cause, "resolver: an upstream does not answer");
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cookie to send.
    fn cookie(&self) -> Vec<u8> {
        let server = self.server_cookie.lock().unwrap_or_else(PoisonError::into_inner);
        [&self.cookie, server.as_deref().unwrap_or(&[])].concat()
    }
}

/// How upstreams are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// All tries together.
    pub(crate) timeout: Duration,
    /// Letters of the question are large or small by chance, which an answer must repeat.
    pub(crate) random_case: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// None of them has answered in time.
    Silence,
    /// Those who have answered could not tell.
    Refused,
    /// The answer was not what it should be, by its signatures.
    Bogus,
}

/// Tries of one question, over all upstreams.
const TRIES_MAX: usize = 6;
/// Of those by datagrams to the same one, and by connections: these lose nothing, and each question on them takes a place that is short.
const DATAGRAMS_MAX: usize = 2;
const CONNECTIONS_MAX: usize = 2;

/// Asks until somebody answers: the fastest first, the next when it is late or fails. Answers to earlier tries are still taken.
pub(crate) async fn ask(
    upstreams: &[Arc<Upstream>],
    (name, asked): (&[u8], Asked),
    manner: Manner,
) -> Result<Reply, Failure> {
    let start = Instant::now();
    let plan = plan(upstreams, &chosen(upstreams, start, &mut rand::rng()));
    let mut tries: JoinSet<Result<Reply, Failure>> = JoinSet::new();
    let (mut next, mut failure) = (0, Failure::Silence);
    loop {
        let now = Instant::now();
        let left = manner.timeout.saturating_sub(now - start);
        if left.is_zero() {
            return Err(failure);
        }
        let mut patience = left;
        if let Some(one) = plan.get(next) {
            let upstream = &upstreams[one.at];
            let exchange = Exchange::new(upstream, name, asked, manner, one.is_by_datagram(upstream));
            tries.spawn_local(attempt(Arc::clone(upstream), exchange, left));
            next += 1;
            if let Some(after) = plan.get(next) {
                patience = self::patience(upstreams, *one, *after).min(left);
            }
        }
        tokio::select! {
            biased;
            Some(done) = tries.join_next() => match done {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(failed)) => {
                    if failed == Failure::Refused {
                        failure = failed;
                    }
                    // Nobody is left to be asked or waited for; or each was asked, and has said that it cannot tell.
                    if tries.is_empty() && (next == plan.len() || failed == Failure::Refused && next >= upstreams.len()) {
                        return Err(failure);
                    }
                }
                Err(_) => {}
            },
            () = tokio::time::sleep(patience) => {}
        }
    }
}

/// One of the tries: the `round`th (from 0) of this upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Try {
    at: usize,
    round: usize,
}

impl Try {
    /// Whose datagrams are lost twice may be heard by connections.
    fn is_by_datagram(self, upstream: &Upstream) -> bool {
        upstream.address.transport == Transport::Udp && self.round < DATAGRAMS_MAX
    }
}

/// Who is asked, one after the other.
fn plan(upstreams: &[Arc<Upstream>], order: &[usize]) -> Vec<Try> {
    let all = (0..TRIES_MAX).flat_map(|round| order.iter().map(move |&at| Try { at, round }));
    let is_of_use = |one: &Try| {
        let is_udp = upstreams[one.at].address.transport == Transport::Udp;
        one.round < CONNECTIONS_MAX + if is_udp { DATAGRAMS_MAX } else { 0 }
    };
    all.filter(is_of_use).take(TRIES_MAX.max(order.len())).collect()
}

/// In which order they are asked.
fn chosen(upstreams: &[Arc<Upstream>], now: Instant, rng: &mut impl Rng) -> Vec<usize> {
    // One lock after the other: whoever held one while waiting for the next would wait for a core that has them in another order.
    let healths: Vec<_> = upstreams.iter().map(|upstream| upstream.health().clone()).collect();
    let (mut order, is_due) = order(&healths, now, rng);
    if is_due && !upstreams[order[0]].health().claim(now) {
        // Another core has been faster.
        order.rotate_left(1);
    }
    order
}

/// How long a try is waited for before the one after it.
fn patience(upstreams: &[Arc<Upstream>], one: Try, after: Try) -> Duration {
    let patience = upstreams[one.at].health().patience(one.round as u32);
    // One who has the question on a connection has not lost it: to ask again helps only if it is another connection.
    let is_again = after.round > 0 && {
        let before = Try { round: after.round - 1, ..after };
        !before.is_by_datagram(&upstreams[after.at])
    };
    if is_again { patience.max(connections::PATIENCE_MIN) } else { patience }
}

/// One try, and what it says of the upstream.
async fn attempt(upstream: Arc<Upstream>, exchange: Exchange, left: Duration) -> Result<Reply, Failure> {
    let begun = Instant::now();
    // Somebody who is abandoned for another has not answered: it is told when this is dropped.
    let mut unheard = Unheard { upstream: &upstream, begun, is_heard: false };
    let result = tokio::time::timeout(left, exchange.run(&upstream)).await;
    unheard.is_heard = true;
    let now = Instant::now();
    match result {
        Ok(Ok(reply)) => {
            upstream.has_answered(now - begun);
            upstream.events.latency.observe(now - begun);
            // What fails there may not fail elsewhere.
            if matches!(reply.rcode, 0 | 3) {
                upstream.events.attempt(Attempt::Answered);
                Ok(reply)
            } else {
                upstream.events.attempt(Attempt::Refused);
                Err(Failure::Refused)
            }
        }
        failed => {
            let error = failed.ok().and_then(Result::err);
            // That we have no place left for a question says nothing of those who have got it.
            if !error.as_ref().is_some_and(is_full) {
                let cause = error.map_or_else(|| "no answer in time".into(), |error| error.to_string());
                upstream.has_failed(&cause, now);
            }
            upstream.events.attempt(Attempt::Failed);
            Err(Failure::Silence)
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref()) == Some(&Lost::Full)
}

struct Unheard<'u> {
    upstream: &'u Upstream,
    begun: Instant,
    is_heard: bool,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if !self.is_heard {
            let now = Instant::now();
            self.upstream.health().overtaken(now - self.begun, now);
            self.upstream.events.attempt(Attempt::Overtaken);
        }
    }
}

#[cfg(test)]
mod tests;
