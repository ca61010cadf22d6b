//! TCP and UDP of a whole node: they come, stay, go, and are handed over.

use crate::Test;
use crate::world::{PATIENCE, World, block_on, until};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use topology::{Layer4Question, Running};

pub(crate) const TESTS: &[Test] = &[
    ("tcp_and_udp_come_and_go_by_reload", || block_on(tcp_and_udp_come_and_go())),
    ("a_takeover_keeps_connections_and_ports_of_tcp_and_udp", || block_on(a_takeover())),
    ("a_taken_port_of_udp_is_found_before_anything_starts", || block_on(a_taken_port())),
];

/// Endpoints of both that say what they hear, and a file that leads to them.
struct Echoes {
    tcp: SocketAddr,
    udp: SocketAddr,
}

impl Echoes {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let udp = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(&buffer[..count], from).await;
            }
        });
        Self { tcp, udp }
    }

    fn file(&self) -> String {
        format!(
            "[node]\nadmin = '127.0.0.1:0'\n\
             [tcp.db]\nlisten = '127.0.0.1:0'\npool = 'db'\n[pool.db]\nservers = ['{}']\n\
             [udp.dns]\nlisten = '127.0.0.1:0'\npool = 'dns'\n[pool.dns]\nservers = ['{}']\n",
            self.tcp, self.udp
        )
    }
}

fn at(running: &Running, name: &str) -> SocketAddr {
    let status = running.status();
    status.layer4.iter().find(|listener| listener.name == name).unwrap().addresses[0]
}

async fn said(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut heard = vec![0; text.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
    String::from_utf8(heard).unwrap()
}

async fn asked(address: SocketAddr) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket.send(b"?").await.unwrap();
    tokio::time::timeout(PATIENCE, socket.recv(&mut [0; 8])).await.unwrap().unwrap();
}

async fn tcp_and_udp_come_and_go() {
    let echoes = Echoes::new().await;
    let world = World::new("[node]\nadmin = '127.0.0.1:0'\n");
    let running = world.up().await;
    assert_eq!(running.status().layer4, []);
    world.write(&echoes.file());
    let changes = running.reload().await.unwrap();
    assert_eq!(changes.layer4.added, ["tcp db", "udp dns"]);
    let (tcp, udp) = (at(&running, "db"), at(&running, "dns"));
    let mut client = TcpStream::connect(tcp).await.unwrap();
    assert_eq!(said(&mut client, "hello").await, "hello");
    asked(udp).await;
    let status = running.status();
    assert!(status.tiers.contains(&"layer4".to_owned()));
    assert_eq!((status.connections, status.layer4[1].open), (1, 1));
    assert!(status.listeners.iter().any(|listener| listener.protocol == "udp" && listener.address == udp));
    let question = Layer4Question::about("tcp:db").unwrap();
    let explained = running.explain_layer4(&question).unwrap();
    assert_eq!(explained.pool.unwrap().picked, Some(echoes.tcp.to_string()));

    world.write(&echoes.file().replace("[tcp.db]", "[tcp.db]\nlimit = { connections = 7 }"));
    assert_eq!(running.reload().await.unwrap().layer4.changed, ["tcp db"]);
    assert_eq!(said(&mut client, "still").await, "still");
    assert_eq!(at(&running, "db"), tcp);

    world.write("[node]\nadmin = '127.0.0.1:0'\n");
    running.reload().await.unwrap();
    until("the port is closed", || TcpListener::bind(tcp).is_ok() && UdpSocket::bind(udp).is_ok()).await;
    assert_eq!(said(&mut client, "until it ends").await, "until it ends");
    drop(client);
    assert!(running.stop(Duration::from_secs(30)).await);
}

async fn a_takeover() {
    let echoes = Echoes::new().await;
    let world = World::new(&echoes.file());
    let old = world.up().await;
    let (tcp, udp) = (at(&old, "db"), at(&old, "dns"));
    let mut before = TcpStream::connect(tcp).await.unwrap();
    assert_eq!(said(&mut before, "hello").await, "hello");
    let new = world.take_over().await.unwrap();
    tokio::time::timeout(PATIENCE, old.handed_over()).await.unwrap();
    assert_eq!((at(&new, "db"), at(&new, "dns")), (tcp, udp));
    assert_eq!(said(&mut before, "again").await, "again");
    let mut after = TcpStream::connect(tcp).await.unwrap();
    assert_eq!(said(&mut after, "new").await, "new");
    asked(udp).await;
    drop(before);
    assert!(old.stop(Duration::from_secs(30)).await, "what was under way ended by itself");
    assert_eq!(said(&mut after, "more").await, "more");
    asked(udp).await;
    drop(after);
    assert!(new.stop(Duration::from_secs(30)).await);
}

async fn a_taken_port() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = format!(
        "[node]\nadmin = '127.0.0.1:0'\n[udp.dns]\nlisten = '{address}'\npool = 'a'\n[pool.a]\nservers = ['127.0.0.1:1']"
    );
    let world = World::new(&file);
    let Err(error) = world.start().await else { panic!("the port is taken") };
    let expected = format!("{address} (UDP) is already taken by");
    assert!(error.to_string().starts_with(&expected), "{error}");
}
