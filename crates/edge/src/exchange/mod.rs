//! One request through a pool: admitted, sent to an endpoint, tried again on another where that is safe.
//!
//! The order of things: [`run`] waits for a place, then tries endpoints; [`Exchange::attempt`] makes one try, which is
//! [`send`] (the request) and [`receive`] (the response), side by side where the body is long; [`conclude`] says
//! what it means.
//! Invariant: nothing is tried again once a byte of a final response may have reached the client, or once a
//! byte of the request's body can no longer be read again from the buffer.

mod conclude;
mod heads;
mod receive;
mod send;

use crate::buffer::Mark;
use crate::cached::Aftermath;
use crate::compress::Wanted;
use crate::core::{Core, Snapshot, Work};
use crate::error::Refusal;
use crate::pacing::Pacing;
use crate::protocol::{BadHead, RequestHead};
use crate::request::{After, Client, Report};
use crate::retry::{self, Tried};
use crate::sites::{Route, Site};
use crate::upstream::{self, Towards, Upstream};
use crate::wire::Wire;
use balance::{EndpointId, KeySource, Outcome, Picked, Pool, PoolConfig, RetryOn, Wish, hash_key};
use conclude::Talked;
pub(crate) use conclude::{CLIENT_GONE, Switched};
use heads::RequestParts;
pub(crate) use receive::Progress;
use receive::{ReceiveEnd, Received, Receiving, RequestFacts, Timeouts};
use send::{SendEnd, Sending, Sent};
use std::cell::Cell;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// Times that an endpoint may say it has not looked at a request (RFC 9113 §8.7) before it is asked no more: as one
/// that ends its connections now and then does, and as one that has too much to do.
const UNSEEN_MAX: u32 = 3;
const BUSY_MAX: u32 = 1;

/// A request that has been routed to a pool.
pub(crate) struct Exchange<'a> {
    pub(crate) core: &'a Rc<Core>,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) site: &'a Site,
    pub(crate) route: &'a Route,
    pub(crate) client: &'a mut Client,
    pub(crate) work: &'a mut Work,
    pub(crate) report: &'a mut Report,
    /// Where the body's first bytes stand in the buffer.
    pub(crate) mark: Mark,
}

/// How the exchange ended for the client.
pub(crate) enum Ended {
    /// The client was answered.
    Answered(After),
    /// Nothing was sent: the caller answers with this.
    Refused(Refusal),
    /// A 101 was sent: the caller runs what follows, which no limit of a request binds.
    Switched(Switched),
}

/// How one try ended.
enum Try {
    Answered(After),
    Switched(Switched),
    /// Nothing of a final response has been sent to the client.
    Failed {
        refusal: Refusal,
        on: Option<RetryOn>,
        sent: Reach,
    },
}

/// How far a failed request got, which decides whether it may go elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing was sent.
    Nowhere,
    /// It was sent, and all of it is still here.
    Replayable,
    /// It was sent, and its body has passed.
    Passed,
}

