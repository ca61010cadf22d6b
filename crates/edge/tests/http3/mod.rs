//! HTTP/3 where an edge changes, hands over and ends, as a client of QUIC sees it.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

use crate::world::{Backend, PATIENCE, get, wait_until};
use balance::{Pool, PoolConfig, PoolContext};
use bytes::{Buf, Bytes};
use edge::{Edge, EdgeConfig, EdgeParts, SiteConfig};
use h3::client::SendRequest;
use notation::{Name, Named};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ApplicationClose, ConnectionError};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tls::{ClientTable, ClientTls};

/// RFC 9114 §8.1: H3_NO_ERROR.
const NO_ERROR: u32 = 0x100;

/// What an edge is started with and changed to; it has a file's worth of everything that HTTP/3 needs.
struct File {
    folder: TempDir,
    pools: HashMap<String, Arc<Pool>>,
}

impl File {
    fn new(backend: &Backend) -> Self {
        let config: PoolConfig = toml::from_str(&format!("servers = ['{}']", backend.address)).unwrap();
        let registry = telemetry::Registry::new();
        let context = PoolContext { name: "p".into(), at: None, secret: [7; 16], registry };
        let pools = HashMap::from([("p".to_owned(), Pool::new(context, config))]);
        Self { folder: TempDir::new().unwrap(), pools }
    }

    fn parts(&self, edge: &str, says: &str) -> EdgeParts {
        let config: EdgeConfig = toml::from_str(edge).expect("the edge is good");
        let site: SiteConfig = toml::from_str(&format!(
            "tls = 'self-signed'\nroute = {{ '/' = {{ pool = 'p' }}, '/who' = {{ respond = {{ body = '{says}' }} }} }}"
        ))
        .expect("the site is good");
        EdgeParts {
            config,
            sites: Named::from([(Name::new("default"), site)]),
            pools: self.pools.clone(),
            pushes: None,
            dir: self.folder.path().to_owned(),
            data: self.folder.path().join("data"),
            cdn: None,
            dns: None,
        }
    }

    fn start(&self, edge: &str, says: &str, inherited: Vec<TcpListener>) -> Edge {
        Edge::start(self.parts(edge, says), telemetry::Registry::new(), inherited).expect("the edge starts")
    }
}

const ANYWHERE: &str =
    "http = ['127.0.0.1:0']\nhttps = ['127.0.0.1:0']\nhttp3 = ['127.0.0.1:0', '127.0.0.1:0']\ncores = 2";

/// Where this is spoken.
fn at(edge: &Edge, protocol: &str) -> Vec<SocketAddr> {
    let listeners = edge.status().listeners.into_iter();
    listeners.filter(|one| one.protocol == protocol).map(|one| one.address).collect()
}

struct Client {
    connection: quinn::Connection,
    requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
}

