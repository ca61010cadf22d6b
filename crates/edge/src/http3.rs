//! HTTP/3 (RFC 9114): QUIC connections on a core's own UDP socket; their requests are served like all others.
//!
//! A connection belongs to the core whose socket its packets reach, which the kernel chooses by the addresses on both
//! sides: one that changes its address may reach another core, which does not know it, and begins anew.

use crate::arrival::{Admitted, Peer};
use crate::config::EdgeConfig;
use crate::core::{Core, DRAIN_IDLE, Registered};
use crate::framed::{Open, Opening, serve_message};
use crate::message::{Incoming, Message, Outgoing, lines};
use crate::protocol::Version;
use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::server::{Connection, RequestResolver, RequestStream};
use http::{HeaderMap, Response};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tls::Failure;

/// How connections are made, as the file says now.
pub(crate) type QuicConfig = Arc<quinn::ServerConfig>;

/// The body of a request.
pub(crate) struct RecvBody(RequestStream<h3_quinn::RecvStream, Bytes>);

impl RecvBody {
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let piece = ready!(self.0.poll_recv_data(cx)).map_err(broken)?;
        Poll::Ready(Ok(piece.map(|mut piece| piece.copy_to_bytes(piece.remaining()))))
    }

    pub(crate) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<HeaderMap>>> {
        self.0.poll_recv_trailers(cx).map_err(broken)
    }
}

/// The answer to a request.
pub(crate) struct SendAnswer {
    stream: RequestStream<h3_quinn::SendStream<Bytes>, Bytes>,
    /// The end of the whole connection.
    closed: Pin<Box<dyn Future<Output = quinn::ConnectionError>>>,
    is_over: bool,
}

/// Bytes in one DATA frame; QUIC's flow control takes them one after the other.
const FRAME_BYTES_MAX: usize = 16 << 10;

impl SendAnswer {
    pub(crate) async fn send_head(&mut self, head: Response<()>, is_all: bool) -> io::Result<()> {
        self.stream.send_response(head).await.map_err(broken)?;
        if is_all { self.finish(b"").await } else { Ok(()) }
    }

    pub(crate) async fn send_some(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(FRAME_BYTES_MAX);
        self.stream.send_data(Bytes::copy_from_slice(&data[..taken])).await.map_err(broken)?;
        Ok(taken)
    }

    pub(crate) async fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(());
        }
        if !trailers.is_empty() {
            let trailers = lines::fields(trailers).ok_or(io::ErrorKind::InvalidData)?;
            self.stream.send_trailers(trailers).await.map_err(broken)?;
        }
        self.stream.finish().await.map_err(broken)
    }

    /// Ready once the connection has ended. That a client wants no more of one answer is seen when it is written.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.closed.as_mut().poll(cx).map(drop)
    }

    pub(crate) fn reset(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.stream.stop_stream(Code::H3_INTERNAL_ERROR);
        }
    }
}

