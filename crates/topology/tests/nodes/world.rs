//! What the tests share: a folder with a file, nodes that run it, and a client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use topology::{Running, StartError, StartOptions};

/// Long enough for two busy cores; only a test that fails waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A service with its pool, and a site before it.
pub(crate) const SHOP: &str = r#"
[node]
admin = "127.0.0.1:0"

[service.shop]
run = ["$NINES", "serve", "$PORT"]
instances = 2

[pool.shop]
service = "shop"
health = { http = "/", every = "100ms" }

[edge]
http = ["127.0.0.1:0"]
cores = 2

[site.default.route]
"/" = { pool = "shop" }
"#;

/// A folder with a file in it.
pub(crate) struct World {
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) fn new(file: &str) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        world.write(file);
        world
    }

    pub(crate) fn write(&self, file: &str) {
        std::fs::write(self.path("nines.toml"), file).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn start(&self) -> Result<Arc<Running>, StartError> {
        self.start_with(false).await
    }

    pub(crate) async fn take_over(&self) -> Result<Arc<Running>, StartError> {
        self.start_with(true).await
    }

    async fn start_with(&self, takeover: bool) -> Result<Arc<Running>, StartError> {
        let checked = topology::load(&self.path("nines.toml")).unwrap();
        Running::start(checked, StartOptions { takeover, nines: std::env::current_exe().unwrap() }).await
    }

    /// A node whose pools are ready.
    pub(crate) async fn up(&self) -> Arc<Running> {
        let running = self.start().await.unwrap();
        ready(&running).await;
        running
    }
}

/// Runs a test on a runtime like that of nines: one thread, the one that lives as long as the process.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

pub(crate) async fn ready(running: &Running) {
    until("the node is ready", || running.readiness().ready).await;
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Where the edge listens.
pub(crate) fn edge(running: &Running) -> SocketAddr {
    running.status().listeners.iter().find(|listener| listener.tier == "edge").unwrap().address
}

/// The status and the body of an answer, on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body)),
        _ => Err(std::io::Error::other(format!("no answer: {answer:?}"))),
    }
}

/// The pids of all instances, in order.
pub(crate) fn pids(running: &Running) -> Vec<u32> {
    let services = running.status().services;
    let mut pids: Vec<u32> =
        services.iter().flat_map(|service| &service.instances).filter_map(|one| one.pid).collect();
    pids.sort_unstable();
    pids
}

/// The small web application: answers every request with its instance's name and its further arguments.
pub(crate) fn serve(port: &str, rest: &[&str]) -> ExitCode {
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    let instance = std::env::var("INSTANCE").unwrap();
    let body = [&[instance.as_str()], rest].concat().join(" ");
    for mut stream in listener.incoming().flatten() {
        let body = body.clone();
        std::thread::spawn(move || {
            let mut received = Vec::new();
            let mut piece = [0; 4096];
            loop {
                let count = stream.read(&mut piece)?;
                if count == 0 {
                    return Ok::<(), std::io::Error>(());
                }
                received.extend_from_slice(&piece[..count]);
                if received.ends_with(b"\r\n\r\n") {
                    received.clear();
                    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
                }
            }
        });
    }
    ExitCode::SUCCESS
}
