//! A small world for one test: a folder with a file, backends, a running node, a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Far above what anything here takes, for machines that are busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until there is an answer, or patience ends.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An address of this test's own: the whole of 127.0.0.0/8 is this machine, so that each test of each process
/// has a host to itself, and nobody takes its ports.
fn own_host() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(nth < 255, "more worlds than hosts");
    Ipv4Addr::new(127, 64 | (high & 63), low, nth)
}

/// A folder with a `nines.toml`.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) admin: SocketAddr,
    pub(crate) edge: SocketAddr,
}

impl World {
    /// `file` is what follows `[node]`; `EDGE` in it stands for the edge's address.
    pub(crate) fn new(file: &str) -> Self {
        let host = own_host();
        let [admin, edge] = [9900, 8080].map(|port| SocketAddr::from((host, port)));
        let world = Self { dir: tempfile::tempdir().unwrap(), admin, edge };
        world.write(file);
        world
    }

    /// Writes the file anew.
    pub(crate) fn write(&self, file: &str) {
        let node = format!("[node]\nadmin = \"{}\"\n", self.admin);
        let text = node + &file.replace("EDGE", &self.edge.to_string());
        // Replaced whole, as editors do: a node that reads it sees one or the other.
        let draft = self.path("nines.toml.new");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.path("nines.toml")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command in this folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        nines(self.dir.path(), args)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// `nines up`, once it is ready.
    pub(crate) fn up(&self) -> Node {
        let node = self.up_with(&[]);
        node.wait_ready();
        node
    }

    /// `nines up` with further arguments, just started.
    pub(crate) fn up_with(&self, args: &[&str]) -> Node {
        Node::start(self.command(&[&["up"], args].concat()))
    }

    /// `nines status --json`.
    pub(crate) fn status(&self) -> serde_json::Value {
        let ran = self.run(&["status", "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

/// The binary under test.
pub(crate) fn nines(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nines"));
    command.args(args).current_dir(dir);
    for name in [
        "NINES_LOG",
        "NINES_ADMIN_TOKEN",
        "NINES_PUSH_TOKEN",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ] {
        command.env_remove(name);
    }
    command
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A running `nines up`; killed when the test ends, however it ends.
pub(crate) struct Node {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// What a process has written so far, and the thread that reads it until the end.
struct Output {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Node {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text.lock().unwrap().clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text.lock().unwrap().clone()
    }

    /// Waits until the pools are ready.
    pub(crate) fn wait_ready(&self) {
        eventually(&format!("ready\n{}{}", self.stdout(), self.stderr()), || {
            assert!(self.is_running(), "it ended:\n{}{}", self.stdout(), self.stderr());
            self.stdout().contains("ready in ").then_some(())
        });
    }

    /// Waits for a text in the log.
    pub(crate) fn wait_logged(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.stderr().contains(text).then_some(()));
    }

    pub(crate) fn signal(&self, signal: sys::process::Signal) {
        sys::process::signal(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&self) -> bool {
        is_alive(self.pid())
    }

    /// Waits for the end, and for all that was written until then.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of process {}", self.pid());
        let status = eventually(&what, || self.child.try_wait().unwrap());
        for output in [&self.stdout, &self.stderr] {
            eventually("the end of its output", || output.reader.is_finished().then_some(()));
        }
        status
    }

    /// SIGTERM and the exit code that follows.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(sys::process::Signal::Term);
        self.wait().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- stdout\n{}--- stderr\n{}", self.stdout(), self.stderr());
        }
    }
}

impl Output {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut part) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..count]));
            }
        });
        Self { text, reader }
    }
}

/// Whether a process runs: it exists and is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}

/// A backend that answers every request with its name; `/slow…` only once it is told to.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    go_on: Arc<AtomicBool>,
    slow_begun: Arc<AtomicU16>,
}

impl Backend {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            go_on: Arc::default(),
            slow_begun: Arc::default(),
        };
        let (go_on, slow_begun) = (Arc::clone(&backend.go_on), Arc::clone(&backend.slow_begun));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (go_on, slow_begun) = (Arc::clone(&go_on), Arc::clone(&slow_begun));
                std::thread::spawn(move || serve(name, stream, &go_on, &slow_begun));
            }
        });
        backend
    }

    /// Waits until a request for `/slow…` has arrived.
    pub(crate) fn wait_slow(&self) {
        eventually("a slow request", || (self.slow_begun.load(Ordering::SeqCst) > 0).then_some(()));
    }

    /// Lets the slow requests be answered.
    pub(crate) fn go_on(&self) {
        self.go_on.store(true, Ordering::SeqCst);
    }
}

fn serve(name: &str, stream: TcpStream, go_on: &AtomicBool, slow_begun: &AtomicU16) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        let close = lines
            .by_ref()
            .take_while(|line| !line.is_empty())
            .any(|line| line.eq_ignore_ascii_case("connection: close"));
        if request.contains(" /slow") {
            slow_begun.fetch_add(1, Ordering::SeqCst);
            while !go_on.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        if writer.write_all(answer.as_bytes()).is_err() || close {
            return;
        }
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// GET over a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, &request)
}

/// Sends bytes and reads to the end.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let broken = || std::io::Error::other(format!("not an HTTP answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok(Answer { status, body: body.to_owned() })
}

/// A file with one pool of these backends, and a site for any host.
pub(crate) fn proxy_of(backends: &[&Backend]) -> String {
    let servers: Vec<String> = backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
    format!(
        "[edge]\nhttp = [\"EDGE\"]\ncores = 1\n[pool.web]\nservers = [{}]\nbalance = \"round-robin\"\n[site.default.route]\n\"/\" = {{ pool = \"web\" }}\n",
        servers.join(", ")
    )
}

/// A file with one service of demo instances behind one pool.
pub(crate) const DEMO: &str = r#"
[edge]
http = ["EDGE"]
cores = 1
[service.shop]
run = ["$NINES", "demo", "--port", "$PORT"]
instances = 2
health = { http = "/healthz", every = "200ms" }
[pool.shop]
service = "shop"
[site.default.route]
"/" = { pool = "shop" }
"#;