/// Serves the request from the pool.
pub(crate) async fn run(mut exchange: Exchange<'_>, pool: &Arc<Pool>) -> Ended {
    // Told before it costs the pool anything.
    let length = exchange.work.request.body.bytes_left();
    if length.is_some_and(|length| length > exchange.site.body_bytes_max) {
        return Ended::Refused(Refusal::BodyTooLarge);
    }
    // Held until the response has ended. A tunnel is no request in flight: the edge's own limit on connections
    // bounds it.
    let _permit = match pool.gate().try_enter() {
        Some(permit) => permit,
        None => match exchange.wait_in_line(pool).await {
            Ok(permit) => permit,
            Err(ended) => return ended,
        },
    };
    let config = pool.config();
    let hash = {
        let Work { request, down, path, .. } = &*exchange.work;
        hash_of(&pool.key_source(), request, down.held(), path, Some(exchange.work.client))
    };
    let sticky_cookie = pool.sticky_cookie();
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut failure: Option<Refusal> = None;
    let tries_max = config.retry.attempts as usize;
    loop {
        let picked = {
            let Work { request, down, .. } = &mut *exchange.work;
            let sticky = sticky_cookie.as_ref().and_then(|name| request.cookie(down.held(), name.as_bytes()));
            let wish = Wish { hash, sticky, avoid: &tried };
            pool.pick(&wish, Instant::now(), &mut exchange.core.rng.borrow_mut())
        };
        let picked = match picked {
            Ok(picked) => picked,
            // Where nobody is left to try, the last failure says more.
            Err(error) => {
                return Ended::Refused(failure.unwrap_or_else(|| Refusal::NoEndpoint(error.to_string())));
            }
        };
        let endpoint = picked.endpoint().id();
        exchange.report.tries += 1;
        if exchange.snapshot.access_log.is_some() {
            exchange.report.endpoint = Some(picked.endpoint().clone());
        }
        let cookie = sticky_cookie.as_deref();
        let can_retry = tried.len() + 1 < tries_max;
        match exchange.attempt(pool, &config, picked, cookie, can_retry).await {
            Try::Answered(after) => return Ended::Answered(after),
            Try::Switched(switched) => return Ended::Switched(switched),
            Try::Failed { refusal, on, sent } => {
                let failed = Tried { on, sent, method: exchange.work.request.method };
                let is_retried = can_retry
                    && retry::is_allowed(&config.retry, &failed)
                    && pool.retry_budget().try_withdraw(Instant::now());
                if !is_retried {
                    return Ended::Refused(refusal);
                }
                exchange.site.events.retries.inc();
                tried.push(endpoint);
                failure = Some(refusal);
            }
        }
    }
}