impl Client {
    async fn connect(to: SocketAddr) -> Result<Self, ConnectionError> {
        let anybody = ClientTls(ClientTable { verify: false, ..ClientTable::default() });
        let tls = tls::Client::load(&anybody, "p", Path::new("."), &[b"h3"], tls::system_time()).unwrap();
        let quic = QuicClientConfig::try_from(tls.config()).unwrap();
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(quic));
        let connection = endpoint.connect_with(config, to, "localhost").unwrap().await?;
        let spoken = h3::client::new(h3_quinn::Connection::new(connection.clone())).await;
        let (mut driver, requests) = spoken.expect("HTTP/3 is spoken");
        tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        Ok(Self { connection, requests })
    }

    async fn get(&mut self, path: &str) -> String {
        let request = http::Request::get(format!("https://localhost{path}")).body(()).unwrap();
        let mut stream = self.requests.send_request(request).await.expect("it can be asked");
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.expect("it is answered").status(), 200);
        let mut body = Vec::new();
        while let Some(piece) = stream.recv_data().await.expect("the answer is whole") {
            body.extend_from_slice(piece.chunk());
        }
        String::from_utf8(body).unwrap()
    }

    /// Waits for the connection's end, which comes with a word and not by silence.
    async fn is_told_of_the_end(&self) -> bool {
        let end = self.connection.closed().await;
        matches!(end, ConnectionError::ApplicationClosed(ApplicationClose { error_code, .. }) if error_code == NO_ERROR.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_requests_of_http3_and_ends_their_connections() {
    let backend = Backend::gated();
    // At an address of its own: a port that is closed there is opened by no other test.
    let edge = File::new(&backend).start(&ANYWHERE.replace("127.0.0.1", "127.0.1.9"), "", Vec::new());
    let (http, http3) = (at(&edge, "http")[0], at(&edge, "http3")[0]);
    let mut client = Client::connect(http3).await.unwrap();
    let connection = client.connection.clone();
    let asking = tokio::spawn(async move {
        let answer = client.get("/").await;
        (client, answer)
    });
    backend.wait_for("GET / ");
    let draining = tokio::spawn(edge.drain(PATIENCE));
    wait_until("nobody listens", || TcpStream::connect(http).is_err());
    assert!(connection.close_reason().is_none() && !draining.is_finished());
    backend.open();
    let (client, answer) = asking.await.unwrap();
    assert_eq!(answer, "gated");
    assert!(client.is_told_of_the_end().await);
    assert!(draining.await.unwrap(), "all was finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_drain_cuts_off_of_http3_is_told_so() {
    let backend = Backend::silent();
    let edge = File::new(&backend).start(ANYWHERE, "", Vec::new());
    let mut client = Client::connect(at(&edge, "http3")[0]).await.unwrap();
    let request = http::Request::get("https://localhost/").body(()).unwrap();
    let _asked = client.requests.send_request(request).await.unwrap();
    backend.wait_for("GET / ");
    assert!(!edge.drain(Duration::ZERO).await, "it was cut off");
    assert!(client.is_told_of_the_end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leaves_the_file_ends_its_connections_of_http3_and_no_others() {
    let file = File::new(&Backend::silent());
    let edge = file.start(ANYWHERE, "before", Vec::new());
    let [gone, stays] = at(&edge, "http3")[..] else { panic!("two addresses of HTTP/3") };
    let mut clients = (Client::connect(gone).await.unwrap(), Client::connect(stays).await.unwrap());
    assert_eq!((&*clients.0.get("/who").await, &*clients.1.get("/who").await), ("before", "before"));
    let fewer = format!("http = ['127.0.0.1:0']\nhttps = ['127.0.0.1:0']\nhttp3 = ['{stays}']\ncores = 2");
    edge.commit(edge.prepare(file.parts(&fewer, "after")).unwrap());
    assert_eq!(at(&edge, "http3"), [stays]);
    assert!(clients.0.is_told_of_the_end().await);
    assert_eq!(clients.1.get("/who").await, "after");
    drop(clients);
    assert!(edge.drain(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nines_that_takes_over_has_http3_to_itself_once_it_is_handed_over() {
    let file = File::new(&Backend::silent());
    let old = file.start(ANYWHERE, "old", Vec::new());
    let (http, https, http3) = (at(&old, "http")[0], at(&old, "https")[0], at(&old, "http3"));
    let mut client = Client::connect(http3[0]).await.unwrap();
    assert_eq!(client.get("/who").await, "old");
    let mut kept = TcpStream::connect(http).unwrap();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ask = || {
        kept.write_all(get("/who").as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let length = kept.read(&mut answer).unwrap();
        String::from_utf8(answer[..length].to_vec()).unwrap()
    };
    assert!(ask().ends_with("old"));

    let same = format!("http = ['{http}']\nhttps = ['{https}']\nhttp3 = ['{}']\ncores = 3", http3[0]);
    let elsewhere = same.replace(&http.to_string(), "127.0.0.1:0").replace(&https.to_string(), "127.0.0.1:0");
    let alone = Edge::start(file.parts(&elsewhere, ""), telemetry::Registry::new(), Vec::new());
    let taken = format!("{} (UDP) is already taken by", http3[0]);
    assert!(alone.err().unwrap().to_string().starts_with(&taken), "nothing is taken over");
    let new = file.start(&same, "new", old.listeners().unwrap());
    assert_eq!(at(&new, "http3"), http3[..1]);
    old.hand_over();
    assert!(client.is_told_of_the_end().await);
    assert!(ask().ends_with("old"), "connections of TCP go on");
    assert_eq!(at(&old, "http3"), []);
    drop(kept);
    assert!(old.drain(PATIENCE).await, "all was finished");
    for _ in 0..10 {
        let mut client = Client::connect(http3[0]).await.unwrap();
        assert_eq!(client.get("/who").await, "new");
    }
    assert!(new.drain(PATIENCE).await);
}
