//! One core of the data plane: a thread with a runtime, a listener and connections of its own.
//!
//! Invariant: what a request touches lives on its core. Only the pools' figures are shared between cores.

use crate::buffer::Buffer;
use crate::cached::CdnParts;
use crate::config::EdgeConfig;
use crate::dns_answer::DnsAnswers;
use crate::events::EdgeEvents;
use crate::forwarding::RequestIds;
use crate::gate;
use crate::http3::{Endpoints, QuicConfig};
use crate::io::Timer;
use crate::protocol::{RequestHead, RequestLimits, ResponseHead};
use crate::sites::Sites;
use crate::upstream::Upstreams;
use admission::{Access, Networks, Refreshed, Trust};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use telemetry::AccessLog;
use tokio::sync::{Notify, watch};

/// A buffer for what clients send: a usual head, or a piece of a body.
pub(crate) const DOWN_BYTES: usize = 16 << 10;
/// A buffer for what endpoints send: a page of 64 KiB and its head come and go in one piece.
pub(crate) const UP_BYTES: usize = 80 << 10;
/// Sets of buffers that a core keeps for the next requests; more are freed.
const SPARE_WORKS_MAX: usize = 256;

/// Everything that requests are decided by, swapped whole on reload.
pub(crate) struct Snapshot {
    pub(crate) config: EdgeConfig,
    pub(crate) sites: Sites,
    pub(crate) limits: RequestLimits,
    pub(crate) access_log: Option<AccessLog>,
    /// Certificates and terms, where there is a door for them.
    pub(crate) tls: Option<TlsDoor>,
    /// What is known of ordered certificates and of challenges.
    pub(crate) acme: Option<Arc<acme::Lookups>>,
    /// Who fetches OCSP responses, if anybody does.
    pub(crate) stapler: Option<Arc<acme::Stapler>>,
    /// How QUIC connections are made, where there is a door for them.
    pub(crate) quic: Option<QuicConfig>,
    /// The line that tells clients of HTTPS about HTTP/3; empty without it.
    pub(crate) alt_svc_line: Vec<u8>,
    /// Who may connect.
    pub(crate) access: Option<Access>,
    /// Whose connections begin with a PROXY header.
    pub(crate) proxies: Option<Networks>,
    /// Whose word about a client is believed.
    pub(crate) trust: Trust,
    /// Where routes with a cache keep responses.
    pub(crate) cdn: Option<CdnParts>,
    /// Who answers queries of DNS.
    pub(crate) dns: Option<Arc<dyn DnsAnswers>>,
}

/// What the door for TLS opens with.
pub(crate) struct TlsDoor {
    pub(crate) server: Arc<tls::Server>,
    pub(crate) tickets: Arc<tls::Tickets>,
}

impl Snapshot {
    /// Looks for files that have changed; reads them, and so is not for a core.
    pub(crate) fn refresh(&self) {
        if let Some(tls) = &self.tls {
            tls.server.refresh();
        }
        let access = self.access.as_ref().map(Access::refresh).unwrap_or_default();
        let proxies = self.proxies.as_ref().map(Networks::refresh).unwrap_or_default();
        let purgers = self.cdn.as_ref().map(CdnParts::refresh).unwrap_or_default();
        let access = access.and(purgers);
        let sites = self.sites.all().map(|site| site.refresh());
        let all = sites.fold(access.and(proxies).and(self.trust.refresh()), Refreshed::and);
        if all.is_changed {
            tracing::info!(target: "edge", "lists of networks or users were read anew");
        }
        for error in all.errors {
            tracing::error!(target: "edge", %error, "a changed list cannot be used, the one before stays");
        }
    }
}

/// What a request needs while it is served, reused by the next one. An idle connection has none.
pub(crate) struct Work {
    /// From the client.
    pub(crate) down: Buffer,
    /// From the endpoint. Without memory while there is nothing in it, see [`Core::lend`].
    pub(crate) up: Buffer,
    /// Towards the endpoint, then towards the client.
    pub(crate) out: Vec<u8>,
    /// Response heads, which are written while a request may still be read.
    pub(crate) response_out: Vec<u8>,
    /// Header lines that this response gets besides its own.
    pub(crate) extra: Vec<u8>,
    /// For reading the request and sending it on.
    pub(crate) timer: Timer,
    /// For receiving the response and writing it.
    pub(crate) receive_timer: Timer,
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(crate) ids: RequestIds,
    /// Who asks: the peer, or whom a trusted peer names.
    pub(crate) client: IpAddr,
    /// The peer's word about its client is believed.
    pub(crate) is_trusted: bool,
    /// The client came by TLS, to us or to a peer that is believed.
    pub(crate) is_secure: bool,
    /// Another node of the cache asks, for what it keeps.
    pub(crate) is_for_node: bool,
    /// The host in lower case, without its port.
    pub(crate) host: Vec<u8>,
    /// The normalised path.
    pub(crate) path: Vec<u8>,
}

