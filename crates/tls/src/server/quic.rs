//! QUIC: one configuration for all names, with the certificate found by name.

use super::ServerContext;
use super::names::Names;
use crate::clients::Terms;
use crate::error::Error;
use crate::provider::provider;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

pub(super) fn config(
    context: &ServerContext,
    names: &Arc<Names>,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&context.time))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| Error::Rustls { what: "tls for QUIC".into(), source })?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(ByName(Arc::clone(names))));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = context.tickets.under(&Terms::default().label(&format!("{} quic", context.listener)));
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

struct ByName(Arc<Names>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let site = self.0.find(name.as_deref())?;
        let live = site.live();
        if live.terms.ask_for_certificates() {
            return None;
        }
        site.certificate(&live, &hello)
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByName")
    }
}
