//! A node without an edge, its admin API, and a client that sends what it is told to.

use admin::Limits;
use flow::Drain;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use topology::{Running, StartOptions};

/// Two pools that share an endpoint's address, so that a short name may be ambiguous.
pub(crate) const FILE: &str = r#"
[node]
admin = "127.0.0.1:0"
[pool.web]
servers = ["127.0.0.1:1", { address = "127.0.0.1:2", weight = 3, at = "eu" }]
[pool.jobs]
servers = ["127.0.0.1:1"]
"#;

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) running: Arc<Running>,
    stop: Drain,
    task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(FILE, None, Limits::default()).await
    }

    pub(crate) async fn start_with(file: &str, token: Option<&str>, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nines.toml");
        std::fs::write(&path, file).unwrap();
        let checked = topology::load(&path).unwrap();
        let options = StartOptions { takeover: false, nines: PathBuf::from("nines") };
        let running = Running::start(checked, options).await.unwrap();
        let listener = tokio::net::TcpListener::from_std(running.admin_listener().unwrap()).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Drain::new());
        let served = admin::serve_within(
            limits,
            listener,
            Arc::clone(&running),
            token.map(str::to_owned),
            stop.watch(),
        );
        Self { dir, address, running, stop, task: tokio::spawn(served) }
    }

    pub(crate) fn write(&self, file: &str) {
        std::fs::write(self.dir.path().join("nines.toml"), file).unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        Answer::read(stream).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Stops the API, then the node.
    pub(crate) async fn stop(self) {
        self.stop.start();
        within(self.task).await.unwrap();
        assert!(self.running.stop(Duration::from_secs(1)).await);
    }
}

/// Far above what anything here takes.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("not within 30 s")
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Reads until the server closes.
    pub(crate) async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        within(stream.read_to_end(&mut bytes)).await.unwrap();
        // What nodes say to each other is no text.
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// It is a problem of this status (RFC 9457); the answer is its `detail`.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string());
        problem["detail"].as_str().unwrap().to_owned()
    }
}
