//! A small world: an edge on a free port, and backends that do as they are told.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

use balance::{Pool, PoolConfig, PoolContext};
use edge::{Edge, EdgeConfig, EdgeParts, SiteConfig};
use notation::{Name, Named};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Long enough for the slowest machine, and never waited out by a test that passes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running edge.
pub(crate) struct World {
    edge: Mutex<Option<Edge>>,
    pools: HashMap<String, Arc<Pool>>,
    config: EdgeConfig,
    address: SocketAddr,
}

impl World {
    pub(crate) fn with_pool(backend: &Backend, site: &str) -> Self {
        Self::with_pools(&[backend], "", site)
    }

    pub(crate) fn with_pools(backends: &[&Backend], pool: &str, site: &str) -> Self {
        let servers: Vec<String> = backends.iter().map(|backend| format!("'{}'", backend.address)).collect();
        Self::with_pool_config(&format!("servers = [{}]\n{pool}", servers.join(",")), site)
    }

    pub(crate) fn with_pool_config(pool: &str, site: &str) -> Self {
        Self::build("", pool, &[("default", &format!("{site}\nroute = {{ '/' = {{ pool = 'p' }} }}"))])
    }

    pub(crate) fn with_edge(edge: &str, backend: &Backend) -> Self {
        let pool = format!("servers = ['{}']", backend.address);
        Self::build(edge, &pool, &[("default", "route = { '/' = { pool = 'p' } }")])
    }

    pub(crate) fn with_sites(sites: &[(&str, &str)], backend: &Backend) -> Self {
        let sites: Vec<(&str, String)> =
            sites.iter().map(|(host, routes)| (*host, format!("[route]\n{routes}"))).collect();
        let sites: Vec<(&str, &str)> = sites.iter().map(|(host, site)| (*host, &**site)).collect();
        Self::build("", &format!("servers = ['{}']", backend.address), &sites)
    }

    /// A world with all of it said.
    pub(crate) fn with_all(edge: &str, backends: &[&Backend], pool: &str, site: &str) -> Self {
        let servers: Vec<String> = backends.iter().map(|backend| format!("'{}'", backend.address)).collect();
        let pool = format!("servers = [{}]\n{pool}", servers.join(","));
        Self::build(edge, &pool, &[("default", &format!("{site}\nroute = {{ '/' = {{ pool = 'p' }} }}"))])
    }

    /// A world with one site that is said whole, with its routes.
    pub(crate) fn with_site(backend: &Backend, site: &str) -> Self {
        Self::build("", &format!("servers = ['{}']", backend.address), &[("default", site)])
    }

    /// A world with a cache before one server.
    pub(crate) fn with_cdn(server: SocketAddr, cdn: edge::Cdn, site: &str) -> Self {
        let pool = format!("servers = ['{server}']\neject = {{ failures = 0 }}\nretry = {{ attempts = 1 }}");
        Self::build_with(Some(cdn), "", &pool, &[("default", site)])
    }

    fn build(edge: &str, pool: &str, sites: &[(&str, &str)]) -> Self {
        Self::build_with(None, edge, pool, sites)
    }

    fn build_with(cdn: Option<edge::Cdn>, edge: &str, pool: &str, sites: &[(&str, &str)]) -> Self {
        let registry = telemetry::Registry::new();
        let pool_config: PoolConfig = toml::from_str(pool).expect("the pool is good");
        let context = PoolContext { name: "p".into(), at: None, secret: [7; 16], registry: registry.clone() };
        let pools = HashMap::from([("p".to_owned(), Pool::new(context, pool_config))]);
        let cores = if edge.contains("cores = ") { "" } else { "cores = 2" };
        let config: EdgeConfig =
            toml::from_str(&format!("http = ['127.0.0.1:0']\n{cores}\n{edge}")).expect("the edge is good");
        let sites: Named<SiteConfig> = sites
            .iter()
            .map(|(host, site)| (Name::new(*host), toml::from_str(site).expect("the site is good")))
            .collect();
        let mut faults = notation::Faults::default();
        edge::check(&config, &sites, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let parts = EdgeParts {
            config: config.clone(),
            sites,
            pools: pools.clone(),
            pushes: None,
            dir: ".".into(),
            data: "data".into(),
            cdn,
            dns: None,
        };
        let edge = Edge::start(parts, registry, Vec::new()).expect("the edge starts");
        let address = edge.status().listeners[0].address;
        Self {
            edge: Mutex::new(Some(edge)),
            pools,
            config: EdgeConfig { http: vec![address], ..config },
            address,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the edge listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, kept: Vec::new() }
    }

    /// Sends a request and returns all that comes until the connection ends or rests after a response.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut client = self.connect();
        client.send(request);
        client.rest()
    }

