//! How a client arrives: judged by its address, named by a proxy in front, made secure.

use crate::core::Core;
use crate::forwarding::ClientLines;
use crate::stream::Stream;
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
}

/// A client, as all its requests on one connection share it.
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Where it comes from, and where it came to, for endpoints that are told by the PROXY protocol.
    pub(crate) source: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) lines: ClientLines,
    pub(crate) secure: Option<Secure>,
}

/// What was agreed on with a client of TLS.
pub(crate) struct Secure {
    pub(crate) tls: tls::Peer,
    /// What was asked of it: its requests are for hosts that ask for the same.
    pub(crate) terms: Terms,
}

impl Peer {
    pub(crate) fn new(source: SocketAddr, local: SocketAddr, secure: Option<Secure>) -> Self {
        let address = source.ip();
        let certificate = secure.as_ref().and_then(|secure| secure.tls.certificate.as_ref());
        let lines =
            ClientLines::new(address, secure.is_some(), certificate.map(|certificate| certificate.field()));
        Self { address, source, local, lines, secure }
    }

    /// Whether the client and HTTP/2 have agreed on each other.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.tls.alpn.as_deref() == Some(b"h2"))
    }
}

/// Takes a connection in, within the time for a head. `None`: it has ended.
pub(crate) async fn arrive(
    core: &Core,
    stream: TcpStream,
    source: SocketAddr,
    door: Door,
) -> Option<(Stream, Peer)> {
    let local = stream.local_addr().ok()?;
    if door == Door::Http {
        return Some((Stream::Plain(stream), Peer::new(source, local, None)));
    }
    let patience = core.snapshot().config.timeout.head.get();
    match tokio::time::timeout(patience, secured(core, stream)).await {
        Ok(secured) => secured.map(|(stream, secure)| (stream, Peer::new(source, local, Some(secure)))),
        Err(_) => {
            core.events.tls.failed(Failure::Timeout);
            None
        }
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
