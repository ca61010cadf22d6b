//! A running DNS, and clients that ask it.

use dns::{Algorithm, Dns, DnsConfig, DnsParts, Key, Keys, Rtype, ZoneSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use telemetry::Registry;

/// Longer than anything here takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A zone with an answer that is too long for a datagram.
pub(crate) fn file() -> String {
    let long: Vec<String> = (0..60).map(|nth| format!("'long TXT \"{nth:0>40}\"'")).collect();
    format!(
        "listen = '127.0.0.1:0'\n\
         [zone.'shop.test']\n\
         records = ['@ SOA ns1 admin 7 3600 600 86400 300', '@ NS ns1', 'ns1 A 192.0.2.53', 'www A 192.0.2.1', {}]\n",
        long.join(", ")
    )
}

/// What messages are signed with.
pub(crate) const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

pub(crate) fn keys() -> Keys {
    Keys::new([Key::new("a.key", Algorithm::HmacSha256, SECRET).unwrap()])
}

pub(crate) struct World {
    dns: Option<Dns>,
    pub(crate) registry: Registry,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(file: &str) -> Self {
        Self::in_dir(file, tempfile::tempdir().unwrap())
    }

    pub(crate) fn in_dir(file: &str, dir: tempfile::TempDir) -> Self {
        let mut world = Self { dns: None, registry: Registry::new(), dir };
        let parts = world.parts(file);
        world.dns = Some(Dns::start(&parts, world.registry.clone(), Vec::new()).unwrap());
        world
    }

    /// With what `parts` makes in its folder.
    pub(crate) fn signed(parts: impl FnOnce(&Self) -> DnsParts) -> Self {
        Self::signed_in(tempfile::tempdir().unwrap(), parts)
    }

    /// The same in a folder.
    pub(crate) fn signed_in(dir: tempfile::TempDir, parts: impl FnOnce(&Self) -> DnsParts) -> Self {
        let mut world = Self { dns: None, registry: Registry::new(), dir };
        let parts = parts(&world);
        world.dns = Some(Dns::start(&parts, world.registry.clone(), Vec::new()).unwrap());
        world
    }

    pub(crate) fn dns(&self) -> &Dns {
        self.dns.as_ref().unwrap()
    }

    fn zones(&self) -> ZoneSet {
        self.dns.as_ref().map(Dns::zones).unwrap_or_default()
    }

    pub(crate) fn parts(&self, file: &str) -> DnsParts {
        let config: DnsConfig = toml::from_str(file).unwrap();
        let zones = ZoneSet::load(&config, self.dir.path(), &self.zones()).unwrap();
        self.parts_of(config, zones)
    }

    pub(crate) fn parts_of(&self, config: DnsConfig, zones: ZoneSet) -> DnsParts {
        DnsParts {
            config,
            zones,
            cookie_key: [7; 16],
            keys: keys(),
            data: self.dir.path().join("data/dns"),
            dir: self.dir.path().to_owned(),
            node_data: self.dir.path().join("data"),
            tls: tls::EdgeTls::default(),
        }
    }

    pub(crate) fn reload(&self, file: &str) {
        let prepared = self.dns().prepare(&self.parts(file)).unwrap();
        self.dns().commit(prepared);
    }

    pub(crate) fn at(&self, transport: cores::Transport) -> SocketAddr {
        let addresses = self.dns().addresses();
        addresses.iter().find(|address| address.transport == transport).unwrap().at
    }

    pub(crate) fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.at(cores::Transport::Udp)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub(crate) fn tcp(&self) -> Stream {
        let stream = TcpStream::connect(self.at(cores::Transport::Tcp)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Stream(stream)
    }

    /// Asks once over UDP.
    pub(crate) fn ask(&self, name: &str, rtype: Rtype) -> Answer {
        let socket = self.udp();
        socket.send(&query(name, rtype)).unwrap();
        hear(&socket)
    }

    /// The value of a series: `nines_dns_dropped_total{reason="unsent"}`.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.registry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
    }

    /// Waits until a series has a value.
    pub(crate) fn until(&self, series: &str, expected: f64) {
        let end = Instant::now() + PATIENCE;
        while (self.metric(series) - expected).abs() > f64::EPSILON {
            assert!(Instant::now() < end, "{series} is {}, not {expected}", self.metric(series));
            std::thread::yield_now();
        }
    }

    /// Ends it, and what it wrote is there until the folder is dropped.
    pub(crate) fn drain_keeping(mut self, deadline: Duration) -> tempfile::TempDir {
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        assert!(self.drain(deadline));
        dir
    }

    pub(crate) fn drain(mut self, deadline: Duration) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.dns.take().unwrap().drain(deadline))
    }
}

/// A connection that speaks in messages.
pub(crate) struct Stream(pub(crate) TcpStream);

impl Stream {
    pub(crate) fn send(&mut self, messages: &[Vec<u8>]) {
        let framed: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
        self.0.write_all(&framed).unwrap();
    }

    pub(crate) fn hear(&mut self) -> Answer {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).unwrap();
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message).unwrap();
        Answer(message)
    }

    /// Waits for the end; `false` is a reset.
    pub(crate) fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(count) => {
                assert_eq!(count, 0, "an end was expected");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                false
            }
        }
    }
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// A query with an id that is made of its name.
pub(crate) fn query(name: &str, rtype: Rtype) -> Vec<u8> {
    query_with_id(name, rtype, 0x1234)
}

/// A query for an address of `www.shop.test`, with a client's half of a cookie and this server's half.
pub(crate) fn with_cookie(server: &[u8]) -> Vec<u8> {
    let mut message = query("www.shop.test", Rtype::A);
    message[11] = 1;
    let length = 8 + server.len() as u8;
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, length + 4, 0, 10, 0, length]);
    message.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    message.extend(server);
    message
}

pub(crate) fn query_with_id(name: &str, rtype: Rtype, id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(rtype.to_int().to_be_bytes());
    message.extend([0, 1]);
    message
}

pub(crate) fn hear(socket: &UdpSocket) -> Answer {
    let mut room = vec![0; 65_536];
    let count = socket.recv(&mut room).unwrap();
    room.truncate(count);
    Answer(room)
}

/// A response, as far as these tests look at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer(pub(crate) Vec<u8>);

impl Answer {
    fn field(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    pub(crate) fn id(&self) -> u16 {
        self.field(0)
    }

    pub(crate) fn rcode(&self) -> u16 {
        self.field(2) & 15
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.field(2) & 0x0200 != 0
    }

    pub(crate) fn answers(&self) -> u16 {
        self.field(6)
    }

    /// The last four octets, an address in most answers here.
    pub(crate) fn address(&self) -> [u8; 4] {
        self.0[self.0.len() - 4..].try_into().unwrap()
    }
}
