//! One request whose head is there, whatever it came in: named, routed, answered, and logged.

use crate::answer::{Answer, ErrorPage};
use crate::arrival::Peer;
use crate::cached::{self, CacheUse, Cached};
use crate::core::{Core, CoreSnapshot, Snapshot, Work};
use crate::dns_answer::answer_dns;
use crate::error::Refusal;
use crate::events::AccessRecord;
use crate::exchange::{self, Ended, Exchange, Progress};
use crate::file_answer::{Source, answer_file};
use crate::gate::{self, Passed};
use crate::prefix::find_fields;
use crate::protocol::FieldKind;
use crate::reply::{answer_ourselves, answer_proof, refuse, send_answer};
use crate::sites::{Action, Route, Site};
use crate::wire::Wire;
use admission::{came_by_https, real_client};
use balance::{Endpoint, Pool};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

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
    /// What the cache was to it, where the route has one.
    pub(crate) cache: Option<CacheUse>,
    /// How old the response is that the cache has answered with, in seconds.
    pub(crate) cache_age: Option<u32>,
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

/// Answers a head that cannot be trusted: no route is looked up for it, and the connection ends.
pub(crate) async fn refuse_head(
    core: &Rc<Core>,
    client: &mut Client,
    work: &mut Work,
    refusal: &Refusal,
) -> After {
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
pub(crate) async fn serve_request(core: &Rc<Core>, client: &mut Client, work: &mut Work) -> After {
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
    let site = find_site(&snapshot, work);
    let admitted = admit(core, &snapshot, client, work, site).await;
    let ended = match &admitted {
        Err(TurnedAway { refusal, .. }) => Ended::Refused(refusal.clone()),
        Ok(Admitted { site, route, .. }) => match &route.action {
            Action::Pool(pool) => {
                let run = pass_on(core, &snapshot, (site, route, pool), client, work, &mut report);
                match snapshot.config.timeout.request {
                    None => run.await,
                    Some(limit) => match tokio::time::timeout(limit.get(), run).await {
                        Ok(ended) => ended,
                        Err(_) => out_of_time(&mut report),
                    },
                }
            }
            // RFC 8441 §5: what we answer by ourselves changes no protocol, and a 200 would say that it does.
            _ if work.request.upgrade.is_some() && work.request.version.is_framed() => {
                Ended::Refused(Refusal::Protocol)
            }
            Action::Files(folder) => {
                let from = Source::Folder(folder);
                let answering = answer_file(core, &snapshot, client, work, (site, route), from, &mut report);
                Box::pin(answering).await
            }
            Action::Push(pushed) => match &pushed.assets {
                Some(assets) => {
                    let from = Source::Pushed(assets);
                    let answering =
                        answer_file(core, &snapshot, client, work, (site, route), from, &mut report);
                    Box::pin(answering).await
                }
                None => Ended::Refused(Refusal::File(503)),
            },
            Action::Dns => {
                let answering = answer_dns(core, &snapshot, client, work, (site, route), &mut report);
                Box::pin(answering).await
            }
            Action::Redirect { .. } | Action::Respond(_) => {
                Ended::Answered(answer_ourselves(core, &snapshot, client, work, route, &mut report).await)
            }
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
    if let (Some(site), Some(cache)) = (site, report.cache) {
        let events = site.cache_events.iter();
        events.for_each(|events| events.answered(cache, report.sent_bytes, report.cache_age));
    }
    let route = match &admitted {
        Ok(admitted) => Some(&**admitted.route),
        Err(turned_away) => turned_away.route,
    };
    log(&snapshot, client, work, site.map(|site| &**site), route, &report, took);
    after
}

/// Serves a request from a pool, or from what the cache has of it.
async fn pass_on(
    core: &Rc<Core>,
    snapshot: &CoreSnapshot,
    (site, route, pool): (&Arc<Site>, &Arc<Route>, &Arc<Pool>),
    client: &mut Client,
    work: &mut Work,
    report: &mut Report,
) -> Ended {
    if let Some(caching) = &route.caching {
        let cached = Cached { core, snapshot, site, route, pool, caching, client, work, report };
        // What a cache needs is not carried by requests of routes that have none.
        return Box::pin(cached::run(cached)).await;
    }
    let mark = work.down.mark();
    let exchange = Exchange { core, snapshot, site, route, client, work, report, mark };
    exchange::run(exchange, pool).await
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
    work.is_for_node = false;
    if work.is_trusted {
        let said = |name: &'static [u8]| request.values_of(head, name);
        work.is_secure |=
            came_by_https(said(b"x-forwarded-for"), said(b"x-forwarded-proto"), said(b"forwarded"));
        let (peer, trust) = (client.peer.address, &snapshot.trust);
        work.client = real_client(peer, trust, said(b"x-forwarded-for"), said(b"forwarded"));
    }
    let given = work.is_trusted.then(|| request.value(head, FieldKind::RequestId)).flatten();
    ids.renew(given, request.value(head, FieldKind::TraceParent), &mut *core.rng.borrow_mut());
    request.write_looked_up(head, host, path);
}

fn find_site<'s>(snapshot: &'s Snapshot, work: &Work) -> Option<&'s Arc<Site>> {
    snapshot.sites.find(&work.host).map(|(site, _)| site)
}

/// A request that is served, and counts among its client's until this is dropped.
struct Admitted<'s> {
    site: &'s Arc<Site>,
    route: &'s Arc<Route>,
    _passed: Passed,
}

