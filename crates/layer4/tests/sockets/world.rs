//! A layer 4 with its pools, and endpoints that answer.

use balance::{Pool, PoolConfig, PoolContext, Settings};
use layer4::{Layer4, Layer4Parts};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use telemetry::Registry;

/// Longer than anything here takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    tcp: notation::Named<layer4::TcpConfig>,
    udp: notation::Named<layer4::UdpConfig>,
    pool: notation::Named<PoolConfig>,
    edge: Edge,
}

/// As much of the edge as layer 4 is told of.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Edge {
    tls: tls::EdgeTls,
}

pub(crate) struct World {
    pub(crate) layer4: Option<Layer4>,
    pub(crate) registry: Registry,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) pools: HashMap<String, Arc<Pool>>,
}

impl World {
    pub(crate) fn new(file: &str) -> Self {
        Self::in_dir(file, tempfile::tempdir().unwrap())
    }

    pub(crate) fn in_dir(file: &str, dir: tempfile::TempDir) -> Self {
        let registry = Registry::new();
        let mut world = Self { layer4: None, registry, dir, pools: HashMap::new() };
        let parts = world.parts(file);
        world.layer4 = Some(Layer4::start(&parts, 2, world.registry.clone(), Vec::new()).unwrap());
        world
    }

    pub(crate) fn reload(&mut self, file: &str) {
        let parts = self.parts(file);
        let layer4 = self.layer4.as_ref().unwrap();
        layer4.commit(layer4.prepare(&parts).unwrap());
    }

    /// The file's parts. Pools that are there already follow it.
    pub(crate) fn parts(&mut self, file: &str) -> Layer4Parts {
        let file: File = toml::from_str(file).unwrap();
        for (name, config) in file.pool {
            let settings = Settings::load(config, &name, self.dir.path()).unwrap();
            match self.pools.get(name.as_str()) {
                Some(pool) => pool.apply(settings),
                None => {
                    let context = PoolContext {
                        name: name.to_string(),
                        at: None,
                        secret: [0; 16],
                        registry: self.registry.clone(),
                    };
                    self.pools.insert(name.to_string(), Pool::new(context, settings));
                }
            }
        }
        Layer4Parts {
            tcp: file.tcp,
            udp: file.udp,
            tls: file.edge.tls,
            pools: self.pools.clone(),
            dir: self.dir.path().to_owned(),
            data: self.dir.path().join("data"),
        }
    }

    pub(crate) fn layer4(&self) -> &Layer4 {
        self.layer4.as_ref().unwrap()
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.layer4().status().iter().find(|listener| listener.name == name).unwrap().addresses[0]
    }

    pub(crate) fn connect(&self, name: &str) -> TcpStream {
        connect(self.address(name))
    }

    /// The value of a series: `nines_tcp_connections_total{listener="db"}`.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.registry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
    }

    /// Waits until a series has a value.
    pub(crate) fn until(&self, series: &str, is_right: impl Fn(f64) -> bool) {
        until(|| is_right(self.metric(series)), series);
    }

    pub(crate) async fn drain(mut self, deadline: Duration) -> bool {
        self.layer4.take().unwrap().drain(deadline).await
    }
}

pub(crate) fn until(is_right: impl Fn() -> bool, what: &str) {
    let end = Instant::now() + PATIENCE;
    while !is_right() {
        assert!(Instant::now() < end, "{what} is not as expected");
        std::thread::yield_now();
    }
}

pub(crate) fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// An endpoint that serves each connection on a thread of its own.
pub(crate) fn endpoint(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(anywhere()).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Says its name, then all that it hears.
pub(crate) fn echo(name: &'static str) -> SocketAddr {
    endpoint(move |mut stream| {
        let _ = stream.write_all(name.as_bytes());
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind(anywhere()).unwrap().local_addr().unwrap()
}

pub(crate) fn read(stream: &mut impl Read, count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Whether a connection ends by a reset, rather than in peace.
pub(crate) fn is_reset(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
            Err(error) => panic!("neither an end nor a reset: {error}"),
        }
    }
}

/// An endpoint of UDP that answers each datagram with its name and what it heard, as often as it is told to.
pub(crate) fn udp_echo(name: &'static str, answers: usize) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind(anywhere()).unwrap();
    let address = socket.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            // How a test ends it.
            if &buffer[..count] == b"end" {
                return;
            }
            let answer = [name.as_bytes(), &buffer[..count]].concat();
            (0..answers).for_each(|_| drop(socket.send_to(&answer, from)));
        }
    });
    (address, thread)
}

pub(crate) fn udp_client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(anywhere()).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn asked(socket: &UdpSocket, question: &str) -> String {
    socket.send(question.as_bytes()).unwrap();
    let mut buffer = vec![0; 65_536];
    let count = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

pub(crate) fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}