impl Work {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            down: Buffer::new(DOWN_BYTES),
            up: Buffer::new(0),
            out: Vec::with_capacity(2048),
            response_out: Vec::new(),
            extra: Vec::new(),
            timer: Timer::new(now),
            receive_timer: Timer::new(now),
            request: RequestHead::default(),
            response: ResponseHead::default(),
            ids: RequestIds::default(),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            is_trusted: false,
            is_secure: false,
            is_for_node: false,
            host: Vec::new(),
            path: Vec::new(),
        }
    }
}

/// A snapshot as the requests of one core hold it: counting them touches no other core's memory, which the one
/// shared count of an `Arc` would.
pub(crate) type CoreSnapshot = Rc<Arc<Snapshot>>;

/// What every core starts with.
#[derive(Clone)]
pub(crate) struct CoreParts {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) events: Arc<EdgeEvents>,
    pub(crate) admission: Arc<gate::Shared>,
    /// Open connections over all cores, for status.
    pub(crate) open_everywhere: Arc<AtomicUsize>,
    /// How many cores there are.
    pub(crate) cores: usize,
}

/// A core's own state; tasks of the core share it by reference counting that is not atomic.
pub(crate) struct Core {
    snapshot: RefCell<CoreSnapshot>,
    snapshots: RefCell<watch::Receiver<Arc<Snapshot>>>,
    pub(crate) upstreams: Upstreams,
    pub(crate) events: Arc<EdgeEvents>,
    pub(crate) admission: Arc<gate::Shared>,
    pub(crate) rng: RefCell<SmallRng>,
    #[expect(clippy::vec_box, reason = "a connection's task holds a pointer, not the buffers' bookkeeping")]
    spare: RefCell<Vec<Box<Work>>>,
    spare_buffers: RefCell<Vec<Buffer>>,
    /// Files that were answered with a moment ago.
    pub(crate) recent_files: files::Recent,
    date: RefCell<(u64, Vec<u8>)>,
    /// Since when this core drains.
    draining: Cell<Option<Instant>>,
    /// Tasks of open connections, to be woken when draining begins.
    connections: RefCell<HashMap<u64, Option<Waker>>>,
    next_connection: Cell<u64>,
    /// Fetches of the cache that are under way: readers on other cores may depend on them.
    fetches: Cell<usize>,
    /// Told when a connection ends.
    pub(crate) connection_ended: Notify,
    open_everywhere: Arc<AtomicUsize>,
    cores: usize,
    /// Where HTTP/3 is spoken.
    pub(crate) quic: Endpoints,
}

/// How long a kept connection that stays silent is left open once draining has begun: a request that is on
/// its way meets an open connection, and its answer says `Connection: close`.
pub(crate) const DRAIN_IDLE: Duration = Duration::from_secs(1);

impl Core {
    pub(crate) fn new(parts: CoreParts) -> Self {
        let CoreParts { mut snapshots, events, admission, open_everywhere, cores } = parts;
        let first = snapshots.borrow_and_update().clone();
        Self {
            snapshot: RefCell::new(Rc::new(first)),
            snapshots: RefCell::new(snapshots),
            upstreams: Upstreams::default(),
            events,
            admission,
            rng: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
            spare: RefCell::default(),
            spare_buffers: RefCell::default(),
            recent_files: files::Recent::default(),
            date: RefCell::default(),
            draining: Cell::new(None),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            fetches: Cell::new(0),
            connection_ended: Notify::new(),
            open_everywhere,
            cores,
            quic: Endpoints::default(),
        }
    }

    /// What decides now; a request that holds it sees one snapshot to its end. Whether there is a newer one is
    /// asked at each request, which costs a look at a line that nobody writes between reloads.
    pub(crate) fn snapshot(&self) -> CoreSnapshot {
        let mut snapshots = self.snapshots.borrow_mut();
        // An edge that is gone has no newer one.
        if snapshots.has_changed().unwrap_or(false) {
            *self.snapshot.borrow_mut() = Rc::new(snapshots.borrow_and_update().clone());
        }
        self.snapshot.borrow().clone()
    }