impl Exchange<'_> {
    /// Waits for a place. A client that leaves meanwhile leaves the line.
    async fn wait_in_line(&mut self, pool: &Pool) -> Result<flow::Permit, Ended> {
        let mut entering = pin!(pool.gate().enter());
        let (_, mut client) = self.client.wire.split();
        let entered = std::future::poll_fn(|cx| match entering.as_mut().poll(cx) {
            Poll::Ready(entered) => Poll::Ready(Some(entered)),
            Poll::Pending => client.poll_gone(cx).map(|()| None),
        });
        match entered.await {
            Some(Ok(permit)) => Ok(permit),
            Some(Err(refused)) => {
                Err(Ended::Refused(Refusal::Busy(format!("pool {}: {refused}", pool.name()))))
            }
            None => Err(Ended::Answered(self.client_left("client left"))),
        }
    }

    /// Whether all of the body came with its head: then it can be sent again from the buffer.
    fn body_is_here(&self) -> bool {
        let length = self.work.request.body.bytes_left();
        length.is_some_and(|length| length <= self.mark.len() as u64)
    }

    /// One try on one endpoint. A kept connection that turns out to have ended is replaced by a new one once,
    /// which says nothing against the endpoint.
    async fn attempt(
        &mut self,
        pool: &Pool,
        config: &PoolConfig,
        picked: Picked,
        cookie_name: Option<&str>,
        can_retry: bool,
    ) -> Try {
        let began = Instant::now();
        let may_repeat = self.work.request.method.is_idempotent() && self.body_is_here();
        let endpoint = picked.endpoint().clone();
        let transport = pool.transport();
        let client = (self.client.peer.source, self.client.peer.local);
        let towards = Towards { transport: &transport, config, endpoint: &endpoint, client };
        let core = self.core;
        let mut anew = false;
        let mut unseen = 0;
        loop {
            let reached = core.upstreams.reach(core, &towards, !may_repeat, anew).await;
            let mut upstream = match reached {
                Ok(upstream) => upstream,
                Err(error) if upstream::is_our_lack(&error) => {
                    let refusal = Refusal::Busy(format!("no connection can be opened: {error}"));
                    return Try::Failed { refusal, on: None, sent: Reach::Nowhere };
                }
                Err(_) => {
                    let now = Instant::now();
                    picked.finish(Outcome::ConnectFailed, now - began, now);
                    let refusal = Refusal::Endpoint("no connection");
                    return Try::Failed { refusal, on: Some(RetryOn::Connect), sent: Reach::Nowhere };
                }
            };
            let is_reused = upstream.is_reused;
            self.report.progress = Progress::default();
            let sticky = cookie_name.zip(picked.set_cookie());
            let talked = self.talk(config, &picked, &mut upstream, sticky, can_retry).await;
            let is_again = match talked.received {
                Err(ReceiveEnd::Reset { after_bytes: false }) => is_reused && may_repeat && !anew,
                Err(ReceiveEnd::Unseen { is_busy }) => {
                    unseen += 1;
                    self.body_is_here() && unseen <= if is_busy { BUSY_MAX } else { UNSEEN_MAX }
                }
                _ => false,
            };
            if is_again {
                // One with too much to do is not asked for a new connection as well.
                anew = !matches!(talked.received, Err(ReceiveEnd::Unseen { is_busy: true }));
                continue;
            }
            return self.conclude(&towards, picked, upstream, talked, began);
        }
    }

    /// Sends the request and receives the response on one connection.
    async fn talk(
        &mut self,
        config: &PoolConfig,
        picked: &Picked,
        upstream: &mut Upstream,
        sticky: Option<(&str, &str)>,
        can_retry: bool,
    ) -> Talked {
        let client_idle = self.snapshot.config.timeout.body_idle.get();
        // What the cache keeps is as the endpoint sent it, for any client.
        let is_for_cache = matches!(self.client.wire, Wire::Cache(_));
        let aftermath = if is_for_cache { None } else { Aftermath::of(self.site, self.route, self.work) };
        let reach = if self.body_is_here() { Reach::Replayable } else { Reach::Passed };
        let Work {
            down,
            up,
            out,
            response_out,
            extra,
            timer,
            receive_timer,
            request,
            response,
            ids,
            path,
            is_trusted,
            client: asked_by,
            is_secure,
            is_for_node,
            ..
        } = &mut *self.work;
        let parts = RequestParts {
            snapshot: self.snapshot,
            route: self.route,
            client: &self.client.peer.lines,
            request,
            head: down.held(),
            path,
            ids,
            endpoint: picked.endpoint().address(),
            is_trusted: *is_trusted,
            named_client: (*is_trusted && *asked_by != self.client.peer.address).then_some(*asked_by),
        };
        heads::write_request(&parts, out);
        // Whatever another endpoint has left behind is no part of this answer.
        self.core.take_back(up);
        response_out.clear();
        let sticky = sticky.filter(|_| !is_for_cache);
        let compression = self.site.compression(self.route).filter(|_| !is_for_cache && !*is_for_node);
        let wanted = compression.map(|compression| Wanted::new(compression, request, down.held()));
        let head = match upstream.open(out, request.body.is_finished()) {
            Ok(true) => b"",
            Ok(false) => &out[..],
            // A host that no frame can carry is the client's own fault.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                let refused = Some(Refusal::Head(BadHead::HostInvalid));
                return Talked { received: Err(ReceiveEnd::ClientGone), refused, reach, is_whole: false };
            }
            Err(_) => {
                let received = Err(ReceiveEnd::Unseen { is_busy: false });
                return Talked { received, refused: None, reach, is_whole: false };
            }
        };
        // A body that has come whole with its head stays in the buffer, and can be sent again from there.
        down.rewind(self.mark);
        let peer = self.client.peer.clone();
        let (client_read, client_write) = self.client.wire.split();
        let (endpoint_read, endpoint_write) = upstream.wire.split();
        let sent = Cell::new(Sent::Going);
        let may_repeat = can_retry && reach == Reach::Replayable;
        let unwanted = |status| may_repeat && retry::is_unwanted(&config.retry, status, request.method);
        let mut receiving = Receiving {
            core: self.core,
            site: self.site,
            route: self.route,
            endpoint: endpoint_read,
            client: client_write,
            up,
            out: response_out,
            response,
            ids,
            extra,
            request: RequestFacts {
                method: request.method,
                version: request.version,
                persists: request.persists(),
                wants_upgrade: request.upgrade.is_some(),
                expects_continue: request.expects_continue,
                is_secure: *is_secure,
                is_for_node: *is_for_node,
                compression: wanted.as_ref(),
                sticky,
            },
            sent: &sent,
            timer: receive_timer,
            timeouts: Timeouts {
                first_byte: config.timeout.first_byte.get(),
                endpoint_idle: config.timeout.idle.get(),
                client_idle,
            },
            unwanted: &unwanted,
            aftermath: aftermath.as_deref(),
            progress: &self.report.progress,
            pacing: Pacing::new(&peer, self.route.gate.bytes_per_second.filter(|_| !is_for_cache)),
        };
        let sending = Sending {
            client: client_read,
            endpoint: endpoint_write,
            down,
            head,
            body: request.body.clone(),
            body_bytes_max: self.site.body_bytes_max,
            timer,
            client_idle,
            endpoint_idle: config.timeout.idle.get(),
        };
        let (received, refused) = side_by_side(sending, &mut receiving, &sent).await;
        Talked { received, refused, reach, is_whole: matches!(sent.get(), Sent::Whole(_)) }
    }
}

