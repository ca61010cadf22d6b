//! What stands in the file about TLS: of a site or listener, of the edge as a whole, and of a pool.

mod check;
mod short;

pub use check::{check_client, check_edge, check_server};

use notation::{Duration, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// TLS of a site or a listener: `"self-signed"`, `"acme"`, or a table with certificates of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig(pub TlsTable);

impl TlsConfig {
    /// Whether the OCSP responses of its certificates are those of a responder, should one be named: no file has
    /// them.
    pub fn wants_responses(&self) -> bool {
        let table = &self.0;
        let is_without = |cert: bool, ocsp: &Option<PathBuf>| cert && ocsp.is_none();
        table.auto == Some(Automatic::Acme)
            || is_without(table.cert.is_some(), &table.ocsp)
            || table.certs.iter().any(|each| is_without(true, &each.ocsp))
    }
}

/// Where certificates come from (exactly one of `auto`, `cert` with `key`, and `certs`), and whether clients
/// show some as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsTable {
    /// Certificates that nines gets by itself; `tls = "acme"` is short for `tls = { auto = "acme" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto: Option<Automatic>,
    /// A PEM file with the certificate and those between it and a root. It is read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key: PKCS #8, PKCS #1 or SEC 1, without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// A DER file with the OCSP response that is stapled to the certificate, in place of one from the responder that
    /// the certificate names. It is read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<PathBuf>,
    /// Several certificates for the same name, for example ECDSA and RSA: a client gets the first that it can
    /// verify.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certs: Vec<CertConfig>,
    /// Clients show certificates too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientsConfig>,
}

/// Certificates without files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// By a certificate authority of this node's own, `tls/ca.pem` in the data folder: for development, and
    /// wherever clients can be told to trust it.
    SelfSigned,
    /// By a public certificate authority, as `[edge.acme]` says.
    Acme,
}

/// One certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertConfig {
    /// A PEM file with the certificate and those between it and a root.
    pub cert: PathBuf,
    /// A PEM file with the certificate's private key.
    pub key: PathBuf,
    /// A DER file with the OCSP response that is stapled to the certificate, in place of one from the responder that
    /// the certificate names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<PathBuf>,
}

/// Which clients may connect, by their certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientsConfig {
    /// A PEM file with the certificate authorities whose certificates are believed. It is read again when it
    /// changes.
    pub ca: PathBuf,
    /// Whether a client without a certificate is refused. If not, only a wrong certificate is.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// `[edge.tls]`: what holds for every TLS connection of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeTls {
    /// The versions of TLS that are spoken. HTTP/3 is always 1.3.
    pub versions: Vec<Version>,
    /// The keys of session tickets, by which a client that comes back skips most of the handshake.
    pub tickets: TicketsConfig,
    /// Whether the responders that certificates name are asked for OCSP responses, to be stapled to handshakes. What
    /// a site's `ocsp` names is stapled either way.
    pub ocsp: OcspFetch,
}

impl Default for EdgeTls {
    fn default() -> Self {
        let versions = vec![Version::Tls12, Version::Tls13];
        Self { versions, tickets: TicketsConfig::default(), ocsp: OcspFetch::Fetch }
    }
}

/// Whether OCSP responders are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OcspFetch {
    /// For every certificate that names a responder, by its issuer's certificate in the chain.
    Fetch,
    /// For none.
    Off,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// RFC 5246, with ephemeral keys and authenticated encryption only.
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Keys of session tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TicketsConfig {
    /// Nodes that are given the same secret, of 32 random bytes or more, resume each other's sessions. Without
    /// it a process makes random keys, which end with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// How long a key is used; a ticket is good for at least this time, and at most twice as long.
    pub rotate: Duration,
}

impl Default for TicketsConfig {
    fn default() -> Self {
        Self { secret: None, rotate: Duration::secs(12 * 3600) }
    }
}

/// TLS towards the endpoints of a pool: `true`, or a table that says more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls(pub ClientTable);

/// How endpoints are verified, and what is shown to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTable {
    /// A PEM file with the certificate authorities that may vouch for an endpoint; the system's otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name that an endpoint's certificate must carry, sent as SNI; the host of its address otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// A PEM file with a certificate to show to endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// A PEM file with the private key of `cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// `false` believes any certificate, and so anybody in between: for trying things out only.
    pub verify: bool,
}

impl Default for ClientTable {
    fn default() -> Self {
        Self { ca: None, server_name: None, cert: None, key: None, verify: true }
    }
}
