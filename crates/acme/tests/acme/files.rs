//! Certificates of files: their responses are fetched, and seen in handshakes.

use crate::authority::{Authority, Wanted};
use crate::node::{clock, show_tls};
use crate::ocsp::Responder;
use crate::server::DAY;
use crate::staples::{HOUR, answer, authority_with, fetched, stapler};
use acme::ocsp::judge;
use acme::{Clock, Hand, Stapler};
use http::StatusCode;
use rcgen::KeyPair;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry::Registry;
use tempfile::{TempDir, tempdir};
use tls::{
    CertConfig, EdgeTls, OcspFetch, Server, ServerContext, Tickets, TicketsConfig, TlsConfig, TlsTable,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An authority with its responder, and a folder with certificates.
struct World {
    responder: Responder,
    authority: Arc<Authority>,
    dir: TempDir,
    clock: Clock,
    hand: Hand,
    stapler: Arc<Stapler>,
}

impl World {
    async fn new() -> Self {
        let (clock, hand) = clock();
        let responder = Responder::start().await;
        let authority = Arc::new(authority_with(&responder));
        let stapler = Arc::new(stapler(&clock));
        let world = Self { responder, authority, dir: tempdir().unwrap(), clock, hand, stapler };
        world.certify("shop");
        world.say_good();
        world
    }

    /// A certificate for shop.test in `FILE.pem`, its issuer's after it, and its key in `FILE.key`.
    fn certify(&self, file: &str) -> Vec<CertificateDer<'static>> {
        let now = self.clock.now();
        let key = KeyPair::generate().unwrap();
        let wanted = Wanted { name: "shop.test", not_before: now, not_after: now + DAY * 90 };
        let (leaf, issuer) = (self.authority.sign(&wanted, &key), &self.authority.certificate);
        std::fs::write(self.dir.path().join(format!("{file}.pem")), leaf.pem() + &issuer.pem()).unwrap();
        std::fs::write(self.dir.path().join(format!("{file}.key")), key.serialize_pem()).unwrap();
        vec![leaf.der().clone(), issuer.der().clone()]
    }

    /// The responder vouches for everything, for eight hours from now.
    fn say_good(&self) {
        answer(&self.responder, &self.authority, self.clock.now(), |said| said);
    }

    fn be_silent(&self) {
        self.responder.script.lock().unwrap().status = StatusCode::SERVICE_UNAVAILABLE;
    }

    fn asked(&self) -> usize {
        self.responder.script.lock().unwrap().asked
    }

    /// Sites that show the certificate of `shop.pem`.
    fn server(&self, sites: &[&str]) -> Arc<Server> {
        let dir = self.dir.path();
        let context = ServerContext {
            listener: "edge".into(),
            dir: dir.into(),
            data: dir.into(),
            alpn: Vec::new(),
            versions: EdgeTls::default().versions,
            tickets: Tickets::load(&TicketsConfig::default(), dir, tls::system_time()).unwrap(),
            challenges: None,
            issued: None,
            staples: Some(self.stapler.clone()),
            time: tls::system_time(),
            registry: Registry::new(),
        };
        let config = of_files(None);
        Server::load(context, sites.iter().map(|name| (*name, &config))).unwrap()
    }

    /// The response that a client sees which believes the authority.
    async fn stapled(&self, shown: &Shown) -> Vec<u8> {
        shown.server.refresh();
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate.der().clone()).unwrap();
        let verifier = Noting::new(roots);
        let config = ClientConfig::builder_with_provider(Arc::clone(tls::provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(shown.at).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(ServerName::try_from("shop.test").unwrap(), stream).await.unwrap();
        std::mem::take(&mut *verifier.seen.lock().unwrap())
    }
}

fn of_files(ocsp: Option<&str>) -> TlsConfig {
    let (cert, key) = (Some("shop.pem".into()), Some("shop.key".into()));
    TlsConfig(TlsTable { cert, key, ocsp: ocsp.map(Into::into), ..TlsTable::default() })
}

/// A server that can be connected to.
struct Shown {
    server: Arc<Server>,
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Shown {
    async fn new(server: Arc<Server>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(show_tls(listener, Arc::clone(&server)));
        Self { server, at, task }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Verifies as clients do, and notes what is stapled.
#[derive(Debug)]
struct Noting {
    verifier: Arc<WebPkiServerVerifier>,
    seen: Mutex<Vec<u8>>,
}

impl Noting {
    fn new(roots: RootCertStore) -> Arc<Self> {
        let provider = Arc::clone(tls::provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        Arc::new(Self { verifier, seen: Mutex::default() })
    }
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap() = ocsp.to_vec();
        self.verifier.verify_server_cert(leaf, above, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[tokio::test]
async fn a_response_is_stapled_once_it_is_there_renewed_and_dropped_at_its_end() {
    let world = World::new().await;
    let chain = world.certify("shop");
    world.be_silent();
    let shown = Shown::new(world.server(&["shop.test"])).await;
    fetched(&world.stapler, 1).await;
    assert_eq!(world.stapled(&shown).await, b"", "the handshake does not need the responder");
    world.say_good();
    world.hand.advance(Duration::from_secs(120));
    fetched(&world.stapler, 2).await;
    let first = world.stapled(&shown).await;
    assert_eq!(judge(&first, &chain, world.clock.now()), Ok(()));
    world.hand.advance(HOUR * 4);
    world.say_good();
    fetched(&world.stapler, 3).await;
    let second = world.stapled(&shown).await;
    assert_eq!(judge(&second, &chain, world.clock.now()), Ok(()));
    assert_ne!(first, second);
    world.be_silent();
    world.hand.advance(HOUR * 4);
    fetched(&world.stapler, 4).await;
    assert_eq!(world.stapled(&shown).await, second, "it holds for eight hours");
    world.hand.advance(HOUR * 4);
    fetched(&world.stapler, 5).await;
    assert_eq!(world.stapled(&shown).await, b"", "an old response is worse than none");
}

#[tokio::test]
async fn a_certificate_is_asked_for_once_whoever_shows_it_and_however_often_it_is_loaded() {
    let world = World::new().await;
    let before = world.server(&["shop.test", "www.shop.test"]);
    fetched(&world.stapler, 1).await;
    let after = world.server(&["shop.test", "api.shop.test"]);
    drop(before);
    let shown = Shown::new(after).await;
    let response = world.stapled(&shown).await;
    assert_ne!(response, b"");
    assert_eq!((world.asked(), world.stapler.status().len()), (1, 1));
}

#[tokio::test]
async fn a_certificate_that_is_replaced_on_the_disk_takes_the_watch_with_it() {
    let world = World::new().await;
    let shown = Shown::new(world.server(&["shop.test"])).await;
    fetched(&world.stapler, 1).await;
    let before = world.stapled(&shown).await;
    let chain = world.certify("shop");
    world.be_silent();
    shown.server.refresh();
    fetched(&world.stapler, 2).await;
    assert_eq!(world.stapled(&shown).await, b"", "what was said of the one before is not said of this one");
    world.say_good();
    world.hand.advance(Duration::from_secs(120));
    fetched(&world.stapler, 3).await;
    let after = world.stapled(&shown).await;
    assert_ne!(after, before);
    assert_eq!(judge(&after, &chain, world.clock.now()), Ok(()));
    assert_eq!(world.stapler.status().len(), 1, "the one before is forgotten");
}

#[tokio::test]
async fn nobody_is_asked_who_is_not_to_be() {
    let registry = Registry::new();
    let (fetch, off) = (EdgeTls::default(), EdgeTls { ocsp: OcspFetch::Off, ..EdgeTls::default() });
    let files = of_files(None);
    let first = Stapler::succeed(None, &fetch, [&files], &registry).unwrap();
    let second = Stapler::succeed(Some(&first), &fetch, [&files], &registry).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "a reload keeps what is known");
    assert!(Stapler::succeed(Some(&first), &off, [&files], &registry).is_none());
    let own = TlsConfig(TlsTable { auto: Some(tls::Automatic::SelfSigned), ..TlsTable::default() });
    let of_a_file = of_files(Some("shop.ocsp"));
    assert!(Stapler::succeed(None, &fetch, [&own, &of_a_file], &registry).is_none());
    let pair = |ocsp: Option<&str>| CertConfig {
        cert: "shop.pem".into(),
        key: "shop.key".into(),
        ocsp: ocsp.map(Into::into),
    };
    let several =
        TlsConfig(TlsTable { certs: vec![pair(Some("shop.ocsp")), pair(None)], ..TlsTable::default() });
    assert!(Stapler::succeed(None, &fetch, [&several], &registry).is_some());
}
