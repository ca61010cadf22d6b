//! One client connection: requests one after the other, each read, routed, answered, and logged.

use crate::answer::{Answer, ErrorPage};
use crate::arrival::{Door, Peer, arrive};
use crate::core::{Core, Registered, Snapshot, Work};
use crate::error::Refusal;
use crate::events::AccessRecord;
use crate::exchange::{self, Ended, Exchange, Progress};
use crate::file_answer::answer_file;
use crate::forwarding::websocket_key;
use crate::gate;
use crate::http2;
use crate::io::{Timer, poll_read, read};
use crate::message::{Message, lines};
use crate::prefix::find_fields;
use crate::protocol::{BadHead, FieldKind, RequestLimits, Version};
use crate::reply::{answer_ourselves, answer_proof, refuse, send_answer};
use crate::sites::{Action, Route, Site};
use crate::stream::Stream;
use crate::wire::Wire;
use admission::{came_by_https, real_client};
use balance::Endpoint;
use bytes::Bytes;
use std::borrow::Cow;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpStream;

/// The way to a client: a connection, or one stream of it.
pub(crate) struct Client {
    pub(crate) wire: Wire,
    pub(crate) peer: Rc<Peer>,
}

/// What becomes of a connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits for the next request.
    Keep,
    /// It ends.
    Close,
    /// It speaks HTTP/2 from its first byte on (RFC 9113 §3.3).
    Http2,
    /// It ends, but the client may still be sending: closing at once would make its system throw away our
    /// answer (RFC 9112 §9.6).
    Linger,
}

/// What is known of a request in the end.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) status: u16,
    pub(crate) sent_bytes: u64,
    pub(crate) tries: u32,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) cause: Option<Cow<'static, str>>,
    /// Of the present try.
    pub(crate) progress: Progress,
}

impl Report {
    /// Notes that a response that had begun did not get to its end.
    pub(crate) fn cut_off(&mut self, cause: &'static str) {
        // Half of an interim response has no final status yet.
        self.status = match self.progress.status.get() {
            0 => Refusal::EndpointTimeout.status(),
            status => status,
        };
        self.sent_bytes = self.progress.sent_bytes.get();
        self.cause = Some(cause.into());
    }
}

/// Why there is no next request.
enum NoRequest {
    /// The client closed, or kept silent for too long.
    Ended,
    /// What came is refused.
    Refused(Refusal),
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    core: Rc<Core>,
    registered: Registered,
    stream: TcpStream,
    address: SocketAddr,
    door: Door,
) {
    // A handshake takes more room than what follows it: it is not kept in every task.
    let arrived = Box::pin(arrive(&core, stream, address, door)).await;
    let Some((stream, peer)) = arrived else { return };
    let peer = Rc::new(peer);
    if peer.speaks_http2() {
        Box::pin(http2::serve(core, registered, stream, Bytes::new(), peer)).await;
    } else {
        serve_http1(core, registered, stream, peer).await;
    }
}

/// Serves a connection that speaks HTTP/1, until it ends.
async fn serve_http1(core: Rc<Core>, registered: Registered, stream: Stream, peer: Rc<Peer>) {
    let mut client = Client { wire: Wire::Bytes(stream), peer };
    let mut waiting = Waiting { registered, timer: Timer::new(Instant::now()), has_waker: false };
    let mut patience = core.snapshot().config.timeout.head.get();
    let mut is_first = true;
    while waiting.for_bytes(&core, &mut client.wire, patience).await {
        let mut work = core.take_work();
        let after = serve_burst(&core, &mut client, &mut work, &mut is_first).await;
        let first =
            if after == After::Http2 { Bytes::copy_from_slice(work.down.filled()) } else { Bytes::new() };
        core.give_back(work);
        match (after, client.wire) {
            (After::Keep, wire) => client.wire = wire,
            (After::Http2, Wire::Bytes(stream)) => {
                return Box::pin(http2::serve(core, waiting.registered, stream, first, client.peer)).await;
            }
            (After::Linger, Wire::Bytes(stream)) => return linger(stream).await,
            (_, wire) => {
                client.wire = wire;
                break;
            }
        }
        patience = core.snapshot().config.timeout.idle.get();
    }
    // RFC 8446 §6.1: the end is said, so that nobody can make it earlier unnoticed.
    if let Wire::Bytes(mut stream @ Stream::Tls(_)) = client.wire {
        let _ = tokio::time::timeout(FAREWELL, stream.shutdown()).await;
    }
}

