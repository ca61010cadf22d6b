//! A fetch for the cache: an exchange with the pool in a task of its own.

use super::caching::Caching;
use super::filler::Filler;
use super::look_up::{Wanted, served};
use super::parts::Asking;
use super::tiers;
use crate::arrival::Peer;
use crate::core::{Core, CoreSnapshot, Work};
use crate::error::Refusal;
use crate::exchange::{self, Ended, Exchange};
use crate::protocol::{FieldKind, RequestLimits, copy_kept_lines, is_nominated};
use crate::request::{Client, Report};
use crate::sites::{Route, Site, ToShield};
use crate::wire::Wire;
use balance::Pool;
use cdn::fill::Lead;
use cdn::nodes::FETCHED;
use cdn::rules::{
    Asked, Lines, Method, RequestLines, Serve, Stored, accept_encoding, is_withheld, matches,
    stands_in_until, write_conditions,
};
use cdn::store::Object;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// What a fetch goes through. It outlives the request that began it.
pub(super) struct Fetch {
    pub(super) core: Rc<Core>,
    pub(super) snapshot: CoreSnapshot,
    pub(super) site: Arc<Site>,
    pub(super) route: Arc<Route>,
    pub(super) pool: Arc<Pool>,
    pub(super) caching: Arc<Caching>,
    pub(super) peer: Rc<Peer>,
}

impl Fetch {
    /// Begins to fetch what a request asks for. The task ends with its exchange, by the timeouts of that, or with its core.
    pub(super) fn spawn(self, lead: Lead, wanted: Wanted, asking: &Work) {
        let shield = self.route.to_shield.clone();
        let shield = shield.and_then(|shield| Some((shield, tiers::lines(&self.caching.engine, asking)?)));
        let mut work = self.core.take_work();
        let mut head = Vec::with_capacity(asking.request.len + 256);
        let start = write_head(&self.caching, asking, &mut head);
        work.request.clear();
        work.request.version = asking.request.version;
        work.extra.clear();
        work.ids = asking.ids.clone();
        work.client = asking.client;
        (work.is_trusted, work.is_secure) = (asking.is_trusted, asking.is_secure);
        work.is_for_node = false;
        work.host.clone_from(&asking.host);
        work.path.clone_from(&asking.path);
        tokio::task::spawn_local(self.run(lead, wanted, work, (head, start), shield));
    }

    async fn run(
        self,
        mut lead: Lead,
        mut wanted: Wanted,
        mut work: Box<Work>,
        (mut head, start): (Vec<u8>, usize),
        shield: Option<Shield>,
    ) {
        let _fetching = self.core.begin_fetch();
        if wanted.kept.is_none() && self.caching.engine.may_be_on_disk(&wanted.key) {
            match self.find_on_disk(&wanted, &head[start..]).await {
                Some((object, None)) => {
                    self.core.give_back(work);
                    return lead.confirm(object);
                }
                Some((object, Some(if_error_until))) => {
                    wanted.if_error_until = if_error_until;
                    wanted.kept = Some(object);
                }
                None => {}
            }
        }
        // A purge may have come between the look-up and the beginning of the fetch, from when on all are heard.
        wanted.kept = wanted.kept.filter(|kept| !self.caching.engine.is_purged(kept));
        if let Some(kept) = &wanted.kept {
            write_conditions([&kept.stored], &mut head);
        }
        let lines: Box<[u8]> = head[start..].into();
        let asking = Asking::of(&self.caching, &wanted, &lines);
        // What is wanted may be all that there is.
        if wanted.part.is_some() && asking.is_none() && !lead.take_whole(wanted.variant) {
            return self.core.give_back(work);
        }
        if let Some(asking) = &asking {
            asking.write(&mut head);
        }
        let filler = Filler::new(&self.core, &self.caching, wanted, lines, asking, lead);
        self.ask(filler, &mut work, &head, shield).await;
        work.down.release();
        self.core.give_back(work);
    }

    /// What is on the disk for these lines; with it, if the origin has to confirm it, until when it stands in for that.
    async fn find_on_disk(
        &self,
        wanted: &Wanted,
        lines: &[u8],
    ) -> Option<(Arc<Object>, Option<Option<SystemTime>>)> {
        let own = lines.to_vec();
        let fits = move |stored: &Stored| fits_from_disk(stored, &Lines::of(&own));
        let object = self.caching.engine.find_on_disk(&wanted.key, fits).await?;
        let asked = Asked::of(Method::Get, Lines::of(lines));
        let (stale_since, now) = (object.stale_since(), SystemTime::now());
        let served = served(&self.caching, &object, &asked, stale_since, now);
        let confirms = to_confirm(served, || stands_in_until(&object.stored, stale_since, now));
        Some((object, confirms))
    }

    /// Asks the shield, if there is one, and the origin, if that has nothing for a node.
    async fn ask(&self, filler: Filler, work: &mut Work, head: &[u8], shield: Option<Shield>) {
        let peer = Rc::clone(&self.peer);
        let mut client = Client { wire: Wire::Cache(Box::new(filler)), peer };
        if let Some((shield, own)) = shield {
            ask_shield(&mut client, true);
            let whole = [head, &own, b"\r\n"].concat();
            let ended = self.exchange(&mut client, work, &whole, (&shield.route, &shield.pool)).await;
            if !matches!(&client.wire, Wire::Cache(filler) if filler.is_untouched()) {
                return conclude(client, ended).await;
            }
            ask_shield(&mut client, false);
            work.down.release();
        }
        let own = self.route.to_shield.as_ref().map(|_| tiers::line_for_origin(&self.caching.engine));
        let whole = [head, &own.unwrap_or_default(), b"\r\n"].concat();
        let ended = self.exchange(&mut client, work, &whole, (&self.route, &self.pool)).await;
        conclude(client, ended).await;
    }