/// A request that is not served, with its route where that was known by then.
struct TurnedAway<'s> {
    refusal: Refusal,
    route: Option<&'s Route>,
}

impl From<Refusal> for TurnedAway<'_> {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, route: None }
    }
}

/// Finds the request's route, and asks all that its site and that route ask.
async fn admit<'s>(
    core: &Core,
    snapshot: &'s Snapshot,
    client: &mut Client,
    work: &mut Work,
    site: Option<&'s Arc<Site>>,
) -> Result<Admitted<'s>, TurnedAway<'s>> {
    if work.request.method.is_refused() {
        return Err(Refusal::Method.into());
    }
    let site = site.ok_or(Refusal::NoSite)?;
    gate::enter(core, snapshot, client, work, site)?;
    let route = site.find(&work.path, &work.request, work.down.held()).ok_or(Refusal::NoRoute)?;
    if route.when.ask_for_body() {
        return Box::pin(admit_by_body(core, snapshot, client, work, site)).await;
    }
    pass(core, work, site, route).await
}

/// The same where the body says which route it is. Whoever is refused by any of them has not had it read.
async fn admit_by_body<'s>(
    core: &Core,
    snapshot: &'s Snapshot,
    client: &mut Client,
    work: &mut Work,
    site: &'s Arc<Site>,
) -> Result<Admitted<'s>, TurnedAway<'s>> {
    let routes = site.find_by_head(&work.path, &work.request, work.down.held());
    let passed = gate::pass_unread(core, work, &routes).await?;
    let json = find_fields(snapshot, client, work, site).await?;
    let route = routes.into_iter().find(|route| route.when.hold_of_body(&json)).ok_or(Refusal::NoRoute)?;
    match passed {
        Some(passed) => Ok(Admitted { site, route, _passed: passed }),
        None => pass(core, work, site, route).await,
    }
}

async fn pass<'s>(
    core: &Core,
    work: &mut Work,
    site: &'s Arc<Site>,
    route: &'s Arc<Route>,
) -> Result<Admitted<'s>, TurnedAway<'s>> {
    match route.gate.pass(core, work).await {
        Ok(passed) => Ok(Admitted { site, route, _passed: passed }),
        Err(refusal) => Err(TurnedAway { refusal, route: Some(route) }),
    }
}

/// How a request ends that took too long as a whole.
fn out_of_time(report: &mut Report) -> Ended {
    // What has begun can only be cut off.
    if report.progress.has_begun.get() {
        report.cut_off("request took too long");
        return Ended::Answered(After::Close);
    }
    Ended::Refused(match report.tries {
        0 => Refusal::Busy("no place in time".into()),
        _ => Refusal::EndpointTimeout,
    })
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
        cache: report.cache.map_or("", CacheUse::name),
        ids,
    };
    access_log.line(|out| record.write(out));
}
