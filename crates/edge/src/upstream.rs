//! A core's own connections to endpoints: kept after a response, and never handed out half-closed; or shared by the
//! streams of HTTP/2.

use crate::arrival::write_proxy_header;
use crate::core::Core;
use crate::message::{Incoming, Message, Outgoing, lines};
use crate::multiplexed::{Multiplexed, Place};
use crate::stream::Stream;
use crate::wire::Wire;
use balance::{Endpoint, EndpointId, KeepaliveConfig, PoolConfig, Protocol, Transport};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection to an endpoint, or a stream of one.
pub(crate) struct Upstream {
    pub(crate) wire: Wire,
    /// It has served a request before: its end may have crossed with our request.
    pub(crate) is_reused: bool,
    /// Where a stream is opened, for HTTP/2.
    place: Option<Place>,
    /// How the connection was made.
    transport: Arc<Transport>,
}

impl Upstream {
    fn bytes(stream: Stream, is_reused: bool, transport: Arc<Transport>) -> Self {
        Self { wire: Wire::Bytes(stream), is_reused, place: None, transport }
    }

    fn stream(place: Place, is_reused: bool, transport: Arc<Transport>) -> Self {
        let message = Message { incoming: Incoming::nothing(), outgoing: Outgoing::Request(None) };
        Self { wire: Wire::Frames(Box::new(message)), is_reused, place: Some(place), transport }
    }

    /// Sends a head that opens a stream of its own. `false`: it goes as bytes, together with what follows it.
    pub(crate) fn open(&mut self, head: &[u8], is_whole: bool) -> io::Result<bool> {
        let Some(place) = &mut self.place else { return Ok(false) };
        let request = lines::request(head, place.scheme()).ok_or(io::ErrorKind::InvalidData)?;
        let (answer, body) = place.open(request, is_whole)?;
        let message = Message {
            incoming: Incoming::answer(answer),
            outgoing: Outgoing::Request((!is_whole).then_some(body)),
        };
        self.wire = Wire::Frames(Box::new(message));
        Ok(true)
    }
}

impl Upstream {
    /// Asks for nothing more where others would wait in vain as well.
    pub(crate) fn give_up(&self) {
        if let Some(place) = &self.place {
            place.give_up();
        }
    }
}

/// The idle connections of one endpoint, the latest used last.
struct Kept {
    endpoint: Arc<Endpoint>,
    idle: Vec<Idle>,
    idle_max: std::time::Duration,
}

/// An idle connection.
struct Idle {
    stream: Stream,
    since: Instant,
    transport: Arc<Transport>,
}

/// Connections by endpoint: idle ones, bounded by `keepalive.connections` an endpoint, and shared ones.
#[derive(Default)]
pub(crate) struct Upstreams {
    kept: RefCell<HashMap<EndpointId, Kept>>,
    shared: RefCell<HashMap<EndpointId, Rc<Multiplexed>>>,
}

/// What a connection is made for.
pub(crate) struct Towards<'a> {
    pub(crate) config: &'a PoolConfig,
    pub(crate) transport: &'a Arc<Transport>,
    pub(crate) endpoint: &'a Arc<Endpoint>,
    /// The client and the address that it came to, for endpoints that are told by the PROXY protocol.
    pub(crate) client: (SocketAddr, SocketAddr),
}

impl Towards<'_> {
    /// Whether a connection is one client's own.
    pub(crate) fn is_private(&self) -> bool {
        self.transport.proxy_protocol().is_some()
    }

    /// Makes a connection: to the address, told whom it is for, made secure.
    pub(crate) async fn connect(&self, core: &Core) -> io::Result<Stream> {
        let connecting = async {
            let mut stream = TcpStream::connect(self.endpoint.address()).await?;
            stream.set_nodelay(true)?;
            if let Some(version) = self.transport.proxy_protocol() {
                let mut header = Vec::new();
                write_proxy_header(version, self.client, &mut header);
                stream.write_all(&header).await?;
            }
            let Some(tls) = self.transport.tls() else { return Ok::<_, io::Error>(Stream::Plain(stream)) };
            let name = self.transport.server_name(self.endpoint);
            let secured = TlsConnector::from(tls.config()).connect(name, stream).await?;
            Ok(Stream::tls(tokio_rustls::TlsStream::from(secured)))
        };
        let limit = self.config.timeout.connect.get();
        let stream = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        core.events.upstream_opened.inc();
        Ok(stream)
    }
}