/// How long a client has to take the last word.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is told of a request that comes in frames besides its head.
pub(crate) struct Opening {
    /// No body follows.
    pub(crate) is_whole: bool,
    /// What an extended CONNECT asks for (RFC 8441).
    pub(crate) protocol: Option<String>,
    pub(crate) version: Version,
}

/// Counts a request of a connection that has many, until it ends.
pub(crate) struct Open(Rc<Cell<usize>>);

impl Open {
    pub(crate) fn new(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Serves a request that came in frames.
pub(crate) async fn serve_message(
    core: &Rc<Core>,
    peer: Rc<Peer>,
    message: Message,
    head: &http::request::Parts,
    opening: &Opening,
) {
    let mut work = core.take_work();
    let mut client = Client { wire: Wire::Frames(Box::new(message)), peer };
    match take_head(core, &mut work, head, opening) {
        // RFC 8441 §4: only what is known can be switched to.
        Ok(()) if opening.protocol.as_deref().is_some_and(|protocol| protocol != "websocket") => {
            refuse_head(core, &mut client, &mut work, &Refusal::Protocol).await;
        }
        Ok(()) => {
            serve_request(core, &mut client, &mut work).await;
        }
        Err(bad) => {
            refuse_head(core, &mut client, &mut work, &bad.into()).await;
        }
    }
    work.down.release();
    core.give_back(work);
    if let Wire::Frames(mut message) = client.wire {
        message.outgoing.reset();
        // Silence here is the client's business.
        let _ = tokio::time::timeout(LINGER_TIME, message.incoming.end()).await;
    }
}

/// Holds a head that came in frames against the rules for all heads.
fn take_head(
    core: &Core,
    work: &mut Work,
    head: &http::request::Parts,
    opening: &Opening,
) -> Result<(), BadHead> {
    let key =
        opening.protocol.as_ref().map(|_| websocket_key(&mut *core.rng.borrow_mut())).unwrap_or_default();
    let Work { down, out, request, .. } = work;
    out.clear();
    request.clear();
    request.version = opening.version;
    lines::write_request(head, opening.protocol.as_deref(), &key, out)?;
    down.grow(out.len());
    down.spare()[..out.len()].copy_from_slice(out);
    down.fill(out.len());
    // Lines are longer than what h2 counts: the limit was held there.
    let limits = core.snapshot().limits;
    let parsed = request.parse(down.filled(), 0, RequestLimits { head_bytes_max: out.len(), ..limits });
    request.set_framed(opening.version, opening.is_whole);
    match parsed? {
        // RFC 8441 §4: such a request has no length.
        true if opening.protocol.is_some() && request.upgrade.is_none() => Err(BadHead::ContentLength),
        true => Ok(()),
        false => Err(BadHead::RequestLine),
    }
}

/// A connection between two requests: it has no buffer.
struct Waiting {
    registered: Registered,
    timer: Timer,
    has_waker: bool,
}

impl Waiting {
    /// Waits until the client has sent something. `false`: the connection ends.
    async fn for_bytes(&mut self, core: &Core, wire: &mut Wire, patience: Duration) -> bool {
        let idle_since = Instant::now();
        let Self { registered, timer, has_waker } = self;
        timer.set(idle_since + patience);
        let (mut source, _) = wire.split();
        poll_fn(|cx| {
            if source.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            // A task keeps its waker for life.
            if !std::mem::replace(has_waker, true) {
                registered.set_waker(cx.waker());
            }
            if core.is_draining() && core.ends_idle(idle_since, Instant::now()) {
                return Poll::Ready(false);
            }
            timer.poll_passed(cx).map(|()| false)
        })
        .await
    }
}

/// The line that HTTP/2 begins with; what follows it is for `h2` to judge.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Serves what the client has sent: one request, or several when they come in one go (pipelining).
async fn serve_burst(core: &Rc<Core>, client: &mut Client, work: &mut Work, is_first: &mut bool) -> After {
    loop {
        match read_head(core, client, work).await {
            Ok(true) => {}
            Ok(false) => return After::Keep,
            Err(NoRequest::Ended) => return After::Close,
            Err(NoRequest::Refused(_)) if *is_first && work.down.filled().starts_with(HTTP2_PREFACE) => {
                return After::Http2;
            }
            Err(NoRequest::Refused(refusal)) => return refuse_head(core, client, work, &refusal).await,
        }
        *is_first = false;
        let after = serve_request(core, client, work).await;
        work.down.release();
        if after != After::Keep || work.down.filled().is_empty() {
            return after;
        }
    }
}

/// Reads a request's head. `Ok(false)`: readiness was a false alarm, and nothing has come.
async fn read_head(core: &Core, client: &mut Client, work: &mut Work) -> Result<bool, NoRequest> {
    let snapshot = core.snapshot();
    let limits = snapshot.limits;
    let mut searched = 0;
    // Most heads are here when the connection wakes up, and no clock is asked for them.
    let mut deadline = None;
    loop {
        let bytes = work.down.filled();
        if !bytes.is_empty() {
            match work.request.parse(bytes, searched, limits) {
                Ok(true) => return Ok(true),
                Ok(false) => searched = bytes.len(),
                Err(bad) => return Err(NoRequest::Refused(bad.into())),
            }
            let deadline =
                *deadline.get_or_insert_with(|| Instant::now() + snapshot.config.timeout.head.get());
            work.timer.set(deadline);
            if work.down.spare().is_empty() {
                work.down.grow(limits.head_bytes_max.max(work.down.capacity() * 2));
            }
        }
        let (mut source, _) = client.wire.split();
        let read = if searched == 0 {
            let at_once = poll_fn(|cx| match poll_read(&mut source, &mut work.down, cx) {
                Poll::Ready(read) => Poll::Ready(read.map(Some)),
                Poll::Pending => Poll::Ready(Ok(None)),
            });
            match at_once.await {
                Ok(None) => return Ok(false),
                Ok(Some(count)) => Ok(count),
                Err(error) => Err(error),
            }
        } else {
            read(&mut source, &mut work.down, &mut work.timer).await
        };
        match read {
            Ok(0) => return Err(NoRequest::Ended),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(NoRequest::Refused(Refusal::ClientTimeout));
            }
            Err(_) => return Err(NoRequest::Ended),
        }
    }
}

/// Answers a head that cannot be trusted: no route is looked up for it, and the connection ends.
async fn refuse_head(core: &Rc<Core>, client: &mut Client, work: &mut Work, refusal: &Refusal) -> After {
    let started = Instant::now();
    let snapshot = core.snapshot();
    work.ids.renew(None, None, &mut *core.rng.borrow_mut());
    work.extra.clear();
    let page = ErrorPage::new(refusal, &work.ids, None);
    let mut report =
        Report { status: refusal.status(), cause: Some(refusal.to_string().into()), ..Report::default() };
    let answer = Answer {
        status: report.status,
        content_type: page.content_type,
        body: &page.body,
        length: Some(page.body.len() as u64),
        lines: &page.lines,
        edits: None,
        head_only: false,
        connection: Some("close"),
    };
    let after = send_answer(core, client, work, &snapshot, &answer, After::Linger, &mut report).await;
    let took = started.elapsed();
    core.events.unrouted.answered(report.status, took);
    work.request.clear();
    work.host.clear();
    work.path.clear();
    log(&snapshot, client, work, None, None, &report, took);
    after
}

/// Serves one request whose head is held at the front of the buffer.
async fn serve_request(core: &Rc<Core>, client: &mut Client, work: &mut Work) -> After {
    let started = Instant::now();
    let snapshot = core.snapshot();
    work.down.hold(work.request.len);
    work.extra.clear();
    identify(core, &snapshot, client, work);
    let mut report = Report::default();

    if let Some(proof) = acme_proof(&snapshot, work) {
        let after = answer_proof(core, &snapshot, client, work, proof, &mut report).await;
        log(&snapshot, client, work, None, None, &report, started.elapsed());
        return after;
    }
    let found = route(core, &snapshot, client, work).await;
    // What is held counts the request among its client's.
    let (passed, _held) = match &found {
        Ok((_, route)) => match gate::pass(core, work, route).await {
            Ok(held) => (Ok(()), held),
            Err(refusal) => (Err(refusal), None),
        },
        Err(refusal) => (Err(refusal.clone()), None),
    };
    let site = found.as_ref().ok().map(|(site, _)| *site).or_else(|| find_site(&snapshot, work));
    let ended = match (&found, passed) {
        // RFC 8441 §5: what we answer by ourselves changes no protocol, and a 200 would say that it does.
        (Ok((_, route)), Ok(()))
            if work.request.upgrade.is_some()
                && work.request.version.is_framed()
                && !matches!(route.action, Action::Pool(_)) =>
        {
            Ended::Refused(Refusal::Protocol)
        }
        (_, Err(refusal)) => Ended::Refused(refusal),
        (Err(refusal), _) => Ended::Refused(refusal.clone()),
        (Ok((site, route)), Ok(())) => match &route.action {
            Action::Pool(pool) => {
                let mark = work.down.mark();
                let exchange = Exchange {
                    core,
                    snapshot: &snapshot,
                    site,
                    route,
                    client: &mut *client,
                    work: &mut *work,
                    report: &mut report,
                    mark,
                };
                let run = exchange::run(exchange, pool);
                match snapshot.config.timeout.request {
                    None => run.await,
                    Some(limit) => match tokio::time::timeout(limit.get(), run).await {
                        Ok(ended) => ended,
                        // What has begun can only be cut off.
                        Err(_) if report.progress.has_begun.get() => {
                            report.cut_off("request took too long");
                            Ended::Answered(After::Close)
                        }
                        Err(_) if report.tries == 0 => {
                            Ended::Refused(Refusal::Busy("no place in time".into()))
                        }
                        Err(_) => Ended::Refused(Refusal::EndpointTimeout),
                    },
                }
            }
            Action::Files(folder) => {
                let answering =
                    answer_file(core, &snapshot, client, work, (site, route), folder, &mut report);
                Box::pin(answering).await
            }
            _ => Ended::Answered(answer_ourselves(core, &snapshot, client, work, route, &mut report).await),
        },
    };
    let after = match ended {
        Ended::Answered(after) => after,
        Ended::Switched(switched) => {
            let idle = snapshot.config.timeout.tunnel_idle.get();
            switched.run(core, client, work, idle, &mut report).await
        }
        Ended::Refused(refusal) => refuse(core, &snapshot, client, work, refusal, &mut report).await,
    };
    let took = started.elapsed();
    let events = site.map_or(&core.events.unrouted, |site| &site.events);
    events.answered(report.status, took);
    events.sent.add(report.sent_bytes);
    log(&snapshot, client, work, site, found.as_ref().ok().map(|(_, route)| *route), &report, took);
    after
}

/// What a certificate authority looks for below a well-known path (RFC 8555 §8.3), whatever the host.
fn acme_proof(snapshot: &Snapshot, work: &Work) -> Option<String> {
    let token = work.path.strip_prefix(b"/.well-known/acme-challenge/")?;
    snapshot.acme.as_ref()?.http_challenge(std::str::from_utf8(token).ok()?)
}

/// Gives the request its identity, and its host and path the form that routes are looked up by.
fn identify(core: &Core, snapshot: &Snapshot, client: &Client, work: &mut Work) {
    work.client = client.peer.address;
    work.is_trusted = snapshot.trust.believes(client.peer.address);
    let Work { request, down, ids, host, path, .. } = work;
    let head = down.held();
    work.is_secure = client.peer.secure.is_some();
    if work.is_trusted {
        let said = |name: &'static [u8]| request.values_of(head, name);
        work.is_secure |= came_by_https(said(b"x-forwarded-proto"), said(b"forwarded"));
        let (peer, trust) = (client.peer.address, &snapshot.trust);
        work.client = real_client(peer, trust, said(b"x-forwarded-for"), said(b"forwarded"));
    }
    let given = work.is_trusted.then(|| request.value(head, FieldKind::RequestId)).flatten();
    ids.renew(given, request.value(head, FieldKind::TraceParent), &mut *core.rng.borrow_mut());
    request.write_looked_up(head, host, path);
}

fn find_site<'s>(snapshot: &'s Snapshot, work: &Work) -> Option<&'s Site> {
    snapshot.sites.find(&work.host).map(|(site, _)| &**site)
}

