//! A core's connections of HTTP/2 to one endpoint, which all its requests share.

use crate::core::Core;
use crate::upstream::Towards;
use balance::{Endpoint, Transport};
use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What an endpoint may send on one stream, and on all of a connection, before it has been passed on.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// All streams' together: one whose client does not read takes nothing from another's.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX as u32;
/// Streams on a connection before another one is opened, where the endpoint allows more.
const STREAMS_MAX: usize = 128;
/// Bytes of an endpoint's header section.
const HEAD_BYTES_MAX: u32 = 64 << 10;

/// The connections to one endpoint.
pub(crate) struct Multiplexed {
    endpoint: Arc<Endpoint>,
    transport: Arc<Transport>,
    open: RefCell<Vec<Rc<Connection>>>,
    /// Held while a connection is being made, so that a crowd waits for one instead of making many.
    opening: tokio::sync::Mutex<()>,
    /// When one could last not be made.
    failed_at: Cell<Option<Instant>>,
}

struct Connection {
    requests: RefCell<SendRequest<Bytes>>,
    scheme: &'static str,
    streams: Cell<usize>,
    made_at: Instant,
    /// When it last served a request.
    used_at: Cell<Instant>,
    idle_max: Duration,
    is_over: Cell<bool>,
}

/// A place for one stream on a connection, taken until it is dropped.
pub(crate) struct Place(Rc<Connection>);

impl Place {
    pub(crate) fn scheme(&self) -> &'static str {
        self.0.scheme
    }

    /// Nothing more is asked on this connection: it has kept silent for too long. What is open on it goes on.
    pub(crate) fn give_up(&self) {
        self.0.is_over.set(true);
    }

    /// Opens the stream.
    pub(crate) fn open(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> io::Result<(ResponseFuture, SendStream<Bytes>)> {
        let mut requests = self.0.requests.borrow_mut();
        requests.send_request(request, is_whole).map_err(|error| {
            self.0.is_over.set(error.is_go_away() || error.is_io());
            io::Error::new(io::ErrorKind::ConnectionReset, error)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.used_at.set(Instant::now());
    }
}

impl Connection {
    /// A place, if there is one left.
    fn place(self: &Rc<Self>) -> Option<Place> {
        let mut requests = self.requests.borrow_mut();
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            self.is_over.set(true);
        }
        let streams_max = requests.current_max_send_streams().min(STREAMS_MAX);
        if self.is_over.get() || ready.is_pending() || self.streams.get() >= streams_max {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        Some(Place(self.clone()))
    }
}

impl Multiplexed {
    pub(crate) fn new(endpoint: Arc<Endpoint>, transport: Arc<Transport>) -> Self {
        Self {
            endpoint,
            transport,
            open: RefCell::default(),
            opening: tokio::sync::Mutex::default(),
            failed_at: Cell::new(None),
        }
    }

    /// Whether its connections are made like this.
    pub(crate) fn is_made_by(&self, transport: &Arc<Transport>) -> bool {
        Arc::ptr_eq(&self.transport, transport)
    }

    /// A place on a connection that is there, or on a new one; whether it was there. `anew`: those that are there
    /// are not trusted.
    pub(crate) async fn place(
        &self,
        core: &Core,
        towards: &Towards<'_>,
        anew: bool,
    ) -> io::Result<(Place, bool)> {
        if towards.is_private() {
            return Ok((self.connect(core, towards).await?, false));
        }
        let asked_at = Instant::now();
        if !anew && let Some(place) = self.free_place(None) {
            core.events.upstream_reused.inc();
            return Ok((place, true));
        }
        let _opening = self.opening.lock().await;
        // Somebody before us in the line has made one, or has seen that none can be made.
        if let Some(place) = self.free_place(anew.then_some(asked_at)) {
            return Ok((place, false));
        }
        if self.failed_at.get().is_some_and(|failed_at| failed_at > asked_at) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        match self.connect(core, towards).await {
            Ok(place) => Ok((place, false)),
            Err(error) => {
                self.failed_at.set(Some(Instant::now()));
                Err(error)
            }
        }
    }

    /// A place on one of the connections, or on one of those that were made since.
    fn free_place(&self, since: Option<Instant>) -> Option<Place> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| !connection.is_over.get());
        let is_new = |connection: &&Rc<Connection>| since.is_none_or(|since| connection.made_at >= since);
        open.iter().rev().filter(is_new).find_map(Connection::place)
    }

    async fn connect(&self, core: &Core, towards: &Towards<'_>) -> io::Result<Place> {
        let stream = towards.connect(core).await?;
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX)
            .enable_push(false);
        let handshake = tokio::time::timeout(towards.config.timeout.connect.get(), builder.handshake(stream));
        let (requests, driver) = handshake
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
            .map_err(io::Error::other)?;
        let connection = Rc::new(Connection {
            requests: RefCell::new(requests),
            scheme: if towards.transport.tls().is_some() { "https" } else { "http" },
            streams: Cell::new(0),
            made_at: Instant::now(),
            used_at: Cell::new(Instant::now()),
            idle_max: towards.config.keepalive.idle.get(),
            is_over: Cell::new(false),
        });
        let driven = Rc::downgrade(&connection);
        // It ends with its last stream and the last hand on it: what the file calls idle is swept.
        tokio::task::spawn_local(async move {
            let _ = driver.await;
            if let Some(connection) = driven.upgrade() {
                connection.is_over.set(true);
            }
        });
        if !towards.is_private() {
            self.open.borrow_mut().push(connection.clone());
        }
        connection.place().ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    /// Lets go of connections that have idled for too long or have ended. `false`: nothing is left.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let is_gone = self.endpoint.is_gone();
        let mut open = self.open.borrow_mut();
        open.retain(|connection| {
            let is_idle = connection.streams.get() == 0
                && (is_gone
                    || now.saturating_duration_since(connection.used_at.get()) >= connection.idle_max);
            !is_idle && !connection.is_over.get()
        });
        !open.is_empty()
    }
}
