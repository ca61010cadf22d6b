//! How a pool's endpoints are spoken to: the protocol, TLS, and who says where a connection comes from.

use crate::config::{PoolConfig, Protocol, ProxyVersion};
use crate::endpoint::Endpoint;
use crate::error::SettingsError;
use crate::sources::{Host, host_and_port};
use rustls::pki_types::ServerName;
use std::path::Path;
use std::sync::Arc;
use tls::{Client, ClientTls};

/// HTTP/2 by ALPN (RFC 9113 §3.2).
pub(crate) const H2: &[u8] = b"h2";
/// HTTP/1.1 by ALPN (RFC 7301 §6).
const HTTP1: &[u8] = b"http/1.1";

/// A pool's configuration with all that it needs loaded, so that following it cannot fail.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) config: PoolConfig,
    pub(crate) transport: Arc<Transport>,
}

impl Settings {
    /// Loads the certificates of a pool's TLS, if it has any; their paths are relative to `dir`.
    ///
    /// # Errors
    /// When one of them cannot be used; the error names the pool and the file.
    pub fn load(config: PoolConfig, pool: &str, dir: &Path) -> Result<Self, SettingsError> {
        let alpn = match config.protocol {
            Protocol::Http1 => HTTP1,
            Protocol::Http2 => H2,
        };
        let client = config.tls.as_ref().map(|tls| Client::load(tls, pool, dir, &[alpn], tls::system_time()));
        let client = client.transpose().map_err(|source| SettingsError { pool: pool.to_owned(), source })?;
        let transport = Arc::new(Transport::new(&config, client));
        Ok(Self { config, transport })
    }
}

impl From<PoolConfig> for Settings {
    /// A pool without TLS has nothing to load.
    ///
    /// # Panics
    /// When the pool has TLS, which [`Settings::load`] is for: it would be spoken to in plain text.
    fn from(config: PoolConfig) -> Self {
        assert!(config.tls.is_none(), "a pool with TLS is made by Settings::load");
        let transport = Arc::new(Transport::new(&config, None));
        Self { config, transport }
    }
}

/// How endpoints are spoken to. A pool keeps the very same object until one of its parts changes: idle
/// connections that were made by another are closed rather than used.
#[derive(Debug)]
pub struct Transport {
    protocol: Protocol,
    proxy_protocol: Option<ProxyVersion>,
    tls: Option<(ClientTls, Client)>,
    /// The name that all endpoints stand behind.
    dns_host: Option<String>,
}

impl Transport {
    fn new(config: &PoolConfig, client: Option<Client>) -> Self {
        let dns_host = config.dns.as_ref().and_then(|name| match host_and_port(name) {
            Ok((Host::Name(host), _)) => Some(host),
            _ => None,
        });
        Self {
            protocol: config.protocol,
            proxy_protocol: config.proxy_protocol,
            tls: config.tls.clone().zip(client),
            dns_host,
        }
    }

    /// What is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Which PROXY header each connection begins with, before TLS.
    pub fn proxy_protocol(&self) -> Option<ProxyVersion> {
        self.proxy_protocol
    }

    /// The TLS of each connection; it offers the pool's protocol by ALPN. An endpoint that chooses none speaks
    /// the pool's protocol all the same.
    pub fn tls(&self) -> Option<&Client> {
        self.tls.as_ref().map(|(_, client)| client)
    }

    /// The name that an endpoint's certificate is verified against and that is sent as SNI: `tls.server_name`,
    /// otherwise the host as it stands in the file, otherwise the address.
    pub fn server_name(&self, endpoint: &Endpoint) -> ServerName<'static> {
        let named = self.tls().and_then(|client| client.server_name(&self.host_of(endpoint)).ok());
        // A host that no certificate can name is a fault of the file: see `check`.
        named.unwrap_or_else(|| ServerName::from(endpoint.address().ip()))
    }

    /// The host that an endpoint is known by.
    pub(crate) fn host_of(&self, endpoint: &Endpoint) -> String {
        match (&self.dns_host, host_and_port(endpoint.name())) {
            (Some(host), _) => host.clone(),
            (None, Ok((Host::Name(host), _))) => host,
            _ => endpoint.address().ip().to_string(),
        }
    }

    /// Whether connections made by one are as good as those of the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let tls = |of: &Self| of.tls.as_ref().map(|(config, _)| config.clone());
        self.protocol == other.protocol
            && self.proxy_protocol == other.proxy_protocol
            && self.dns_host == other.dns_host
            && tls(self) == tls(other)
    }
}
