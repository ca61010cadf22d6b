//! The connection of a check: as live requests make theirs, with the pool's PROXY header and TLS.

use super::Target;
use crate::config::{Protocol, ProxyVersion};
use crate::transport::H2;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection to an endpoint, with TLS or without.
pub(super) type Stream = Box<dyn Bytes>;

/// What is read and written.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// Connects; what fails is said in a few words.
pub(super) async fn connect(target: &Target<'_>) -> Result<Stream, String> {
    let mut stream = TcpStream::connect(target.address).await.map_err(|error| no_connection(&error))?;
    if let Some(version) = target.proxy_protocol() {
        stream.write_all(proxy_header(version)).await.map_err(|error| no_connection(&error))?;
    }
    let Some(client) = target.transport.tls() else { return Ok(Box::new(stream)) };
    let fails = |error: &dyn std::fmt::Display| format!("TLS with {}: {error}", target.host);
    let name = client.server_name(target.host).map_err(|error| fails(&error))?;
    let speaks_h2 = target.transport.protocol() == Protocol::Http2;
    let config = if target.wants_h2() && !speaks_h2 { client.config_for(&[H2]) } else { client.config() };
    let connected = TlsConnector::from(config).connect(name, stream).await;
    Ok(Box::new(connected.map_err(|error| fails(&error))?))
}

/// The header of a connection that speaks for no client: "UNKNOWN" in the protocol's version 1, "LOCAL" in
/// its version 2 (The PROXY protocol, §2.1 and §2.2).
fn proxy_header(version: ProxyVersion) -> &'static [u8] {
    match version {
        ProxyVersion::V1 => b"PROXY UNKNOWN\r\n",
        ProxyVersion::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

/// The kernel's words without Rust's number: "connection refused".
fn no_connection(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}
