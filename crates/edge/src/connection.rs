//! One client connection of HTTP/1.1: it waits for bytes, reads one request's head after the other, and ends.

use crate::arrival::{Door, Peer, arrive};
use crate::core::{Core, Registered, Work};
use crate::error::Refusal;
use crate::http2;
use crate::io::{Timer, poll_read, read};
use crate::request::{After, Client, refuse_head, serve_request};
use crate::stream::Stream;
use crate::wire::Wire;
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

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

/// Bytes and time for a client to finish sending what will not be read.
const LINGER_BYTES_MAX: usize = 1 << 20;
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(2);

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