/// Runs both directions; the response decides when it is over. Without a body, or with one that has come
/// whole with its head, the request is through at once, and only the response is waited for.
async fn side_by_side(
    sending: Sending<'_>,
    receiving: &mut Receiving<'_>,
    sent: &Cell<Sent>,
) -> (Result<Received, ReceiveEnd>, Option<Refusal>) {
    let progress = receiving.progress;
    let mut sending = pin!(sending.run());
    let mut receiving = pin!(receiving.run());
    let mut is_sending = true;
    std::future::poll_fn(|cx| {
        if is_sending && let Poll::Ready(ended) = sending.as_mut().poll(cx) {
            is_sending = false;
            match ended {
                Ok(()) => sent.set(Sent::Whole(Instant::now())),
                // What stopped reading may have answered: the response tells.
                Err(SendEnd::Endpoint) => sent.set(Sent::Partly(Instant::now())),
                // RFC 9110 §10.1.1: who has its final answer need not send the body that it announced.
                Err(SendEnd::Refused(Refusal::ClientTimeout)) if progress.status.get() != 0 => {
                    sent.set(Sent::Partly(Instant::now()));
                }
                Err(SendEnd::ClientGone) => return Poll::Ready((Err(ReceiveEnd::ClientGone), None)),
                Err(SendEnd::Refused(refusal)) => {
                    return Poll::Ready((Err(ReceiveEnd::ClientGone), Some(refusal)));
                }
            }
        }
        receiving.as_mut().poll(cx).map(|received| (received, None))
    })
    .await
}

/// What a pool chooses by, if it hashes. `path` is normalised; a client that is not known has no hash.
pub(crate) fn hash_of(
    source: &KeySource,
    request: &RequestHead,
    head: &[u8],
    path: &[u8],
    client: Option<IpAddr>,
) -> Option<u64> {
    match source {
        KeySource::None => None,
        KeySource::Header(name) => request.value_of(head, name.as_bytes()).map(hash_key),
        KeySource::Cookie(name) => request.cookie(head, name.as_bytes()).map(hash_key),
        KeySource::ClientAddress => client.map(hash_address),
        KeySource::Path => Some(hash_key(path)),
    }
}

/// Clients of one IPv6 /64 are one client: that is what one subscriber has.
fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash_key(&address.octets()),
        IpAddr::V6(address) => hash_key(&address.octets()[..8]),
    }
}