    /// Changes the default site's routes while connections are open.
    pub(crate) fn reload(&self, routes: &str) {
        let site: SiteConfig = toml::from_str(&format!("[route]\n{routes}")).unwrap();
        let sites = Named::from([(Name::new("default"), site)]);
        let edge = self.edge.lock().unwrap();
        let edge = edge.as_ref().unwrap();
        let parts = EdgeParts {
            config: self.config.clone(),
            sites,
            pools: self.pools.clone(),
            pushes: None,
            dir: ".".into(),
            data: "data".into(),
            cdn: None,
            dns: None,
        };
        edge.commit(edge.prepare(parts).unwrap());
    }

    /// Changes `limit.connections`.
    pub(crate) fn reload_connections_max(&self, connections_max: u32) {
        let mut config = self.config.clone();
        config.limit.connections = connections_max;
        let site: SiteConfig = toml::from_str("route = { '/' = { pool = 'p' } }").unwrap();
        let sites = Named::from([(Name::new("default"), site)]);
        let edge = self.edge.lock().unwrap();
        let edge = edge.as_ref().unwrap();
        edge.commit(
            edge.prepare(EdgeParts {
                config,
                sites,
                pools: self.pools.clone(),
                pushes: None,
                dir: ".".into(),
                data: "data".into(),
                cdn: None,
                dns: None,
            })
            .unwrap(),
        );
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pools["p"]
    }

    pub(crate) fn drain_in_background(&self) -> JoinHandle<bool> {
        let edge = self.edge.lock().unwrap().take().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(edge.drain(PATIENCE))
        })
    }
}

/// A client that writes and reads raw bytes.
pub(crate) struct Client {
    stream: TcpStream,
    kept: Vec<u8>,
}

impl Client {
    /// The kernel takes in no more than some 100 KB for it until that is read, however much it could hold.
    pub(crate) fn with_little_room(self) -> Self {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, 64 << 10).unwrap();
        self
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn send_in_background(&mut self, text: String) {
        let mut stream = self.stream.try_clone().unwrap();
        std::thread::spawn(move || stream.write_all(text.as_bytes()));
    }

    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// All bytes up to and with `end`.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = find(&self.kept, end.as_bytes()) {
                let after = self.kept.split_off(at + end.len());
                return text(&std::mem::replace(&mut self.kept, after));
            }
            assert!(self.read_more(), "no {end:?} came, only {:?}", text(&self.kept));
        }
    }

    /// A final response with its body, by Content-Length or chunks.
    pub(crate) fn response(&mut self) -> String {
        let head = self.read_until("\r\n\r\n");
        let lower = head.to_lowercase();
        if lower.contains("transfer-encoding: chunked") {
            // The last chunk's line, then the trailer section, which ends with an empty line.
            let mut body = self.read_until("0\r\n");
            while !body.ends_with("\r\n0\r\n") && body != "0\r\n" {
                body += &self.read_until("0\r\n");
            }
            loop {
                let line = self.read_until("\r\n");
                body += &line;
                if line == "\r\n" {
                    return head + &body;
                }
            }
        }
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.expect("the response has a length").parse().unwrap();
        while self.kept.len() < length {
            assert!(self.read_more(), "the body ended after {} of {length} bytes", self.kept.len());
        }
        let after = self.kept.split_off(length);
        head + &text(&std::mem::replace(&mut self.kept, after))
    }

    /// Everything until the connection ends.
    pub(crate) fn rest(&mut self) -> String {
        while self.read_more() {}
        text(&std::mem::take(&mut self.kept))
    }

    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 65536];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.kept.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("reading failed: {error}; so far {:?}", text(&self.kept)),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A backend that does as it is told, a thread a connection.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<u8>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    open: AtomicBool,
}

type Behave = fn(&mut TcpStream, &State, &str);

