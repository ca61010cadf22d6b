//! A fetch for the cache: an exchange with the pool in a task of its own.

use super::caching::Caching;
use super::filler::Filler;
use super::look_up::Wanted;
use crate::arrival::Peer;
use crate::core::{Core, CoreSnapshot, Work};
use crate::error::Refusal;
use crate::exchange::{self, Ended, Exchange};
use crate::protocol::{FieldKind, RequestLimits, copy_kept_lines, is_nominated};
use crate::request::{Client, Report};
use crate::sites::{Route, Site};
use crate::wire::Wire;
use balance::Pool;
use cdn::fill::{Failure, Lead};
use cdn::rules::{accept_encoding, is_withheld, write_conditions};
use std::rc::Rc;
use std::sync::Arc;

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
    /// Begins to fetch what a request asks for.
    pub(super) fn spawn(self, lead: Lead, wanted: Wanted, asking: &Work) {
        let mut work = self.core.take_work();
        let prepared = prepare(&self.caching, &wanted, asking, &mut work);
        let Some(lines) = prepared else {
            self.core.give_back(work);
            return lead.fail(Failure::Origin(Refusal::Endpoint("").status()));
        };
        tokio::task::spawn_local(self.run(lead, wanted, work, lines));
    }

    async fn run(self, lead: Lead, wanted: Wanted, mut work: Box<Work>, lines: Box<[u8]>) {
        let Self { core, snapshot, site, route, pool, caching, peer } = self;
        let filler = Filler::new(caching, wanted, lines, lead);
        let mut client = Client { wire: Wire::Cache(Box::new(filler)), peer };
        let mut report = Report::default();
        let mark = work.down.mark();
        let exchange = Exchange {
            core: &core,
            snapshot: &snapshot,
            site: &site,
            route: &route,
            client: &mut client,
            work: &mut work,
            report: &mut report,
            mark,
        };
        let ended = exchange::run(exchange, &pool).await;
        if let Ended::Refused(refusal) = &ended {
            let (site, path) = (&site.name, String::from_utf8_lossy(&work.path));
            tracing::debug!(target: "cdn", %site, %path, %refusal, "a fetch has failed");
        }
        if let Wire::Cache(filler) = client.wire {
            filler.conclude(ended).await;
        }
        work.down.release();
        core.give_back(work);
    }
}

/// Writes the head of a fetch, and takes it in as a request of its own. Returned are its header lines. `None`: it has become too long.
fn prepare(caching: &Caching, wanted: &Wanted, asking: &Work, work: &mut Work) -> Option<Box<[u8]>> {
    let mut head = Vec::with_capacity(asking.request.len + 256);
    let start = write_head(caching, wanted, asking, &mut head);
    let lines = head[start..].into();
    let limits = RequestLimits { head_bytes_max: head.len(), fields_max: asking.request.fields.len() + 4 };
    work.down.grow(head.len());
    work.down.spare()[..head.len()].copy_from_slice(&head);
    work.down.fill(head.len());
    work.request.clear();
    if !work.request.parse(work.down.filled(), 0, limits).ok()? {
        return None;
    }
    work.down.hold(work.request.len);
    work.request.version = asking.request.version;
    work.extra.clear();
    work.ids = asking.ids.clone();
    work.client = asking.client;
    (work.is_trusted, work.is_secure) = (asking.is_trusted, asking.is_secure);
    work.host.clone_from(&asking.host);
    work.path.clone_from(&asking.path);
    Some(lines)
}

/// The head of the request, as GET, without what is the client's own; with what the cache asks. Returned is where its lines start.
fn write_head(caching: &Caching, wanted: &Wanted, asking: &Work, out: &mut Vec<u8>) -> usize {
    let Work { request, down, .. } = asking;
    let head = down.held();
    out.extend_from_slice(b"GET ");
    let path = request.path.of_head(head);
    out.extend_from_slice(if path.is_empty() { b"/" } else { path });
    caching.query.write(request.query.of_head(head), out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let start = out.len();
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
            _ => !is_withheld(name) && !(nominates && is_nominated(head, &request.fields, name)),
        }
    });
    let codings = request.fields.iter().filter(|field| field.kind == FieldKind::AcceptEncoding);
    let codings = accept_encoding(codings.map(|field| field.value.of_head(head)));
    if !codings.is_empty() {
        out.extend_from_slice(b"Accept-Encoding: ");
        out.extend_from_slice(codings.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(kept) = &wanted.kept {
        write_conditions([&kept.stored], out);
    }
    out.extend_from_slice(b"\r\n");
    start
}
