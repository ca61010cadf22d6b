//! How a client arrives: judged by its address, named by a proxy in front, made secure.

use crate::core::{Core, Snapshot};
use crate::forwarding::ClientLines;
use crate::stream::Stream;
use admission::proxy_protocol::{self, Extras, HEADER_BYTES_MAX, Origin};
use admission::{Held, Limited, Pace};
use balance::ProxyVersion;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tls::{Chosen, Failure, Terms};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// What clients come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Http,
    Https,
    /// By UDP.
    Http3,
}

/// A client, as all its requests on one connection share it.
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Where it comes from, and where it came to, for endpoints that are told by the PROXY protocol.
    pub(crate) source: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) lines: ClientLines,
    pub(crate) secure: Option<Secure>,
    /// How fast it is written to, once a site bounds that.
    pub(crate) pace: RefCell<Option<Pace>>,
    /// Counts the connection among its client's.
    _held: Option<Held>,
}

/// What was agreed on with a client of TLS.
pub(crate) struct Secure {
    pub(crate) tls: tls::Peer,
    /// What was asked of it: its requests are for hosts that ask for the same.
    pub(crate) terms: Terms,
}

impl Peer {
    fn new(admitted: Admitted, secure: Option<Secure>) -> Self {
        let Admitted { place: Place { source, local }, held } = admitted;
        let certificate = secure.as_ref().and_then(|secure| secure.tls.certificate.as_ref());
        let field = certificate.map(|certificate| certificate.field());
        let lines = ClientLines::new(source.ip(), secure.is_some(), field);
        Self { address: source.ip(), source, local, lines, secure, pace: RefCell::default(), _held: held }
    }

    /// A client of QUIC, which shows no certificate.
    pub(crate) fn quic(admitted: Admitted, server_name: Option<String>) -> Self {
        let tls = tls::Peer {
            version: tls::Version::Tls13,
            cipher: "",
            alpn: Some(b"h3".as_slice().into()),
            server_name: server_name.map(Into::into),
            is_resumed: false,
            certificate: None,
        };
        Self::new(admitted, Some(Secure { tls, terms: Terms::default() }))
    }

    /// Whether the client and HTTP/2 have agreed on each other.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.tls.alpn.as_deref() == Some(b"h2"))
    }
}

/// Where a connection comes from, and where it came to.
#[derive(Debug, Clone, Copy)]
struct Place {
    source: SocketAddr,
    local: SocketAddr,
}

/// A client that may come.
pub(crate) struct Admitted {
    place: Place,
    held: Option<Held>,
}

impl Admitted {
    /// Judges a client by its address, and by what it has open already. `None`: it may not come.
    pub(crate) fn new(
        core: &Core,
        snapshot: &Snapshot,
        source: SocketAddr,
        local: SocketAddr,
    ) -> Option<Self> {
        let client = source.ip();
        if snapshot.access.as_ref().is_some_and(|access| access.judge(client).is_err()) {
            core.events.admission.denied();
            return None;
        }
        let place = Place { source, local };
        let Some(max) = snapshot.config.limit.connections_per_client else {
            return Some(Self { place, held: None });
        };
        let held = core.admission.connection(client, max);
        if held.is_none() {
            core.events.admission.limited(Limited::Connections);
        }
        held.map(|held| Self { place, held: Some(held) })
    }
}

/// Takes a connection in, each step of it within the time for a head. `None`: it has ended.
pub(crate) async fn arrive(
    core: &Core,
    stream: TcpStream,
    source: SocketAddr,
    door: Door,
) -> Option<(Stream, Peer)> {
    let snapshot = core.snapshot();
    let patience = snapshot.config.timeout.head.get();
    let mut place = Place { source, local: stream.local_addr().ok()? };
    if snapshot.proxies.as_ref().is_some_and(|proxies| proxies.contains(source.ip())) {
        let named = tokio::time::timeout(patience, named_place(&stream, place)).await;
        match named {
            Ok(Some(named)) => place = named,
            _ => {
                core.events.admission.proxy_protocol_failed();
                return None;
            }
        }
    }
    let admitted = Admitted::new(core, &snapshot, place.source, place.local)?;
    drop(snapshot);
    if door == Door::Http {
        return Some((Stream::Plain(stream), Peer::new(admitted, None)));
    }
    match tokio::time::timeout(patience, secured(core, stream)).await {
        Ok(secured) => secured.map(|(stream, secure)| (stream, Peer::new(admitted, Some(secure)))),
        Err(_) => {
            core.events.tls.failed(Failure::Timeout);
            None
        }
    }
}

/// Reads a PROXY header, and no byte more than it has. `None`: there is none.
async fn named_place(stream: &TcpStream, place: Place) -> Option<Place> {
    let mut bytes = vec![0; HEADER_BYTES_MAX];
    let mut seen = 0;
    loop {
        let peeked = stream.peek(&mut bytes).await.ok()?;
        if peeked == 0 {
            return None;
        }
        match proxy_protocol::parse(&bytes[..peeked]) {
            Ok(Some((header, len))) => {
                let read = stream.try_read(&mut bytes[..len]).ok()?;
                if read != len {
                    return None;
                }
                return Some(match header.origin {
                    Origin::Stream { source, destination } => Place { source, local: destination },
                    // Nobody is named: it counts by its own addresses.
                    _ => place,
                });
            }
            Ok(None) if peeked < bytes.len() => {
                // What was peeked at is still there, so that the socket stays readable: more is waited for.
                if peeked == seen {
                    tokio::time::sleep(REST_WAIT).await;
                }
                seen = peeked;
            }
            _ => return None,
        }
    }
}

/// A PROXY header that comes in parts, which is rare, is looked at this often.
const REST_WAIT: Duration = Duration::from_millis(10);

/// Writes the header that an endpoint is told the client by.
pub(crate) fn write_proxy_header(version: ProxyVersion, client: (SocketAddr, SocketAddr), out: &mut Vec<u8>) {
    let (source, destination) = client;
    match version {
        ProxyVersion::V1 => proxy_protocol::write_v1(out, source, destination),
        ProxyVersion::V2 => proxy_protocol::write_v2(out, source, destination, &Extras::default()),
    }
}

/// How long a client has to take an alert.
const ALERT_TIME: Duration = Duration::from_secs(1);

/// A handshake: the client's first message names the site, which decides on everything else.
async fn secured(core: &Core, stream: TcpStream) -> Option<(Stream, Secure)> {
    let failed = |error: std::io::Error| core.events.tls.failed(Failure::of(&error));
    let mut acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let start = (&mut acceptor).await.map_err(failed).ok()?;
    let server = core.snapshot().tls.as_ref()?.server.clone();
    let Chosen { config, terms, is_challenge, .. } = match server.choose(&start.client_hello()) {
        Ok(chosen) => chosen,
        Err(refused) => {
            core.events.tls.failed(Failure::from(&refused));
            let mut stream = start.io;
            // Whether it hears why is its own affair.
            let _ = tokio::time::timeout(ALERT_TIME, stream.write_all(&refused.alert())).await;
            return None;
        }
    };
    let mut stream = start.into_stream(config).await.map_err(failed).ok()?;
    if is_challenge {
        let _ = stream.shutdown().await;
        return None;
    }
    let tls = tls::Peer::of(stream.get_ref().1)?;
    core.events.tls.succeeded(&tls);
    let stream = Stream::tls(tokio_rustls::TlsStream::from(stream));
    Some((stream, Secure { tls, terms }))
}
