//! HTTP/2 (RFC 9113) from clients: the frames are the crate `h2`'s, what they cost is bounded here, and each stream
//! is a request like any other.

use crate::arrival::Peer;
use crate::core::{Core, Registered};
use crate::flood::{FloodWatch, Verdict};
use crate::framed::{Open, Opening, serve_message};
use crate::gathered::Gathered;
use crate::io::Timer;
use crate::message::{Incoming, Message, Outgoing};
use crate::protocol::Version;
use crate::stream::Stream;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::Request;
use http::header::CONTENT_LENGTH;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client may send on one stream, and on all of a connection, before it has been passed on.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What waits to be written on one stream, beyond what the connection has taken.
const SEND_BUFFER_BYTES: usize = 32 << 10;
/// Requests that were cancelled before they were looked at; the watch over floods ends a connection before that.
const PENDING_RESETS_MAX: usize = 1024;
/// How long a client has to take the word that its connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection to its end. `first` is what was read of it already.
pub(crate) async fn serve(
    core: Rc<Core>,
    registered: Registered,
    stream: Stream,
    first: Bytes,
    peer: Rc<Peer>,
) {
    let snapshot = core.snapshot();
    let config = &snapshot.config;
    core.events.http2.connections.inc();
    let verdict = Rc::new(Cell::new(None));
    let gathered = Gathered::new(stream);
    let stream = gathered.clone();
    let watched = Watched {
        stream,
        first,
        watch: FloodWatch::new(&config.http2, config.limit.head.get()),
        verdict: verdict.clone(),
    };
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(config.http2.streams)
        .max_header_list_size(config.limit.head.get() as u32)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .enable_connect_protocol();
    let handshake = tokio::time::timeout(config.timeout.head.get(), builder.handshake::<_, Bytes>(watched));
    let connection = match handshake.await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return note_end(&core, &error),
        Err(_) => return,
    };
    drop(snapshot);
    let serving = Serving {
        core,
        connection,
        registered,
        peer,
        verdict,
        streams: Rc::default(),
        timer: Timer::new(Instant::now()),
        active_at: Instant::now(),
        has_waker: false,
        is_ending: false,
        has_yielded: false,
        gathered,
    };
    serving.run().await;
}

struct Serving {
    core: Rc<Core>,
    connection: Connection<Watched, Bytes>,
    registered: Registered,
    peer: Rc<Peer>,
    verdict: Rc<Cell<Option<Verdict>>>,
    /// Requests that are being served.
    streams: Rc<Cell<usize>>,
    timer: Timer,
    /// When there last was a request.
    active_at: Instant,
    has_waker: bool,
    is_ending: bool,
    /// What is written, until it is sent off.
    gathered: Gathered,
    /// Other connections' bytes have been looked for since it was woken.
    has_yielded: bool,
}

/// What a connection does next.
enum Step {
    Request(Box<Request<RecvStream>>, SendResponse<Bytes>),
    End(Verdict),
    Over,
}

impl Serving {
    async fn run(mut self) {
        loop {
            match poll_fn(|cx| self.poll_step(cx)).await {
                Step::Request(request, respond) => self.spawn(*request, respond),
                Step::End(verdict) => {
                    match verdict {
                        Verdict::Flood(flood) => self.core.events.http2.flood(flood),
                        broken => self.core.events.http2.ended(broken.reason()),
                    }
                    self.connection.abrupt_shutdown(verdict.reason());
                    // A client that floods may not read either.
                    let _ =
                        tokio::time::timeout(FAREWELL, poll_fn(|cx| self.connection.poll_closed(cx))).await;
                    return;
                }
                Step::Over => {
                    // The last word, if there is one.
                    let saying = poll_fn(|cx| self.gathered.poll_send(cx));
                    let _ = tokio::time::timeout(FAREWELL, saying).await;
                    return;
                }
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let step = self.poll_frames(cx);
        // Nothing more is written before something happens: what was goes.
        if step.is_pending() && matches!(self.gathered.poll_send(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(Step::Over);
        }
        step
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if !std::mem::replace(&mut self.has_waker, true) {
            self.registered.set_waker(cx.waker());
        }
        if self.core.is_draining() {
            self.end();
        }
        // While requests are under way, what else has come by now is served first: their answers then leave in one
        // write instead of one each.
        if self.streams.get() > 0 && !std::mem::replace(&mut self.has_yielded, true) {
            ready!(pin!(tokio::task::yield_now()).poll(cx));
        }
        let accepted = self.connection.poll_accept(cx);
        if let Some(verdict) = self.verdict.get() {
            return Poll::Ready(Step::End(verdict));
        }
        match accepted {
            Poll::Ready(Some(Ok((request, respond)))) => {
                return Poll::Ready(Step::Request(Box::new(request), respond));
            }
            Poll::Ready(Some(Err(error))) => {
                note_end(&self.core, &error);
                return Poll::Ready(Step::Over);
            }
            Poll::Ready(None) => return Poll::Ready(Step::Over),
            Poll::Pending => self.has_yielded = false,
        }
        if self.streams.get() > 0 {
            self.active_at = Instant::now();
        } else if self.core.is_draining() && self.core.ends_idle(self.active_at, Instant::now()) {
            return Poll::Ready(Step::Over);
        }
        let idle = self.core.snapshot().config.timeout.idle.get();
        self.timer.set(self.active_at + idle);
        ready!(self.timer.poll_passed(cx));
        if self.streams.get() > 0 {
            return Poll::Pending;
        }
        if self.is_ending {
            return Poll::Ready(Step::Over);
        }
        // The client is told, and given as long again to hear it.
        self.end();
        self.active_at = Instant::now();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// RFC 9113 §6.8: streams that are open are served, new ones go elsewhere.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.is_ending, true) {
            self.connection.graceful_shutdown();
        }
    }

    fn spawn(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.core.events.http2.streams.inc();
        self.active_at = Instant::now();
        let (core, peer, open) = (self.core.clone(), self.peer.clone(), Open::new(&self.streams));
        tokio::task::spawn_local(async move {
            let (head, body) = request.into_parts();
            let protocol = head.extensions.get::<h2::ext::Protocol>().map(|name| name.as_str().to_owned());
            let opening = Opening { is_whole: body.is_end_stream(), protocol, version: Version::Http2 };
            let length =
                head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            let message =
                Message { incoming: Incoming::h2(body, length), outgoing: Outgoing::answer(respond) };
            serve_message(&core, peer, message, &head, &opening).await;
            drop(open);
        });
    }
}

/// Counts why a connection ended, if somebody broke a rule.
fn note_end(core: &Core, error: &h2::Error) {
    if error.is_library()
        && let Some(reason) = error.reason()
    {
        core.events.http2.ended(reason);
    }
}

/// A connection whose frames are counted as they are read.
struct Watched {
    stream: Gathered,
    /// Bytes that were read before it was known what they are.
    first: Bytes,
    watch: FloodWatch,
    verdict: Rc<Cell<Option<Verdict>>>,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, first, watch, verdict } = self.get_mut();
        if verdict.get().is_some() {
            // Nothing more is looked at; the connection's task is awake and ends it.
            return Poll::Pending;
        }
        let filled = buf.filled().len();
        if first.is_empty() {
            ready!(Pin::new(stream).poll_read(cx, buf))?;
        } else {
            let taken = first.split_to(first.len().min(buf.remaining()));
            buf.put_slice(&taken);
        }
        if let Err(found) = watch.see(&buf.filled()[filled..], Instant::now) {
            verdict.set(Some(found));
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
