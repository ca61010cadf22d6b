//! Active health: asking each endpoint, again and again, whether it works.
//!
//! A check is one connection, made for it and closed after it: whoever checks over a kept connection finds out
//! that the connection works. It is made as live requests make theirs, with the pool's TLS and protocol. All of
//! it, from the connection to the last byte, has one timeout.

mod connect;
pub(crate) mod expect;
mod grpc;
mod http;
mod http2;
pub(crate) mod judge;

use crate::config::{HealthConfig, Protocol, ProxyVersion};
use crate::transport::Transport;
use connect::Stream;
use judge::Found;
use std::net::SocketAddr;

/// The most that is read of an answer's body.
const BODY_MAX: usize = 64 << 10;

/// What is checked, and how it is spoken to.
struct Target<'a> {
    rules: &'a HealthConfig,
    address: SocketAddr,
    transport: &'a Transport,
    /// The host that the endpoint is known by.
    host: &'a str,
}

impl Target<'_> {
    /// The host that a request is for.
    fn authority(&self) -> String {
        match (&self.rules.host, self.transport.tls()) {
            (Some(host), _) => host.clone(),
            // Who shows a certificate for a name wants to be asked by it.
            (None, Some(client)) => {
                let name = client.server_name(self.host);
                name.map_or_else(|_| self.address.to_string(), |name| authority_of(&name, self.address))
            }
            (None, None) => self.address.to_string(),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.transport.tls().is_some() { "https" } else { "http" }
    }

    fn speaks_h2(&self) -> bool {
        self.transport.protocol() == Protocol::Http2
    }

    /// gRPC is HTTP/2, whatever live requests speak.
    fn wants_h2(&self) -> bool {
        self.speaks_h2() || (self.rules.http.is_none() && self.rules.grpc.is_some())
    }

    /// The header that live connections begin with. Another port is not the one that wants it.
    fn proxy_protocol(&self) -> Option<ProxyVersion> {
        if self.rules.port.is_some() { None } else { self.transport.proxy_protocol() }
    }
}

/// A name by itself, as it stands in a certificate; an address with its port.
fn authority_of(name: &rustls::pki_types::ServerName<'_>, address: SocketAddr) -> String {
    match name {
        rustls::pki_types::ServerName::DnsName(name) => name.as_ref().to_owned(),
        _ => address.to_string(),
    }
}

/// Checks one endpoint once.
pub(crate) async fn check(
    rules: &HealthConfig,
    address: SocketAddr,
    transport: &Transport,
    host: &str,
) -> Found {
    let address = SocketAddr::new(address.ip(), rules.port.unwrap_or(address.port()));
    let target = Target { rules, address, transport, host };
    let answer = async {
        let stream = connect::connect(&target).await?;
        match (&rules.http, &rules.grpc) {
            (Some(path), _) => http::check(&target, path, stream).await,
            (None, Some(service)) => grpc::check(&target, service, stream).await,
            (None, None) if transport.tls().is_some() => Ok("accepted a TLS connection".to_owned()),
            (None, None) => Ok("accepted a connection".to_owned()),
        }
    };
    match tokio::time::timeout(rules.timeout.get(), answer).await {
        Ok(found) => found,
        Err(_) => Err(format!("{} took longer than {}", what(rules), rules.timeout)),
    }
}

/// What the check does, in a few words.
fn what(rules: &HealthConfig) -> String {
    match (&rules.http, &rules.grpc) {
        (Some(path), _) => format!("GET {path}"),
        (None, Some(service)) => grpc::what(service),
        (None, None) => "connecting".to_owned(),
    }
}
