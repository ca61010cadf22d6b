//! A small load: requests one after the other over several connections, every failure kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Clients that send requests until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// `keep_alive` clients keep their connection while the server does, `fresh` ones open one a request.
    pub(crate) fn start(address: SocketAddr, keep_alive: usize, fresh: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |nth: usize| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut client = Client { address, is_fresh: nth >= keep_alive, connection: None };
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.request() {
                        Ok(()) => _ = done.fetch_add(1, Ordering::Relaxed),
                        Err(failure) => failures.push(failure),
                    }
                    // Leaves the machine room for the node that it is about.
                    std::thread::sleep(Duration::from_millis(1));
                }
                failures
            })
        };
        let clients = (0..keep_alive + fresh).map(client).collect();
        Self { stop, done, clients }
    }

    /// Requests that were answered well.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Stops, and says what failed.
    pub(crate) fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

struct Client {
    address: SocketAddr,
    is_fresh: bool,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    fn request(&mut self) -> Result<(), String> {
        let is_new = self.connection.is_none();
        match self.exchange() {
            // RFC 9112 §9.3.1: a server may close an idle connection at any time, and a client sends again.
            Err(Failed::BeforeAnswer(_)) if !is_new => {
                self.connection = None;
                self.exchange().map_err(Failed::say)
            }
            other => other.map_err(Failed::say),
        }
    }

    fn exchange(&mut self) -> Result<(), Failed> {
        let before = |error: std::io::Error| Failed::BeforeAnswer(error.to_string());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(self.address).map_err(before)?),
        };
        let stream = connection.get_mut();
        stream.set_read_timeout(Some(crate::world::PATIENCE)).map_err(before)?;
        let close = if self.is_fresh { "Connection: close\r\n" } else { "" };
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: x\r\n{close}\r\n").as_bytes()).map_err(before)?;
        let mut line = String::new();
        if connection.read_line(&mut line).map_err(before)? == 0 {
            return Err(Failed::BeforeAnswer("closed".into()));
        }
        let within = |error: std::io::Error| Failed::WithinAnswer(error.to_string());
        if !line.starts_with("HTTP/1.1 200 ") {
            return Err(Failed::WithinAnswer(line));
        }
        let (mut length, mut is_last) = (0, self.is_fresh);
        loop {
            let mut field = String::new();
            connection.read_line(&mut field).map_err(within)?;
            let field = field.trim_end().to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| Failed::WithinAnswer(field.clone()))?;
            }
            is_last |= field == "connection: close";
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).map_err(within)?;
        if !is_last {
            self.connection = Some(connection);
        }
        Ok(())
    }
}

enum Failed {
    BeforeAnswer(String),
    WithinAnswer(String),
}

impl Failed {
    fn say(self) -> String {
        match self {
            Self::BeforeAnswer(why) => format!("before the answer: {why}"),
            Self::WithinAnswer(why) => format!("within the answer: {why}"),
        }
    }
}