impl Backend {
    fn start(answer: &'static str, behave: Behave) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let state = shared.clone();
                state.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    behave(&mut stream, &state, answer);
                    state.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, state }
    }

    /// Answers each request head with this, and keeps the connection.
    pub(crate) fn answering(answer: &'static str) -> Self {
        Self::start(answer, |stream, state, answer| {
            while state.read_head(stream) {
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    pub(crate) fn answering_and_closing(answer: &'static str) -> Self {
        Self::start(answer, |stream, state, answer| {
            if state.read_head(stream) {
                let _ = stream.write_all(answer.as_bytes());
            }
        })
    }

    /// Sends the body back as it comes, framed as it came.
    pub(crate) fn echoing() -> Self {
        Self::start("", |stream, state, _| {
            while let Some((head, mut body)) = state.read_head_and_more(stream) {
                let lower = head.to_lowercase();
                let length =
                    lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                let framing = match length {
                    Some(length) => format!("Content-Length: {length}"),
                    None => "Transfer-Encoding: chunked".into(),
                };
                let _ = write!(stream, "HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
                let mut left = length.map_or(usize::MAX, |length| length.parse().unwrap());
                let mut tail = Vec::new();
                loop {
                    let _ = stream.write_all(&body);
                    left = left.saturating_sub(body.len());
                    tail.extend_from_slice(&body);
                    if left == 0
                        || (length.is_none()
                            && find(&tail, b"0\r\n").is_some()
                            && tail.ends_with(b"\r\n\r\n"))
                    {
                        break;
                    }
                    let mut bytes = [0; 16384];
                    match stream.read(&mut bytes) {
                        Ok(0) | Err(_) => return,
                        Ok(count) => body = bytes[..count].to_vec(),
                    }
                }
            }
        })
    }

    /// Reads everything and says nothing.
    pub(crate) fn swallowing() -> Self {
        Self::start("", |stream, _, _| {
            let _ = std::io::copy(stream, &mut std::io::sink());
        })
    }

    /// Reads heads and says nothing.
    pub(crate) fn silent() -> Self {
        Self::start("", |stream, state, _| while state.read_head(stream) {})
    }

    /// Closes after a request's head.
    pub(crate) fn closing() -> Self {
        Self::start("", |stream, state, _| {
            state.read_head(stream);
        })
    }

    /// Switches to a protocol that echoes, and says "bye" after the client's end.
    pub(crate) fn switching() -> Self {
        Self::start("", |stream, state, _| {
            let Some((_, mut bytes)) = state.read_head_and_more(stream) else { return };
            let _ = stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
            );
            let _ = stream.write_all(&bytes);
            bytes.resize(4096, 0);
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                let _ = stream.write_all(&bytes[..count]);
            }
            let _ = stream.write_all(b"bye");
        })
    }

    /// Answers once it has been opened.
    pub(crate) fn gated() -> Self {
        Self::start("", |stream, state, _| {
            if state.read_head(stream) {
                wait_until("the backend is opened", || state.open.load(Ordering::SeqCst));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngated");
            }
        })
    }

    /// Sends half of a response at once, and the rest once it has been opened; reads no body.
    pub(crate) fn gated_midway() -> Self {
        Self::start("", |stream, state, _| {
            if state.read_head(stream) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
                wait_until("the backend is opened", || state.open.load(Ordering::SeqCst));
                let _ = stream.write_all(b" half");
            }
        })
    }

    pub(crate) fn open(&self) {
        self.state.open.store(true, Ordering::SeqCst);
    }

    /// All bytes of requests so far.
    pub(crate) fn seen(&self) -> String {
        text(&self.state.seen.lock().unwrap())
    }

    pub(crate) fn wait_for(&self, wanted: &str) {
        wait_until("the backend is asked", || self.seen().contains(wanted));
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn sees_an_end(&self, within: Duration) -> bool {
        let started = Instant::now();
        while self.state.ended.load(Ordering::SeqCst) == 0 {
            if started.elapsed() > within {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl State {
    fn read_head(&self, stream: &mut TcpStream) -> bool {
        self.read_head_and_more(stream).is_some()
    }

    /// A request's head, and what came with it.
    fn read_head_and_more(&self, stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        loop {
            if let Some(at) = find(&bytes, b"\r\n\r\n") {
                let more = bytes.split_off(at + 4);
                return Some((text(&bytes), more));
            }
            let mut piece = [0; 16384];
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            self.seen.lock().unwrap().extend_from_slice(&piece[..count]);
            bytes.extend_from_slice(&piece[..count]);
        }
    }
}