fn broken(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

/// What a client may send before it is read, on one stream and on all of a connection, and what may wait to be sent.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// How connections are made. `None`: there is no door for them.
pub(crate) fn config(config: &EdgeConfig, server: &tls::Server) -> Result<Option<QuicConfig>, tls::Error> {
    if config.http3.is_empty() {
        return Ok(None);
    }
    let tls = server.quic(&[b"h3"])?;
    // A configuration with TLS 1.3 alone, as this one is, has the cipher that QUIC begins with.
    let Ok(crypto) = QuicServerConfig::try_from(tls) else { return Ok(None) };
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(config.http2.streams.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .max_idle_timeout(config.timeout.idle.get().try_into().ok());
    let mut quic = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    quic.transport_config(Arc::new(transport));
    Ok(Some(Arc::new(quic)))
}

/// RFC 9114 §8.1.
const H3_NO_ERROR: u32 = 0x100;

/// Sockets that a core no longer listens on while it drains, each with the connections that are open there.
#[derive(Default)]
pub(crate) struct Endpoints(RefCell<Vec<quinn::Endpoint>>);

impl Endpoints {
    /// Ends all connections, each with a word. A client that does not answer is not waited for.
    pub(crate) async fn close(&self) {
        let endpoints = self.0.take();
        endpoints.iter().for_each(|endpoint| endpoint.close(H3_NO_ERROR.into(), b""));
        let all = async {
            for endpoint in &endpoints {
                endpoint.wait_idle().await;
            }
        };
        let _ = tokio::time::timeout(DRAIN_IDLE, all).await;
    }
}

/// A socket that is listened on.
struct Listening {
    core: Rc<Core>,
    endpoint: quinn::Endpoint,
}

impl Drop for Listening {
    fn drop(&mut self) {
        if self.core.is_draining() {
            // It takes no more connections. Those that are open are drained by their own tasks.
            self.endpoint.set_server_config(None);
            self.core.quic.0.borrow_mut().push(self.endpoint.clone());
        } else {
            // Whoever has the address from now on gets all packets: what is open ends, with a word that leaves by itself.
            self.endpoint.close(H3_NO_ERROR.into(), b"");
        }
    }
}

/// Accepts connections at a socket for as long as it is listened on.
pub(crate) async fn listen(core: Rc<Core>, socket: UdpSocket) {
    let config = core.snapshot().quic.as_ref().map(|config| quinn::ServerConfig::clone(config));
    let runtime = Arc::new(quinn::TokioRuntime);
    match quinn::Endpoint::new(quinn::EndpointConfig::default(), config, socket, runtime) {
        Ok(endpoint) => {
            let _listening = Listening { core: core.clone(), endpoint: endpoint.clone() };
            accept(core, endpoint).await;
        }
        Err(error) => {
            tracing::error!(target: "edge", %error, "a socket for HTTP/3 could not be used");
        }
    }
}

async fn accept(core: Rc<Core>, endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let snapshot = core.snapshot();
        let Some(config) = snapshot.quic.clone() else {
            incoming.refuse();
            continue;
        };
        // RFC 9000 §8.1.2: who is not known to be at its address is asked to show it, before it takes a place that
        // is its client's own, or one of the last.
        let places = core.connections_max(&snapshot.config);
        let open = core.open_connections();
        if open >= places {
            incoming.refuse();
            continue;
        }
        let counts_clients = snapshot.config.limit.connections_per_client.is_some();
        if !incoming.remote_address_validated() && (counts_clients || open >= places / 2) {
            // It fails for who has shown it, which was asked above.
            let _ = incoming.retry();
            continue;
        }
        let mut local = endpoint.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        // A socket for all addresses does not know which one a client came to; its packet does.
        local.set_ip(incoming.local_ip().unwrap_or(local.ip()));
        let Some(admitted) = Admitted::new(&core, &snapshot, incoming.remote_address(), local) else {
            incoming.ignore();
            continue;
        };
        let Ok(connecting) = incoming.accept_with(config) else { continue };
        let registered = core.register();
        tokio::task::spawn_local(serve(core.clone(), registered, connecting, admitted));
    }
}

async fn serve(core: Rc<Core>, registered: Registered, connecting: quinn::Connecting, admitted: Admitted) {
    let patience = core.snapshot().config.timeout.head.get();
    let connection = match tokio::time::timeout(patience, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return core.events.tls.failed(Failure::Protocol),
        Err(_) => return core.events.tls.failed(Failure::Timeout),
    };
    core.events.http3.connections.inc();
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let peer = Rc::new(Peer::quic(admitted, data.and_then(|data| data.server_name)));
    let built = h3::server::builder()
        .max_field_section_size(core.snapshot().config.limit.head.get())
        .send_grease(false)
        .build(h3_quinn::Connection::new(connection.clone()))
        .await;
    if let Ok(server) = built {
        serve_requests(&core, &registered, &connection, peer, server).await;
    }
    drop(registered);
}

async fn serve_requests(
    core: &Rc<Core>,
    registered: &Registered,
    connection: &quinn::Connection,
    peer: Rc<Peer>,
    mut server: Connection<h3_quinn::Connection, Bytes>,
) {
    let mut has_waker = false;
    let mut is_ending = false;
    let streams: Rc<Cell<usize>> = Rc::default();
    let mut active_at = Instant::now();
    loop {
        let step = {
            let mut accepting = pin!(server.accept());
            poll_fn(|cx| {
                if !std::mem::replace(&mut has_waker, true) {
                    registered.set_waker(cx.waker());
                }
                if core.is_draining() && !std::mem::replace(&mut is_ending, true) {
                    return Poll::Ready(Step::Drain);
                }
                if streams.get() > 0 {
                    active_at = Instant::now();
                } else if is_ending && core.ends_idle(active_at, Instant::now()) {
                    return Poll::Ready(Step::Over);
                }
                accepting.as_mut().poll(cx).map(|accepted| match accepted {
                    Ok(Some(request)) => Step::Request(Box::new(request)),
                    Ok(None) | Err(_) => Step::Over,
                })
            })
            .await
        };
        match step {
            Step::Request(request) => {
                core.events.http3.streams.inc();
                active_at = Instant::now();
                let open = Open::new(&streams);
                let serving = serve_request(core.clone(), peer.clone(), connection.clone(), *request);
                tokio::task::spawn_local(async move {
                    serving.await;
                    drop(open);
                });
            }
            // RFC 9114 §5.2: requests that are under way are finished, new ones go elsewhere.
            Step::Drain => {
                if server.shutdown(0).await.is_err() {
                    return;
                }
            }
            Step::Over => break,
        }
    }
    // What was answered last may still be on its way, and is thrown away by the end of the connection.
    let _ = tokio::time::timeout(DRAIN_IDLE, connection.closed()).await;
    connection.close(H3_NO_ERROR.into(), b"");
}

enum Step {
    Request(Box<RequestResolver<h3_quinn::Connection, Bytes>>),
    Drain,
    Over,
}

async fn serve_request(
    core: Rc<Core>,
    peer: Rc<Peer>,
    connection: quinn::Connection,
    request: RequestResolver<h3_quinn::Connection, Bytes>,
) {
    let patience = core.snapshot().config.timeout.head.get();
    let resolved = Box::pin(tokio::time::timeout(patience, request.resolve_request())).await;
    let Ok(Ok((request, stream))) = resolved else { return };
    let (send, recv) = stream.split();
    let closed = Box::pin(async move { connection.closed().await });
    let message = Message {
        incoming: Incoming::h3(RecvBody(recv)),
        outgoing: Outgoing::Answer3(Box::new(SendAnswer { stream: send, closed, is_over: false })),
    };
    // Whether a body follows is told by its end alone; a GET that has none is spared the question.
    let head = request.into_parts().0;
    let is_whole = matches!(head.method, http::Method::GET | http::Method::HEAD)
        && !head.headers.contains_key(http::header::CONTENT_LENGTH);
    let opening = Opening { is_whole, protocol: None, version: Version::Http3 };
    serve_message(&core, peer, message, &head, &opening).await;
}

/// `Alt-Svc` (RFC 7838): the port at which HTTP/3 is spoken, for a day.
pub(crate) fn alt_svc_line(config: &EdgeConfig) -> Vec<u8> {
    // Port 0 is known only once it is open.
    match config.http3.iter().find(|address| address.port() != 0) {
        Some(address) => format!("Alt-Svc: h3=\":{}\"; ma=86400\r\n", address.port()).into_bytes(),
        None => Vec::new(),
    }
}

/// Whether this nines was built with HTTP/3.
pub(crate) const IS_HERE: bool = true;
