//! TLS in front of a connection (RFC 7858): certificates, and the handshake.

use super::wire::Secured;
use crate::config::DnsConfig;
use crate::error::Error;
use crate::running::DnsParts;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;
use tls::{Chosen, Failure, Peer, Tickets};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// RFC 7858 §3.2 knows no ALPN; this is the name that IANA has for it.
const ALPN: &[u8] = b"dot";

/// What connections under TLS are taken in with.
#[derive(Clone)]
pub(crate) struct TlsDoor {
    server: Arc<tls::Server>,
    tickets: Arc<Tickets>,
}

impl TlsDoor {
    /// If there is one. Tickets go on being good over a change.
    pub(crate) fn load(
        parts: &DnsParts,
        registry: &Registry,
        before: Option<&Self>,
    ) -> Result<Option<Self>, Error> {
        let DnsParts { config: DnsConfig { tls: Some(certificates), .. }, dir, node_data, .. } = parts else {
            return Ok(None);
        };
        let tickets = match before {
            Some(before) => before.tickets.reload(&parts.tls.tickets, dir)?,
            None => Tickets::load(&parts.tls.tickets, dir, tls::system_time())?,
        };
        let context = tls::ServerContext {
            listener: "dns".to_owned(),
            dir: dir.clone(),
            data: node_data.clone(),
            alpn: vec![ALPN.to_vec()],
            versions: parts.tls.versions.clone(),
            tickets: tickets.clone(),
            challenges: None,
            issued: None,
            staples: None,
            time: tls::system_time(),
            registry: registry.clone(),
        };
        Ok(Some(Self { server: tls::Server::load(context, [("default", certificates)])?, tickets }))
    }

    /// Looks for changed files: not for a core.
    pub(crate) fn refresh(&self) {
        self.server.refresh();
    }

    /// Takes a connection in, within the time that a client may take.
    pub(super) async fn enter(
        &self,
        stream: TcpStream,
        patience: Duration,
        events: &tls::Events,
    ) -> Option<Secured> {
        match tokio::time::timeout(patience, self.shake_hands(stream, events)).await {
            Ok(Ok(secured)) => Some(secured),
            Ok(Err(failure)) => {
                events.failed(failure);
                None
            }
            Err(_) => {
                events.failed(Failure::of(&io::ErrorKind::TimedOut.into()));
                None
            }
        }
    }

    async fn shake_hands(&self, stream: TcpStream, events: &tls::Events) -> Result<Secured, Failure> {
        let failed = |error: io::Error| Failure::of(&error);
        let mut acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let start = (&mut acceptor).await.map_err(failed)?;
        let Chosen { config, .. } = match self.server.choose(&start.client_hello()) {
            Ok(chosen) => chosen,
            Err(refused) => {
                let mut stream = start.io;
                let _ = stream.write_all(&refused.alert()).await;
                return Err(Failure::from(&refused));
            }
        };
        let (tcp, session) = start.into_stream(config).await.map_err(failed)?.into_inner();
        if let Some(peer) = Peer::of(&session) {
            events.succeeded(&peer);
        }
        Ok(Secured::new(tcp, session))
    }
}
