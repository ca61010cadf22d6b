//! A node: certificates by ACME, and the two listeners that show them, as the edge has them.

use crate::server::{AcmeServer, Address};
use acme::{
    Acme, AcmeConfig, AcmeContext, AcmeStatus, CertificateState, CertificateStatus, ChallengeKind, Clock,
    Directory, Hand, Lookups, Pace, Stapler,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use rustls::{ClientConfig, RootCertStore};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::Registry;
use tls::{Automatic, ServerContext, Tickets, TicketsConfig, TlsConfig, TlsTable, Version};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;

/// Long enough for a busy machine; nothing waits for it that goes well.
const PATIENCE: Duration = Duration::from_secs(30);

const PACE: Pace = Pace {
    poll: Duration::from_millis(10),
    settle: Duration::from_millis(1),
    server_poll: Duration::from_millis(10),
};

pub(crate) struct Node {
    pub(crate) acme: Acme,
    pub(crate) address: Address,
    pub(crate) registry: Registry,
    tasks: [JoinHandle<()>; 2],
}

/// The ports 80 and 443 of a node.
pub(crate) struct Listeners {
    http: TcpListener,
    tls: TcpListener,
    pub(crate) address: Address,
}

impl Listeners {
    pub(crate) async fn bind() -> Self {
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address { http: http.local_addr().unwrap(), tls: tls.local_addr().unwrap() };
        Self { http, tls, address }
    }
}

/// A clock that stands, at a full second.
pub(crate) fn clock() -> (Clock, Hand) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Clock::standing(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

pub(crate) fn config(server: &AcmeServer) -> AcmeConfig {
    AcmeConfig {
        directory: server.directory.parse::<Directory>().unwrap(),
        email: Some("me@shop.test".into()),
        agree: true,
        ..AcmeConfig::default()
    }
}

pub(crate) fn by_http(server: &AcmeServer) -> AcmeConfig {
    AcmeConfig { challenge: ChallengeKind::Http01, ..config(server) }
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Node {
    /// One whose data is in `data`, for these names. They lead to it, as far as the server knows.
    pub(crate) async fn start(
        data: &Path,
        server: &AcmeServer,
        config: &AcmeConfig,
        wanted: &[&str],
        clock: &Clock,
    ) -> Self {
        let listeners = Listeners::bind().await;
        server.script(|script| script.nodes = vec![listeners.address]);
        Self::start_on(listeners, data, config, wanted, clock, None)
    }

    /// One on these listeners.
    pub(crate) fn start_on(
        listeners: Listeners,
        data: &Path,
        config: &AcmeConfig,
        wanted: &[&str],
        clock: &Clock,
        stapler: Option<Arc<Stapler>>,
    ) -> Self {
        let registry = Registry::new();
        let context = AcmeContext {
            clock: clock.clone(),
            pace: PACE,
            seed: Some(1),
            ..AcmeContext::new(data.into(), data.into(), registry.clone())
        };
        let acme = Acme::start(context, config, names(wanted), stapler).unwrap();
        let Listeners { http, tls, address } = listeners;
        let server = tls_server(&acme, data, wanted);
        let tasks = [tokio::spawn(show_http(http, acme.lookups())), tokio::spawn(show_tls(tls, server))];
        Self { acme, address, registry, tasks }
    }

    /// What is known of a name, once that is what is wanted.
    pub(crate) async fn until(
        &self,
        name: &str,
        wanted: impl Fn(&CertificateStatus) -> bool,
    ) -> CertificateStatus {
        let find = |status: &AcmeStatus| status.certificates.iter().find(|it| it.name == name).cloned();
        let mut changes = self.acme.changes();
        let waited = changes.wait_for(|status| find(status).is_some_and(|it| wanted(&it)));
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        match waited {
            Ok(status) => find(&status.unwrap()).unwrap(),
            Err(_) => panic!("{:?}", self.acme.status()),
        }
    }

    /// What is known of a name, once it has a certificate and nothing is being ordered.
    pub(crate) async fn until_valid(&self, name: &str) -> CertificateStatus {
        self.until(name, |it| it.state == CertificateState::Valid && !it.ordering).await
    }

    /// Lets the engine look at clock and store, twice whole: what it has not begun by then, it does not begin.
    pub(crate) async fn turn(&self) {
        let mut turns = self.acme.turns();
        let now = *turns.borrow_and_update();
        self.acme.wake();
        tokio::time::timeout(PATIENCE, turns.wait_for(|turn| *turn >= now + 3)).await.unwrap().unwrap();
    }

    /// What a client sees that believes `root`: the certificate for this name.
    pub(crate) async fn shown(
        &self,
        name: &str,
        root: &CertificateDer<'static>,
    ) -> Result<CertificateDer<'static>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::clone(tls::provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address.tls).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let server_name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = connector.connect(server_name, stream).await.map_err(|error| error.to_string())?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].clone())
    }

    /// The leaf that handshakes get now.
    pub(crate) fn leaf(&self, name: &str) -> Option<Vec<u8>> {
        Some(self.acme.lookups().certificate(name)?.cert[0].to_vec())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn tls_server(acme: &Acme, data: &Path, names: &[&str]) -> Arc<tls::Server> {
    let tickets = Tickets::load(&TicketsConfig::default(), data, tls::system_time()).unwrap();
    let context = ServerContext {
        listener: "edge".into(),
        dir: data.into(),
        data: data.into(),
        alpn: Vec::new(),
        versions: vec![Version::Tls12, Version::Tls13],
        tickets,
        challenges: Some(acme.lookups()),
        issued: Some(acme.lookups()),
        staples: None,
        time: tls::system_time(),
        registry: Registry::new(),
    };
    let config = TlsConfig(TlsTable { auto: Some(Automatic::Acme), ..TlsTable::default() });
    tls::Server::load(context, names.iter().map(|name| (*name, &config))).unwrap()
}

pub(crate) async fn show_tls(listener: TcpListener, server: Arc<tls::Server>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else { return };
            let Ok(chosen) = server.choose(&start.client_hello()) else { return };
            let _ended = start.into_stream(chosen.config).await;
        });
    }
}

async fn show_http(listener: TcpListener, lookups: Arc<Lookups>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let lookups = Arc::clone(&lookups);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let token = request.uri().path().strip_prefix("/.well-known/acme-challenge/");
                let answer = token.and_then(|token| lookups.http_challenge(token));
                let status = if answer.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
                let mut response = Response::new(Full::new(Bytes::from(answer.unwrap_or_default())));
                *response.status_mut() = status;
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
