//! A new connection to an upstream: TCP, and the TLS in it.

use super::super::{Address, Transport};
use arc_swap::ArcSwapOption;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// From the first packet to the end of the handshake.
const DIAL_MAX: Duration = Duration::from_secs(5);

/// How connections to an upstream are made.
#[derive(Clone)]
pub(in super::super) struct Dialer {
    pub(super) address: Arc<Address>,
    /// Whom to believe; there for all that is encrypted.
    tls: Arc<ArcSwapOption<tls::Client>>,
}

/// A connection on which messages can be sent.
pub(super) enum Dialed {
    Plain(TcpStream),
    Tls { stream: Box<TlsStream<TcpStream>>, is_resumed: bool },
}

impl Dialer {
    pub(in super::super) fn new(address: Arc<Address>, tls: Option<Arc<tls::Client>>) -> Self {
        Self { address, tls: Arc::new(ArcSwapOption::new(tls)) }
    }

    /// Whom to believe for connections to come.
    pub(in super::super) fn believe(&self, tls: Option<Arc<tls::Client>>) {
        self.tls.store(tls);
    }

    #[cfg(test)]
    pub(in super::super) fn believed(&self) -> Option<Arc<tls::Client>> {
        self.tls.load_full()
    }

    /// Looks for changed files. Not for a core.
    pub(in super::super) fn refresh(&self) {
        if let Some(tls) = &*self.tls.load() {
            tls.refresh();
        }
    }

    /// # Errors
    /// When nobody is there, or somebody else than who should be (RFC 8310 §5, strict: there is no way on without TLS).
    pub(super) async fn dial(&self) -> io::Result<Dialed> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        tokio::time::timeout(DIAL_MAX, self.dial_at(self.address.at)).await.map_err(late)?
    }

    async fn dial_at(&self, at: SocketAddr) -> io::Result<Dialed> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        if !self.address.transport.is_encrypted() {
            return Ok(Dialed::Plain(stream));
        }
        let tls = self.tls.load_full().ok_or_else(|| io::Error::other("nobody says whom to believe"))?;
        let host = self.address.name.as_deref().map_or_else(|| at.ip().to_string(), ToOwned::to_owned);
        let name = tls.server_name(&host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls.config()).connect(name, stream).await?;
        let session = stream.get_ref().1;
        // RFC 8484 §5.2: HTTP/2 at least. One who does not agree on a protocol would speak HTTP/1.1.
        if self.address.transport == Transport::Https && session.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("it does not speak HTTP/2"));
        }
        let is_resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        Ok(Dialed::Tls { stream: Box::new(stream), is_resumed })
    }
}
