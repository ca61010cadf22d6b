//! TLS-ALPN-01 (RFC 8737): a certificate authority connects, speaks `acme-tls/1` and looks at the certificate.

use super::{Challenges, ServerContext};
use crate::error::Error;
use crate::provider::{provider, supported};
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

const ACME_TLS: &[u8] = b"acme-tls/1";

/// Whether a client wants nothing but the challenge's answer (RFC 8737 §3).
pub(super) fn is_one(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut names| names.next() == Some(ACME_TLS) && names.next().is_none())
}

pub(super) fn config(
    context: &ServerContext,
    challenges: &Arc<dyn Challenges>,
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&context.time))
        .with_protocol_versions(&supported(&context.versions))
        .map_err(|source| Error::Rustls { what: "tls.versions".into(), source })?;
    let mut config =
        builder.with_no_client_auth().with_cert_resolver(Arc::new(Answers(Arc::clone(challenges))));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

struct Answers(Arc<dyn Challenges>);

impl ResolvesServerCert for Answers {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.certificate(&hello.server_name()?.to_ascii_lowercase())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}
