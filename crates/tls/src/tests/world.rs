//! A folder with an authority and certificates, a clock, servers, and clients that meet them in memory.

use crate::{
    Challenges, Chosen, Failure, Issued, Peer, Refused, Server, ServerContext, Tickets, TicketsConfig,
    TlsConfig, Version, provider,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::Acceptor;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A day in 2027.
pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;

#[derive(Debug)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Arc<Clock>,
    pub(super) registry: telemetry::Registry,
    pub(super) tickets: Arc<Tickets>,
    authority: Issuer<'static, KeyPair>,
    authority_pem: String,
}

/// What a site's TLS is written as.
pub(super) fn tls(value: &str) -> TlsConfig {
    #[derive(serde::Deserialize)]
    struct Site {
        tls: TlsConfig,
    }
    toml::from_str::<Site>(&format!("tls = {value}")).expect("the test's own configuration").tls
}

impl World {
    pub(super) fn new() -> Self {
        let (authority, authority_pem) = authority("the world's");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), &authority_pem).unwrap();
        let clock = Arc::new(Clock(AtomicU64::new(NOW)));
        let tickets = Tickets::load(&TicketsConfig::default(), dir.path(), clock.clone()).unwrap();
        let registry = telemetry::Registry::new();
        Self { dir, clock, registry, tickets, authority, authority_pem }
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(super) fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    /// Another authority's file.
    pub(super) fn other_authority(&self, file: &str) -> Issuer<'static, KeyPair> {
        let (issuer, pem) = authority(file);
        self.write(file, pem);
        issuer
    }

    /// A certificate in `NAME.pem` with its key in `NAME.key`.
    pub(super) fn certificate(&self, file: &str, names: &[&str]) {
        self.certificate_with(file, names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {});
    }

    pub(super) fn certificate_with(
        &self,
        file: &str,
        names: &[&str],
        algorithm: &'static rcgen::SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        self.certificate_by(&self.authority, file, names, &key, change);
    }

    pub(super) fn certificate_by(
        &self,
        authority: &Issuer<'static, KeyPair>,
        file: &str,
        names: &[&str],
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let certificate = params.signed_by(key, authority).unwrap();
        self.write(&format!("{file}.pem"), certificate.pem());
        self.write(&format!("{file}.key"), key.serialize_pem());
    }

    pub(super) fn key(&self, file: &str) -> Arc<rustls::sign::CertifiedKey> {
        let (chain, key) = self.chain_and_key(file);
        Arc::new(rustls::sign::CertifiedKey::from_der(chain, key, provider()).unwrap())
    }

    fn chain_and_key(&self, file: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_file_iter(self.path(&format!("{file}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).unwrap();
        (chain.map(Result::unwrap).collect(), key)
    }

    pub(super) fn context(&self) -> ServerContext {
        ServerContext {
            listener: "edge".into(),
            dir: self.dir.path().to_owned(),
            data: self.path("data"),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            versions: vec![Version::Tls12, Version::Tls13],
            tickets: Arc::clone(&self.tickets),
            challenges: None,
            issued: None,
            staples: None,
            time: self.clock.clone(),
            registry: self.registry.clone(),
        }
    }

    pub(super) fn server(&self, sites: &[(&str, &str)]) -> Arc<Server> {
        self.server_with(self.context(), sites)
    }

    pub(super) fn server_with(&self, context: ServerContext, sites: &[(&str, &str)]) -> Arc<Server> {
        self.try_server(context, sites).unwrap()
    }

    pub(super) fn try_server(
        &self,
        context: ServerContext,
        sites: &[(&str, &str)],
    ) -> Result<Arc<Server>, crate::Error> {
        let sites: Vec<(&str, TlsConfig)> = sites.iter().map(|(name, value)| (*name, tls(value))).collect();
        Server::load(context, sites.iter().map(|(name, config)| (*name, config)))
    }

    /// Sites that show a certificate each, named like them.
    pub(super) fn server_of(&self, names: &[&str]) -> Arc<Server> {
        let values: Vec<(String, String)> = names
            .iter()
            .map(|name| {
                let file = name.replace('*', "any");
                let covers = if *name == "default" { "fallback.test" } else { name };
                self.certificate(&file, &[covers]);
                ((*name).to_owned(), format!("{{ cert = \"{file}.pem\", key = \"{file}.key\" }}"))
            })
            .collect();
        let sites: Vec<(&str, &str)> =
            values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.server(&sites)
    }

    /// A client that believes the world's authority.
    pub(super) fn client(&self) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS12, &rustls::version::TLS13], None)
    }

    pub(super) fn client_12(&self) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS12], None)
    }

    /// A client that shows a certificate.
    pub(super) fn client_with(&self, file: &str) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS12, &rustls::version::TLS13], Some(file))
    }

    pub(super) fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        shows: Option<&str>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority_pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_details(provider().clone(), self.clock.clone())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match shows {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let (chain, key) = self.chain_and_key(file);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (Issuer::new(params, key), certificate.pem())
}