async fn route<'s>(
    core: &Core,
    snapshot: &'s Snapshot,
    client: &mut Client,
    work: &mut Work,
) -> Result<(&'s Site, &'s Route), Refusal> {
    if work.request.method.is_refused() {
        return Err(Refusal::Method);
    }
    let site = find_site(snapshot, work).ok_or(Refusal::NoSite)?;
    gate::enter(core, snapshot, client, work, site)?;
    let json = match site.asks_for_body(&work.path) {
        true => Some(Box::pin(find_fields(snapshot, client, work, site)).await?),
        false => None,
    };
    let Work { request, down, path, .. } = work;
    let head = down.held();
    let route = site.find(path, request.query.of_head(head), request.method, request, head, json.as_ref());
    Ok((site, route.ok_or(Refusal::NoRoute)?))
}

/// Bytes and time for a client to finish sending what will not be read.
const LINGER_BYTES_MAX: usize = 1 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Ends the connection once the client has seen our answer and stopped sending.
async fn linger(mut stream: Stream) {
    let draining = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let stream = stream.into_tcp();
        let mut left = LINGER_BYTES_MAX;
        let mut discarded = [0; 1024];
        while left > 0 && stream.readable().await.is_ok() {
            match stream.try_read(&mut discarded) {
                Ok(0) => return,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Silence here is the client's business.
    let _ = tokio::time::timeout(LINGER_TIME, draining).await;
}

fn log(
    snapshot: &Snapshot,
    client: &Client,
    work: &Work,
    site: Option<&Site>,
    route: Option<&Route>,
    report: &Report,
    took: Duration,
) {
    let Some(access_log) = &snapshot.access_log else { return };
    let Work { request, down, ids, path, .. } = work;
    let head = down.held();
    let named = |name: &[u8]| request.value_of(head, name).unwrap_or_default();
    let named_client = (work.client != client.peer.address).then(|| work.client.to_string());
    let client_text = named_client.as_deref().unwrap_or(&client.peer.lines.address);
    let record = AccessRecord {
        at: SystemTime::now(),
        client: client_text,
        version: request.version.number(),
        method: request.method_name.of_head(head),
        host: request.host.map_or(&b""[..], |host| host.of_head(head)),
        path,
        query: request.query.of_head(head),
        status: report.status,
        sent_bytes: report.sent_bytes,
        took,
        site: site.map_or("", |site| &site.name),
        route: route.map_or("", |route| &route.path),
        endpoint: report.endpoint.as_ref().map_or("", |endpoint| endpoint.name()),
        tries: report.tries,
        referer: named(b"referer"),
        user_agent: named(b"user-agent"),
        cause: report.cause.as_deref().unwrap_or_default(),
        ids,
    };
    access_log.line(|out| record.write(out));
}
