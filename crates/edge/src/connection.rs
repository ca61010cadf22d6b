//! One client connection: requests one after the other, each read, routed, answered, and logged.

use crate::answer::{Answer, ErrorPage};
use crate::core::{Core, Registered, Snapshot, Work};
use crate::error::Refusal;
use crate::events::AccessRecord;
use crate::exchange::{self, Ended, Exchange, Progress};
use crate::forwarding::ClientLines;
use crate::io::{Timer, poll_read, read};
use crate::protocol::FieldKind;
use crate::reply::{answer_ourselves, refuse, send_answer};
use crate::sites::{Action, Route, Site};
use balance::Endpoint;
use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A client's connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) address: IpAddr,
    pub(crate) lines: ClientLines,
    /// For reading requests and sending them on.
    pub(crate) timer: Timer,
    /// For receiving responses and writing them.
    pub(crate) receive_timer: Timer,
    /// Memory for response heads, which are written while a request may still be read.
    pub(crate) response_out: Vec<u8>,
    registered: Registered,
    has_waker: bool,
}

/// What becomes of a connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits for the next request.
    Keep,
    /// It ends.
    Close,
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
pub(crate) async fn serve(core: Rc<Core>, registered: Registered, stream: TcpStream, peer: SocketAddr) {
    let now = Instant::now();
    let mut client = Client {
        stream,
        address: peer.ip(),
        lines: ClientLines::new(peer.ip()),
        timer: Timer::new(now),
        receive_timer: Timer::new(now),
        response_out: Vec::new(),
        registered,
        has_waker: false,
    };
    let mut patience = core.snapshot().config.timeout.head.get();
    while wait_for_bytes(&core, &mut client, patience).await {
        let mut work = core.take_work();
        let after = serve_burst(&core, &mut client, &mut work).await;
        core.give_back(work);
        match after {
            After::Keep => patience = core.snapshot().config.timeout.idle.get(),
            After::Close => return,
            After::Linger => return linger(client.stream).await,
        }
    }
}

/// Waits without a buffer until the client has sent something. `false`: the connection ends.
async fn wait_for_bytes(core: &Core, client: &mut Client, patience: Duration) -> bool {
    let idle_since = Instant::now();
    let Client { stream, timer, registered, has_waker, .. } = client;
    timer.set(idle_since + patience);
    poll_fn(|cx| {
        if stream.poll_read_ready(cx).is_ready() {
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

/// Serves what the client has sent: one request, or several when they come in one go (pipelining).
async fn serve_burst(core: &Rc<Core>, client: &mut Client, work: &mut Work) -> After {
    loop {
        match read_head(core, client, work).await {
            Ok(true) => {}
            Ok(false) => return After::Keep,
            Err(NoRequest::Ended) => return After::Close,
            Err(NoRequest::Refused(refusal)) => return refuse_head(core, client, work, &refusal).await,
        }
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
            client.timer.set(deadline);
            if work.down.spare().is_empty() {
                work.down.grow(limits.head_bytes_max.max(work.down.capacity() * 2));
            }
        }
        let read = if searched == 0 {
            let at_once = poll_fn(|cx| match poll_read(&mut client.stream, &mut work.down, cx) {
                Poll::Ready(read) => Poll::Ready(read.map(Some)),
                Poll::Pending => Poll::Ready(Ok(None)),
            });
            match at_once.await {
                Ok(None) => return Ok(false),
                Ok(Some(count)) => Ok(count),
                Err(error) => Err(error),
            }
        } else {
            read(&mut client.stream, &mut work.down, &mut client.timer).await
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
    let page = ErrorPage::new(refusal, &work.ids, None);
    let mut report =
        Report { status: refusal.status(), cause: Some(refusal.to_string().into()), ..Report::default() };
    work.out.clear();
    let answer = Answer {
        status: report.status,
        content_type: page.content_type,
        body: &page.body,
        lines: &page.lines,
        edits: None,
        head_only: false,
        connection: Some("close"),
    };
    report.sent_bytes = answer.write(core, &work.ids, &mut work.out);
    let after = send_answer(client, work, &snapshot, After::Linger).await;
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
    identify(core, &snapshot, work);
    let mut report = Report::default();

    let found = route(&snapshot, work);
    let site = found.as_ref().ok().map(|(site, _)| *site).or_else(|| find_site(&snapshot, work));
    let ended = match &found {
        Err(refusal) => Ended::Refused(refusal.clone()),
        Ok((site, route)) => match &route.action {
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

/// Gives the request its identity, and its host and path the form that routes are looked up by.
fn identify(core: &Core, snapshot: &Snapshot, work: &mut Work) {
    let Work { request, down, ids, host, path, .. } = work;
    let head = down.held();
    let given = snapshot.config.trust_forwarded.then(|| request.value(head, FieldKind::RequestId)).flatten();
    ids.renew(given, request.value(head, FieldKind::TraceParent), &mut *core.rng.borrow_mut());
    request.write_looked_up(head, host, path);
}

fn find_site<'s>(snapshot: &'s Snapshot, work: &Work) -> Option<&'s Site> {
    snapshot.sites.find(&work.host).map(|(site, _)| &**site)
}

fn route<'s>(snapshot: &'s Snapshot, work: &Work) -> Result<(&'s Site, &'s Route), Refusal> {
    let Work { request, down, path, .. } = work;
    if request.method.is_refused() {
        return Err(Refusal::Method);
    }
    let site = find_site(snapshot, work).ok_or(Refusal::NoSite)?;
    let head = down.held();
    let route = site.find(path, request.query.of_head(head), request.method, request, head);
    Ok((site, route.ok_or(Refusal::NoRoute)?))
}

/// Bytes and time for a client to finish sending what will not be read.
const LINGER_BYTES_MAX: usize = 1 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Ends the connection once the client has seen our answer and stopped sending.
async fn linger(mut stream: TcpStream) {
    let draining = async {
        if stream.shutdown().await.is_err() {
            return;
        }
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
    let record = AccessRecord {
        at: SystemTime::now(),
        client: &client.lines.address,
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
