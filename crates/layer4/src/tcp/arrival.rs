//! How a client arrives: judged by its address, named by a proxy in front, asked which server it wants.

use super::Refused;
use super::stream::{Prefixed, Stream};
use crate::client_hello::{self, Hello};
use crate::error::Refusal;
use crate::snapshot::{TcpPart, TlsPart};
use admission::proxy_protocol::{self, HEADER_BYTES_MAX, Header, Origin};
use admission::{Held, Key};
use balance::Pool;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tls::{Chosen, Failure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// A client that may go on to an endpoint.
pub(super) struct Arrived {
    pub(super) stream: Stream,
    /// What it has sent already, for the endpoint.
    pub(super) sent: Vec<u8>,
    /// Who it is, and which address of ours it came to.
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// The server that it asks for, if it speaks TLS and was asked.
    pub(super) server_name: Option<String>,
    /// What was agreed on, where TLS ends here.
    pub(super) tls: Option<tls::Peer>,
    pub(super) pool: Arc<Pool>,
    /// Its place among those of the same client.
    pub(super) held: Option<Held>,
}

/// Bytes that are read at once while looking for what comes first.
const LOOK_BYTES: usize = 4 << 10;

/// What is known of a client on its way in.
struct Arriving<'a> {
    part: &'a TcpPart,
    stream: TcpStream,
    sent: Vec<u8>,
    source: SocketAddr,
    destination: SocketAddr,
}

pub(super) async fn arrive(
    part: &TcpPart,
    stream: TcpStream,
    source: SocketAddr,
) -> Result<Arrived, Refused> {
    let Ok(destination) = stream.local_addr() else { return Err(gone(Refusal::Left)) };
    let is_proxy = part.proxies.as_ref().is_some_and(|proxies| proxies.contains(source.ip()));
    let arriving = Arriving { part, stream, sent: Vec::new(), source, destination };
    // Where nothing has to come first, no timer is set.
    if !is_proxy && !part.routes.ask_for_names() && part.tls.is_none() {
        let held = arriving.admit()?;
        return arriving.lead(None, held);
    }
    match tokio::time::timeout(part.config.timeout.hello.get(), arriving.listen_first(is_proxy)).await {
        Ok(arrived) => arrived,
        Err(_) => Err(gone(Refusal::HelloTimeout)),
    }
}

fn gone(refusal: Refusal) -> Refused {
    Refused { stream: None, refusal }
}

impl Arriving<'_> {
    async fn listen_first(mut self, is_proxy: bool) -> Result<Arrived, Refused> {
        if is_proxy {
            self.read_proxy_header().await?;
        }
        let held = self.admit()?;
        if let Some(tls) = &self.part.tls {
            return self.secured(tls, held).await;
        }
        let server_name = match self.part.routes.ask_for_names() {
            true => self.read_server_name().await?,
            false => None,
        };
        self.lead(server_name, held)
    }

    /// Who it is, by the header that its proxy sends first.
    async fn read_proxy_header(&mut self) -> Result<(), Refused> {
        loop {
            match proxy_protocol::parse(&self.sent) {
                Ok(Some((header, length))) => {
                    self.sent.drain(..length);
                    self.believe(&header);
                    return Ok(());
                }
                Ok(None) if self.sent.len() < HEADER_BYTES_MAX + LOOK_BYTES => self.read_more().await?,
                Ok(None) | Err(_) => return Err(gone(Refusal::ProxyHeader)),
            }
        }
    }

    fn believe(&mut self, header: &Header) {
        if let Origin::Stream { source, destination } = header.origin {
            (self.source, self.destination) = (source, destination);
        }
    }

    /// Whether it may come at all.
    fn admit(&self) -> Result<Option<Held>, Refused> {
        let reset = |refusal| {
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(std::time::Duration::ZERO));
            gone(refusal)
        };
        if self.part.access.judge(self.source.ip()).is_err() {
            return Err(reset(Refusal::Denied));
        }
        let Some(max) = self.part.config.limit.connections_per_client else { return Ok(None) };
        let key = Key::of_client(self.source.ip());
        match self.part.live.clients.try_enter(key, max) {
            Some(held) => Ok(Some(held)),
            None => Err(reset(Refusal::ClientLimit)),
        }
    }

    async fn read_server_name(&mut self) -> Result<Option<String>, Refused> {
        loop {
            match client_hello::read(&self.sent) {
                Hello::Tls { server_name } => return Ok(server_name),
                Hello::Other => return Ok(None),
                Hello::Incomplete => self.read_more().await?,
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), Refused> {
        let before = self.sent.len();
        self.sent.resize(before + LOOK_BYTES, 0);
        let read = loop {
            if let Err(error) = self.stream.readable().await {
                break Err(error);
            }
            match self.stream.try_read(&mut self.sent[before..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => break read,
            }
        };
        self.sent.truncate(before + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) | Err(_) => Err(gone(Refusal::Left)),
            Ok(_) => Ok(()),
        }
    }

    /// The pool for it.
    fn lead(self, server_name: Option<String>, held: Option<Held>) -> Result<Arrived, Refused> {
        match self.part.routes.find(server_name.as_deref()) {
            Some((pool, _)) => Ok(Arrived {
                pool: pool.clone(),
                stream: Stream::Plain(self.stream),
                sent: self.sent,
                source: self.source,
                destination: self.destination,
                server_name,
                tls: None,
                held,
            }),
            None if self.sent.first() == Some(&client_hello::HANDSHAKE) => {
                Err(Refused { stream: Some(Stream::Plain(self.stream)), refusal: Refusal::ServerName })
            }
            // To who does not speak TLS, an alert means nothing.
            None => Err(gone(Refusal::ServerName)),
        }
    }

    /// Ends TLS here.
    async fn secured(self, tls: &TlsPart, held: Option<Held>) -> Result<Arrived, Refused> {
        let events = &self.part.live.events.tls;
        let failed = |error: io::Error| {
            events.failed(Failure::of(&error));
            gone(Refusal::Tls)
        };
        let prefixed = Prefixed::new(self.sent, self.stream);
        let mut acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), prefixed);
        let start = (&mut acceptor).await.map_err(failed)?;
        let Chosen { config, .. } = match tls.server.choose(&start.client_hello()) {
            Ok(chosen) => chosen,
            Err(refused) => {
                events.failed(Failure::from(&refused));
                let mut stream = start.io;
                // Within the time for a hello.
                let _ = stream.write_all(&refused.alert()).await;
                return Err(gone(Refusal::Tls));
            }
        };
        let stream = start.into_stream(config).await.map_err(failed)?;
        let Some(peer) = tls::Peer::of(stream.get_ref().1) else { return Err(gone(Refusal::Tls)) };
        events.succeeded(&peer);
        let server_name = peer.server_name.as_deref().map(str::to_owned);
        let Some((pool, _)) = self.part.routes.find(server_name.as_deref()) else {
            let stream = Some(Stream::Server(Box::new(stream)));
            return Err(Refused { stream, refusal: Refusal::ServerName });
        };
        Ok(Arrived {
            pool: pool.clone(),
            stream: Stream::Server(Box::new(stream)),
            sent: Vec::new(),
            source: self.source,
            destination: self.destination,
            server_name,
            tls: Some(peer),
            held,
        })
    }
}
