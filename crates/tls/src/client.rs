//! TLS towards endpoints: whom to believe, which name to ask for, and what to show.
//!
//! The system's certificate authorities are those of its own store (or of `SSL_CERT_FILE` and `SSL_CERT_DIR`): who
//! runs a machine decides whom it trusts, and no list is built in that would grow old in the binary.

use crate::config::{ClientTable, ClientTls};
use crate::error::Error;
use crate::pem;
use crate::provider::provider;
use crate::watched::{Files, Watched};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The TLS of a pool's connections.
#[derive(Debug)]
pub struct Client {
    pool: String,
    config: Watched<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Client {
    /// Loads what the file names. `pool` is said in logs; paths are relative to `dir`; `alpn` are the protocols
    /// that are offered, by preference.
    ///
    /// # Errors
    /// When a file cannot be used, or there are no certificate authorities to verify with.
    pub fn load(
        config: &ClientTls,
        pool: &str,
        dir: &Path,
        alpn: &[&[u8]],
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, Error> {
        let table = config.0.clone();
        let server_name = table.server_name.as_ref().map(|name| server_name(name)).transpose()?;
        if !table.verify {
            tracing::warn!(target: "tls", pool, "`tls.verify = false`: whoever answers is believed to be the endpoint");
        }
        let (dir, alpn): (PathBuf, Vec<Vec<u8>>) =
            (dir.to_owned(), alpn.iter().map(|name| name.to_vec()).collect());
        let config = Watched::new(move |files| client_config(&table, &dir, &alpn, &time, files))?;
        Ok(Self { pool: pool.to_owned(), config, server_name })
    }

    /// What connections are made with now.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config.get())
    }

    /// The same with other protocols within.
    pub fn config_for(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config.get());
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// The name that an endpoint must prove to be: the file's, otherwise the `host` of its address (a name, or an
    /// IP address, which is not sent).
    ///
    /// # Errors
    /// When `host` is neither.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, Error> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => server_name(host),
        }
    }

    /// Looks for changed files, and loads them anew; what cannot be loaded is told once, and what was there before
    /// stays. It reads files: not for a thread that serves.
    pub fn refresh(&self) {
        match self.config.refresh(false) {
            Ok(false) => {}
            Ok(true) => tracing::info!(target: "tls", pool = self.pool, "certificates loaded anew"),
            Err(error) => tracing::error!(
                target: "tls", pool = self.pool, %error,
                "the changed files cannot be used, the certificates before stay"
            ),
        }
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| Error::ServerName { host: host.to_owned() })
}

fn client_config(
    table: &ClientTable,
    dir: &Path,
    alpn: &[Vec<u8>],
    time: &Arc<dyn TimeProvider>,
    files: &mut Files,
) -> Result<ClientConfig, Error> {
    let fails = |source| Error::Rustls { what: "tls of a pool".into(), source };
    let builder = ClientConfig::builder_with_details(Arc::clone(provider()), Arc::clone(time))
        .with_safe_default_protocol_versions()
        .map_err(fails)?;
    let builder = match (&table.ca, table.verify) {
        (_, false) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider()))),
        (Some(ca), true) => builder.with_root_certificates(pem::roots(files, &dir.join(ca))?),
        (None, true) => builder.with_root_certificates(system_roots()?),
    };
    let mut config = match table.cert.as_ref().zip(table.key.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let (cert, key) = (dir.join(cert), dir.join(key));
            let shown = pem::Pair { cert: cert.clone(), key: key.clone(), ocsp: None }.load(files)?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)))
        }
    };
    config.alpn_protocols = alpn.to_vec();
    config.enable_early_data = false;
    Ok(config)
}

/// The certificate authorities that the machine trusts.
fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let cause = found.errors.first().map_or_else(|| "its store is empty".into(), ToString::to_string);
        return Err(Error::NoRoots { cause });
    }
    Ok(roots)
}

/// Believes any certificate, but not that somebody owns one who does not.
#[derive(Debug)]
struct Anybody(&'static Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