impl Upstreams {
    /// A way to the endpoint. `surely` asks the kernel whether a kept connection is whole, at the price of a system
    /// call: for requests that must not be sent twice. `anew` takes none that was used before.
    pub(crate) async fn reach(
        &self,
        core: &Core,
        towards: &Towards<'_>,
        surely: bool,
        anew: bool,
    ) -> io::Result<Upstream> {
        let transport = towards.transport;
        if transport.protocol() == Protocol::Http2 {
            let shared = self.multiplexed_with(towards);
            let (place, is_reused) = Box::pin(shared.place(core, towards, anew)).await?;
            return Ok(Upstream::stream(place, is_reused, transport.clone()));
        }
        if !anew && let Some(idle) = self.take(towards, surely) {
            core.events.upstream_reused.inc();
            return Ok(Upstream::bytes(idle.stream, true, idle.transport));
        }
        Ok(Upstream::bytes(Box::pin(towards.connect(core)).await?, false, transport.clone()))
    }

    fn multiplexed_with(&self, towards: &Towards<'_>) -> Rc<Multiplexed> {
        let mut shared = self.shared.borrow_mut();
        let of_endpoint = shared.entry(towards.endpoint.id()).or_insert_with(|| {
            Rc::new(Multiplexed::new(towards.endpoint.clone(), towards.transport.clone()))
        });
        // Streams that are open end where they are; new ones are opened as the file says now.
        if !of_endpoint.is_made_by(towards.transport) {
            *of_endpoint = Rc::new(Multiplexed::new(towards.endpoint.clone(), towards.transport.clone()));
        }
        of_endpoint.clone()
    }

    /// The most recently used idle connection that is still whole, and made as the file says now.
    fn take(&self, towards: &Towards<'_>, surely: bool) -> Option<Idle> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(&towards.endpoint.id())?;
        while let Some(idle) = kept.idle.pop() {
            if Arc::ptr_eq(&idle.transport, towards.transport) && idle.stream.is_quiet(surely) {
                return Some(idle);
            }
        }
        None
    }

    /// Keeps a connection whose response has ended.
    pub(crate) fn keep(&self, towards: &Towards<'_>, upstream: Upstream, now: Instant) {
        let Upstream { wire: Wire::Bytes(stream), transport, .. } = upstream else { return };
        let KeepaliveConfig { connections, idle } = &towards.config.keepalive;
        let endpoint = towards.endpoint;
        if *connections == 0 || endpoint.is_gone() || towards.is_private() {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        let kept = kept.entry(endpoint.id()).or_insert_with(|| Kept {
            endpoint: endpoint.clone(),
            idle: Vec::new(),
            idle_max: idle.get(),
        });
        kept.idle_max = idle.get();
        if kept.idle.len() < *connections as usize {
            kept.idle.push(Idle { stream, since: now, transport });
        }
    }

    /// Closes what has idled for too long, what the endpoint has closed, and all of endpoints that are gone.
    pub(crate) fn sweep(&self, now: Instant) {
        self.kept.borrow_mut().retain(|_, kept| {
            let Kept { endpoint, idle, idle_max } = kept;
            idle.retain(|idle| {
                now.saturating_duration_since(idle.since) < *idle_max && idle.stream.is_quiet(false)
            });
            !endpoint.is_gone() && !idle.is_empty()
        });
        self.shared.borrow_mut().retain(|_, shared| shared.sweep(now));
    }
}

/// Whether a connection failed for want of something on this side (descriptors, ports, memory), which says
/// nothing about the endpoint.
pub(crate) fn is_our_lack(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const EADDRNOTAVAIL: i32 = 99;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | EADDRNOTAVAIL | ENOBUFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_ours_and_a_refused_connection_is_the_endpoint_s() {
        assert!(is_our_lack(&io::Error::from_raw_os_error(24)));
        assert!(!is_our_lack(&io::Error::from_raw_os_error(111)));
        assert!(!is_our_lack(&io::ErrorKind::TimedOut.into()));
    }
}
