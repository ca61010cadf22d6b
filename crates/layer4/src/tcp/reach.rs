//! The way to an endpoint: one of the pool's, and another if that cannot be reached.

use super::arrival::Arrived;
use super::stream::Stream;
use crate::core::Core;
use crate::error::Refusal;
use crate::snapshot::{TcpPart, hash_of};
use admission::proxy_protocol::{Extras, write_v1, write_v2};
use balance::{Endpoint, EndpointId, Outcome, Picked, Pool, ProxyVersion, RetryOn, Transport, Wish};
use flow::Permit;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// An endpoint that has been reached, and has been sent what the client sent so far.
pub(super) struct Reached {
    pub(super) picked: InPool,
    /// How long it took.
    pub(super) took: Duration,
    pub(super) stream: Stream,
}

/// A connection's place in its pool.
pub(super) struct InPool {
    picked: Picked,
    _permit: Permit,
}

impl InPool {
    pub(super) fn finish(self, outcome: Outcome, latency: Duration, now: Instant) {
        self.picked.finish(outcome, latency, now);
    }
}

/// Finds a place in the pool and an endpoint that answers.
pub(super) async fn reach(core: &Core, part: &TcpPart, arrived: &Arrived) -> Result<Reached, Refusal> {
    let pool = &arrived.pool;
    let permit = pool.gate().enter().await.map_err(|_| Refusal::Full)?;
    let config = pool.config().clone();
    let hash = hash_of(pool, arrived.source.ip());
    let mut tried: Vec<EndpointId> = Vec::new();
    loop {
        let wish = Wish { hash, sticky: None, avoid: &tried };
        let began = Instant::now();
        let picked = match pool.pick(&wish, began, &mut core.rng.borrow_mut()) {
            Ok(picked) => picked,
            // Where nobody is left to try, the last failure says more.
            Err(_) if tried.is_empty() => return Err(Refusal::NoEndpoint),
            Err(_) => return Err(Refusal::Connect),
        };
        let connecting = connect(pool, picked.endpoint(), arrived);
        let connected = match tokio::time::timeout(config.timeout.connect.get(), connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let error = match connected {
            Ok(stream) => {
                let took = began.elapsed();
                return Ok(Reached { picked: InPool { picked, _permit: permit }, took, stream });
            }
            Err(error) => error,
        };
        let endpoint = picked.endpoint().id();
        tracing::debug!(target: "layer4", listener = &*part.name, endpoint = picked.endpoint().name(), %error, "no connection");
        // What fails for want of something on this side says nothing about the endpoint.
        if !is_our_lack(&error) {
            let now = Instant::now();
            picked.finish(Outcome::ConnectFailed, now - began, now);
        }
        tried.push(endpoint);
        let is_retried = tried.len() < config.retry.attempts as usize
            && config.retry.on.contains(&RetryOn::Connect)
            && pool.retry_budget().try_withdraw(Instant::now());
        if !is_retried {
            return Err(Refusal::Connect);
        }
        part.live.events.retries.inc();
    }
}

/// Makes a connection: to the address, told whom it is for, made secure, and sent what the client has sent.
async fn connect(pool: &Pool, endpoint: &Arc<Endpoint>, arrived: &Arrived) -> io::Result<Stream> {
    let transport = pool.transport().clone();
    let mut stream = TcpStream::connect(endpoint.address()).await?;
    stream.set_nodelay(true)?;
    let mut first = proxy_header(&transport, arrived);
    let Some(tls) = transport.tls() else {
        first.extend_from_slice(&arrived.sent);
        if !first.is_empty() {
            stream.write_all(&first).await?;
        }
        return Ok(Stream::Plain(stream));
    };
    if !first.is_empty() {
        stream.write_all(&first).await?;
    }
    // What is spoken within is between the client and the endpoint.
    let connector = TlsConnector::from(tls.config_for(&[]));
    let mut secured = connector.connect(transport.server_name(endpoint), stream).await?;
    if !arrived.sent.is_empty() {
        secured.write_all(&arrived.sent).await?;
        secured.flush().await?;
    }
    Ok(Stream::Client(Box::new(secured)))
}

/// What the endpoint is told before all else, if it is told anything.
fn proxy_header(transport: &Transport, arrived: &Arrived) -> Vec<u8> {
    let mut header = Vec::new();
    let Arrived { source, destination, .. } = *arrived;
    match transport.proxy_protocol() {
        None => {}
        Some(ProxyVersion::V1) => write_v1(&mut header, source, destination),
        Some(ProxyVersion::V2) => {
            let extras = Extras {
                authority: arrived.server_name.as_deref(),
                alpn: arrived.tls.as_ref().and_then(|tls| tls.alpn.as_deref()),
                ssl_version: arrived.tls.as_ref().map(|tls| match tls.version {
                    tls::Version::Tls12 => "TLSv1.2",
                    tls::Version::Tls13 => "TLSv1.3",
                }),
                checksum: true,
            };
            write_v2(&mut header, source, destination, &extras);
        }
    }
    header
}

/// Whether a connection failed for want of something on this side (descriptors, ports, memory).
pub(crate) fn is_our_lack(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lacks = [Errno::NOMEM, Errno::NFILE, Errno::MFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS];
    lacks.iter().any(|lack| error.raw_os_error() == Some(lack.raw_os_error()))
}