    /// Buffers for a request.
    pub(crate) fn take_work(&self) -> Box<Work> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| Box::new(Work::new(Instant::now())))
    }

    /// Buffers that are no longer needed.
    pub(crate) fn give_back(&self, mut work: Box<Work>) {
        self.take_back(&mut work.up);
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_WORKS_MAX {
            work.down.reset(DOWN_BYTES);
            work.out.clear();
            spare.push(work);
        }
    }

    /// Gives a buffer its memory, if it has none: that which was used last, so that what is read next lands where
    /// the processor's cache is warm. A response that is waited for holds no memory.
    pub(crate) fn lend(&self, buffer: &mut Buffer) {
        if buffer.capacity() == 0 {
            *buffer = self.spare_buffers.borrow_mut().pop().unwrap_or_else(|| Buffer::new(UP_BYTES));
        }
    }

    /// Takes back what was lent. What the buffer still held is forgotten.
    pub(crate) fn take_back(&self, buffer: &mut Buffer) {
        let mut spare = self.spare_buffers.borrow_mut();
        if buffer.capacity() > 0 && spare.len() < SPARE_WORKS_MAX {
            buffer.reset(UP_BYTES);
            spare.push(std::mem::replace(buffer, Buffer::new(0)));
        } else {
            *buffer = Buffer::new(0);
        }
    }

    /// Frees half of the spare buffers, and closes files; called now and then, so that a burst is forgotten.
    pub(crate) fn shrink(&self) {
        self.recent_files.forget_old(SystemTime::now());
        let mut spare = self.spare.borrow_mut();
        let kept = spare.len().div_ceil(2);
        spare.truncate(kept);
        let mut buffers = self.spare_buffers.borrow_mut();
        let kept = buffers.len().div_ceil(2);
        buffers.truncate(kept);
    }

    /// Appends today's `Date` line, made once a second.
    pub(crate) fn write_date_line(&self, out: &mut Vec<u8>) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            date.0 = second;
            date.1.clear();
            date.1.extend_from_slice(b"Date: ");
            date.1.extend_from_slice(httpdate::fmt_http_date(now).as_bytes());
            date.1.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&date.1);
    }

    /// Begins to drain: connections are told, and end after the request that they serve.
    pub(crate) fn begin_to_drain(&self, now: Instant) {
        self.draining.set(Some(now));
        self.wake_connections();
    }

    /// Lets idle connections look at the state again.
    pub(crate) fn wake_connections(&self) {
        for waker in self.connections.borrow().values().flatten() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// Whether connections that wait for a request since `idle_since` end now.
    pub(crate) fn ends_idle(&self, idle_since: Instant, now: Instant) -> bool {
        self.draining
            .get()
            .is_some_and(|since| now.saturating_duration_since(since.max(idle_since)) >= DRAIN_IDLE)
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Counts a fetch of the cache until the guard is dropped: the core does not end before.
    pub(crate) fn begin_fetch(self: &Rc<Self>) -> Fetching {
        self.fetches.set(self.fetches.get() + 1);
        Fetching(Rc::clone(self))
    }

    /// Whether anybody depends on this core still.
    pub(crate) fn is_busy(&self) -> bool {
        self.open_connections() > 0 || self.fetches.get() > 0
    }

    /// This core's share of the connections that all of them may have open.
    pub(crate) fn connections_max(&self, config: &EdgeConfig) -> usize {
        (config.limit.connections as usize).div_ceil(self.cores)
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn register(self: &Rc<Self>) -> Registered {
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        self.connections.borrow_mut().insert(id, None);
        self.open_everywhere.fetch_add(1, Ordering::Relaxed);
        self.events.accepted.inc();
        self.events.open.add(1);
        Registered { core: self.clone(), id }
    }
}

/// A fetch of the cache, as its core knows it.
pub(crate) struct Fetching(Rc<Core>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.fetches.set(self.0.fetches.get() - 1);
        if self.0.is_draining() {
            self.0.connection_ended.notify_one();
        }
    }
}

/// An open connection, as its core knows it.
pub(crate) struct Registered {
    core: Rc<Core>,
    id: u64,
}

impl Registered {
    /// The task to wake when draining begins.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        if let Some(slot) = self.core.connections.borrow_mut().get_mut(&self.id) {
            *slot = Some(waker.clone());
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.core.connections.borrow_mut().remove(&self.id);
        self.core.open_everywhere.fetch_sub(1, Ordering::Relaxed);
        self.core.events.open.add(-1);
        self.core.connection_ended.notify_one();
    }
}