    async fn exchange(
        &self,
        client: &mut Client,
        work: &mut Work,
        head: &[u8],
        (route, pool): (&Route, &Arc<Pool>),
    ) -> Ended {
        if !take_in(head, work) {
            return Ended::Refused(Refusal::Endpoint(""));
        }
        let mut report = Report::default();
        let mark = work.down.mark();
        let exchange = Exchange {
            core: &self.core,
            snapshot: &self.snapshot,
            site: &self.site,
            route,
            client,
            work,
            report: &mut report,
            mark,
        };
        let run = exchange::run(exchange, pool);
        let ended = match self.snapshot.config.timeout.request {
            None => run.await,
            Some(limit) => match tokio::time::timeout(limit.get(), run).await {
                Ok(ended) => ended,
                Err(_) => Ended::Refused(Refusal::EndpointTimeout),
            },
        };
        if let Ended::Refused(refusal) = &ended {
            let (site, path) = (&self.site.name, String::from_utf8_lossy(&work.path));
            tracing::debug!(target: "edge", %site, %path, %refusal, "a fetch for the cache has failed");
        }
        ended
    }
}

/// The way to the shield, and what is said to it.
type Shield = (Arc<ToShield>, Vec<u8>);

fn ask_shield(client: &mut Client, is_from_shield: bool) {
    if let Wire::Cache(filler) = &mut client.wire {
        filler.ask_shield(is_from_shield);
    }
}

async fn conclude(client: Client, ended: Ended) {
    if let Wire::Cache(filler) = client.wire {
        filler.conclude(ended).await;
    }
}

/// Whether a record answers a request with these lines.
pub(super) fn fits_from_disk<'a>(stored: &Stored, lines: &impl RequestLines<'a>) -> bool {
    stored.range.is_none() && matches(stored, lines)
}

/// Whether what comes from the disk has to be confirmed, and until when it stands in for an origin that does not do so.
pub(super) fn to_confirm(
    served: Serve,
    stands_in_until: impl FnOnce() -> Option<SystemTime>,
) -> Option<Option<SystemTime>> {
    match served {
        Serve::Validate { if_error_until, .. } => Some(if_error_until),
        // It was not asked for by who takes nothing else; what is stale but may be served is confirmed now, since it is led.
        Serve::Unavailable | Serve::StaleAndRefresh | Serve::StaleAsAsked => Some(stands_in_until()),
        Serve::Fresh => None,
    }
}

/// Takes the head in as a request of its own. `false`: it has become too long.
pub(super) fn take_in(head: &[u8], work: &mut Work) -> bool {
    let version = work.request.version;
    work.request.clear();
    work.down.grow(head.len());
    work.down.spare()[..head.len()].copy_from_slice(head);
    work.down.fill(head.len());
    // A field has a line of its own.
    let fields_max = memchr::memchr_iter(b'\n', head).count();
    let limits = RequestLimits { head_bytes_max: head.len(), fields_max };
    if !matches!(work.request.parse(work.down.filled(), 0, limits), Ok(true)) {
        return false;
    }
    work.down.hold(work.request.len);
    work.request.version = version;
    true
}

/// The head of the request, as GET, without what is the client's own, and without the empty line. Returned is where its lines start.
fn write_head(caching: &Caching, asking: &Work, out: &mut Vec<u8>) -> usize {
    let Work { request, down, .. } = asking;
    let head = down.held();
    out.extend_from_slice(b"GET ");
    let path = request.path.of_head(head);
    out.extend_from_slice(if path.is_empty() { b"/" } else { path });
    caching.query.write(request.query.of_head(head), out);
    // RFC 9112 §3.2: only a client of HTTP/1.0 may leave out whom it asks.
    out.extend_from_slice(if request.host.is_some() { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
    let start = out.len();
    if let (Some(host), None) = (request.host, request.value(head, FieldKind::Host)) {
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(host.of_head(head));
        out.extend_from_slice(b"\r\n");
    }
    let nominates = request.connection.nominates;
    copy_kept_lines(head, &request.fields, request.len - 2, out, |field| {
        let name = field.name.of_head(head);
        match field.kind {
            FieldKind::Connection
            | FieldKind::HopByHop
            | FieldKind::Te
            | FieldKind::TransferEncoding
            | FieldKind::ContentLength
            | FieldKind::Upgrade
            | FieldKind::Expect => false,
            FieldKind::Host => true,
            _ if is_withheld(name) || name.eq_ignore_ascii_case(FETCHED.as_bytes()) => false,
            _ => !nominates || !is_nominated(head, &request.fields, name),
        }
    });
    let codings = request.fields.iter().filter(|field| field.kind == FieldKind::AcceptEncoding);
    let codings = accept_encoding(codings.map(|field| field.value.of_head(head)));
    if !codings.is_empty() {
        out.extend_from_slice(b"Accept-Encoding: ");
        out.extend_from_slice(codings.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    start
}
