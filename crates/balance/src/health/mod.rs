//! Active health: asking each endpoint, again and again, whether it works.
//!
//! A check is one connection, made for it and closed after it: whoever checks over a kept connection finds out
//! that the connection works. All of it, from the connection to the last byte, has one timeout.

pub(crate) mod expect;
mod grpc;
mod http;
pub(crate) mod judge;

use crate::config::HealthConfig;
use judge::Found;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// The most that is read of an answer's body.
const BODY_MAX: usize = 64 << 10;

/// Checks one endpoint once.
pub(crate) async fn check(rules: &HealthConfig, address: SocketAddr) -> Found {
    let address = SocketAddr::new(address.ip(), rules.port.unwrap_or(address.port()));
    let answer = async {
        let stream = TcpStream::connect(address).await.map_err(|error| no_connection(&error))?;
        match (&rules.http, &rules.grpc) {
            (Some(path), _) => http::check(rules, path, address, stream).await,
            (None, Some(service)) => grpc::check(service, rules.host.as_deref(), address, stream).await,
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

/// The kernel's words without Rust's number: "connection refused".
fn no_connection(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}