/// Certificates by name, for issuers and challenges.
pub(super) struct Shelf(pub(super) std::sync::Mutex<Vec<(String, Arc<rustls::sign::CertifiedKey>)>>);

impl Shelf {
    pub(super) fn empty() -> Arc<Self> {
        Arc::new(Self(std::sync::Mutex::default()))
    }

    pub(super) fn put(&self, name: &str, key: Arc<rustls::sign::CertifiedKey>) {
        self.0.lock().unwrap().push((name.into(), key));
    }

    fn find(&self, name: &str) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let shelf = self.0.lock().unwrap();
        shelf.iter().find(|(of, _)| of == name).map(|(_, key)| Arc::clone(key))
    }
}

impl Issued for Shelf {
    fn certificate(&self, name: &str) -> Option<Arc<rustls::sign::CertifiedKey>> {
        self.find(name)
    }
}

impl Challenges for Shelf {
    fn certificate(&self, name: &str) -> Option<Arc<rustls::sign::CertifiedKey>> {
        self.find(name)
    }
}

/// Two ends that have shaken hands.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) client: ClientConnection,
    pub(super) server: ServerConnection,
    pub(super) chosen: Chosen,
}

impl Met {
    pub(super) fn peer(&self) -> Peer {
        Peer::of(&self.server).unwrap()
    }

    /// The common name of the certificate that the client was shown.
    pub(super) fn shown(&self) -> String {
        shown(&self.client)
    }
}

/// The file that a shown certificate stands in: its common name.
pub(super) fn shown(client: &ClientConnection) -> String {
    use x509_cert::der::Decode;
    let certificate = &client.peer_certificates().unwrap()[0];
    let parsed = x509_cert::Certificate::from_der(certificate).unwrap();
    let subject = parsed.tbs_certificate.subject.to_string();
    subject.split(',').find_map(|part| part.strip_prefix("CN=")).unwrap_or_default().to_owned()
}

/// Why two ends did not meet.
#[derive(Debug, PartialEq)]
pub(super) enum Apart {
    Refused(Refused),
    Server(rustls::Error),
    Client(rustls::Error),
}

impl Apart {
    /// How it is counted.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Refused(refused) => refused.into(),
            Self::Server(error) | Self::Client(error) => Failure::of_rustls(error),
        }
    }
}

/// A client meets a server in memory. `name` is what it asks for; an address asks for nothing.
pub(super) fn meet(server: &Server, config: &Arc<ClientConfig>, name: &str) -> Result<Met, Apart> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(config.clone(), name).unwrap();
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        acceptor.read_tls(&mut bytes.as_slice()).unwrap();
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, _)) => return Err(Apart::Server(error)),
        }
    };
    let chosen = match server.choose(&accepted.client_hello()) {
        Ok(chosen) => chosen,
        Err(refused) => return Err(Apart::Refused(refused)),
    };
    let config: Arc<ServerConfig> = chosen.config.clone();
    let mut server = accepted.into_connection(config).map_err(|(error, _)| Apart::Server(error))?;
    exchange(&mut client, &mut server)?;
    Ok(Met { client, server, chosen })
}

/// Carries bytes to and fro until both are quiet.
fn exchange(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Apart> {
    loop {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while server.wants_write() {
            server.write_tls(&mut down).unwrap();
        }
        let mut rest = down.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(Apart::Client)?;
        }
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        let mut rest = up.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(Apart::Server)?;
        }
        if up.is_empty() && down.is_empty() {
            return Ok(());
        }
    }
}
