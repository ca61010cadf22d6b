//! DNS of a whole node: zones come, change and go, one without the others, and sockets are handed over.

use crate::Test;
use crate::world::{PATIENCE, World, block_on, until};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use topology::{ReloadError, Running};

pub(crate) const TESTS: &[Test] = &[
    ("dns_comes_and_goes_by_reload", || block_on(dns_comes_and_goes())),
    ("a_zone_is_read_again_and_the_others_are_left", || block_on(one_zone_changes())),
    ("a_bad_zone_changes_nothing", || block_on(a_bad_zone())),
    ("a_takeover_answers_every_query", || block_on(a_takeover())),
    ("a_route_of_dns_follows_its_pools", || block_on(a_route_follows())),
    ("a_taken_port_of_dns_is_found_before_anything_starts", || block_on(a_taken_port())),
];

const NODE: &str = "[node]\nadmin = '127.0.0.1:0'\n";
const DNS: &str = "[node]\nadmin = '127.0.0.1:0'\n[dns]\nlisten = '127.0.0.1:0'\n\
    [dns.zone.'a.test']\nfile = 'a.zone'\n[dns.zone.'b.test']\nfile = 'b.zone'\n";

fn write_zone(world: &World, name: &str, serial: u32, more: &str) {
    let text = format!(
        "$TTL 60\n@ SOA ns admin {serial} 1 1 1 1\n@ NS ns.elsewhere.test.\nwww A 192.0.2.{serial}\n{more}"
    );
    std::fs::write(world.path(name), text).unwrap();
    // Not just now: it counts as settled.
    let before = SystemTime::now() - Duration::from_secs(60);
    let file = std::fs::File::options().write(true).open(world.path(name)).unwrap();
    file.set_modified(before).unwrap();
}

fn zones() -> World {
    let world = World::new(DNS);
    write_zone(&world, "a.zone", 1, "");
    write_zone(&world, "b.zone", 2, "");
    world
}

fn at(running: &Running, protocol: &str) -> SocketAddr {
    let listeners = running.status().listeners;
    let is_it = |one: &&topology::ListenerStatus| one.tier == "dns" && one.protocol == protocol;
    listeners.iter().find(is_it).unwrap().address
}

fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// The RCODE, and the last octet: of an address, the last.
async fn asked(address: SocketAddr, name: &str) -> (u8, u8) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket.send(&query(name)).await.unwrap();
    let mut heard = [0; 512];
    let count = tokio::time::timeout(PATIENCE, socket.recv(&mut heard)).await.unwrap().unwrap();
    (heard[3] & 15, heard[count - 1])
}

async fn asked_over(stream: &mut tokio::net::TcpStream, name: &str) -> u8 {
    let query = query(name);
    stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat()).await.unwrap();
    let length = tokio::time::timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap();
    let mut heard = vec![0; usize::from(length)];
    stream.read_exact(&mut heard).await.unwrap();
    heard[heard.len() - 1]
}

fn serials(running: &Running) -> Vec<(String, u32)> {
    running.status().zones.into_iter().map(|zone| (zone.name, zone.serial)).collect()
}

async fn dns_comes_and_goes() {
    let world = zones();
    world.write(NODE);
    let running = world.up().await;
    assert!(running.status().zones.is_empty());
    world.write(DNS);
    let changes = running.reload().await.unwrap();
    assert_eq!(changes.zones.added, ["a.test", "b.test"]);
    assert!(running.status().tiers.contains(&"dns".to_owned()));
    let (udp, tcp) = (at(&running, "udp"), at(&running, "tcp"));
    assert_eq!(asked(udp, "www.a.test").await, (0, 1));
    assert_eq!(asked(udp, "www.c.test").await.0, 5);
    assert_eq!(serials(&running), [("a.test".into(), 1), ("b.test".into(), 2)]);
    let mut stream = tokio::net::TcpStream::connect(tcp).await.unwrap();
    assert_eq!(asked_over(&mut stream, "www.b.test").await, 2);
    assert_eq!(running.status().connections, 1);

    world.write(&DNS.replace("[dns]\n", "[dns]\nidentity = 'ns1'\n"));
    let changes = running.reload().await.unwrap();
    assert!(changes.dns && changes.zones.is_empty(), "{changes}");
    assert_eq!(at(&running, "udp"), udp);
    assert_eq!(asked_over(&mut stream, "www.b.test").await, 2);

    world.write(NODE);
    assert_eq!(running.reload().await.unwrap().zones.removed, ["a.test", "b.test"]);
    until("the port is closed", || TcpListener::bind(tcp).is_ok() && UdpSocket::bind(udp).is_ok()).await;
    assert!(running.stop(Duration::from_secs(30)).await);
}

async fn one_zone_changes() {
    let world = zones();
    let running = world.up().await;
    write_zone(&world, "a.zone", 9, "");
    let changes = running.reload().await.unwrap();
    assert_eq!(
        (changes.zones.changed, changes.zones.unchanged),
        (vec!["a.test".into()], vec!["b.test".into()])
    );
    assert_eq!(asked(at(&running, "udp"), "www.a.test").await, (0, 9));
    assert_eq!(serials(&running), [("a.test".into(), 9), ("b.test".into(), 2)]);
    assert!(running.reload().await.unwrap().is_empty(), "nothing is another by now");
    assert!(running.stop(Duration::from_secs(30)).await);
}

async fn a_bad_zone() {
    let world = zones();
    let running = world.up().await;
    write_zone(&world, "a.zone", 9, "");
    write_zone(&world, "b.zone", 9, "mail A 192.0.2.300\n");
    let Err(ReloadError::Rejected(rejected)) = running.reload().await else { panic!("a zone is bad") };
    let said = rejected.to_string();
    let expected = format!("{}:5:8: error: zone b.test: ", world.path("b.zone").display());
    assert!(said.starts_with(&expected), "{said}");
    let udp = at(&running, "udp");
    assert_eq!((asked(udp, "www.a.test").await, asked(udp, "www.b.test").await), ((0, 1), (0, 2)));

    // A file that is gone is no zone either.
    std::fs::remove_file(world.path("b.zone")).unwrap();
    assert!(running.reload().await.is_err());
    assert_eq!(asked(udp, "www.b.test").await, (0, 2));
    assert!(running.stop(Duration::from_secs(30)).await);
}

async fn a_takeover() {
    let world = zones();
    let old = world.up().await;
    let (udp, tcp) = (at(&old, "udp"), at(&old, "tcp"));
    let mut before = tokio::net::TcpStream::connect(tcp).await.unwrap();
    assert_eq!(asked_over(&mut before, "www.a.test").await, 1);
    // Asked one after the other for as long as it takes: none may be lost.
    let (is_over, over) = tokio::sync::oneshot::channel::<()>();
    let asking = tokio::spawn(async move {
        let mut over = over;
        let mut count = 0;
        while over.try_recv().is_err() {
            assert_eq!(asked(udp, "www.a.test").await, (0, 1));
            count += 1;
        }
        count
    });
    let new = world.take_over().await.unwrap();
    tokio::time::timeout(PATIENCE, old.handed_over()).await.unwrap();
    assert_eq!((at(&new, "udp"), at(&new, "tcp")), (udp, tcp));
    assert_eq!(asked_over(&mut before, "www.b.test").await, 2);
    let mut after = tokio::net::TcpStream::connect(tcp).await.unwrap();
    assert_eq!(asked_over(&mut after, "www.a.test").await, 1);
    assert!(old.stop(Duration::from_secs(30)).await, "what was under way ended by itself");
    is_over.send(()).unwrap();
    assert!(asking.await.unwrap() > 0);
    assert_eq!(asked_over(&mut after, "www.b.test").await, 2);
    assert!(new.stop(Duration::from_secs(30)).await);
}

/// Two pools of one endpoint each, that are checked often; `www` is answered with the first that is up.
fn routed(pools: &[(&str, SocketAddr)]) -> String {
    let pool = |(name, server): &(&str, SocketAddr)| {
        format!(
            "[pool.{name}]\nservers = ['{server}']\nhealth = {{ tcp = true, every = '20ms', fall = 1, rise = 1 }}\n"
        )
    };
    let answer = |(nth, (name, _)): (usize, &(&str, SocketAddr))| {
        format!("{{ pool = '{name}', addresses = ['192.0.2.{}'] }}", nth + 1)
    };
    let answers: Vec<String> = pools.iter().enumerate().map(answer).collect();
    format!(
        "{NODE}{}[dns]\nlisten = '127.0.0.1:0'\n[dns.zone.'a.test']\nrecords = ['@ SOA ns admin 1 1 1 1 1', '@ NS ns.elsewhere.test.']\n\
         [dns.zone.'a.test'.route.www]\nchoose = ['healthy', 'failover']\nanswers = [{}]\n",
        pools.iter().map(pool).collect::<String>(),
        answers.join(", ")
    )
}

async fn a_route_follows() {
    let listen = |address: &str| tokio::net::TcpListener::bind(address.to_owned());
    let (first, second) = (listen("127.0.0.1:0").await.unwrap(), listen("127.0.0.1:0").await.unwrap());
    let (one, two) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let world = World::new(&routed(&[("one", one), ("two", two)]));
    // Not waited for: the pools are checked before the first query is answered.
    let running = world.start().await.unwrap();
    let udp = at(&running, "udp");
    assert_eq!(asked(udp, "www.a.test").await, (0, 1));
    let is_up = |pool: &str| {
        let pools = running.status().pools;
        let found = pools.into_iter().find(|known| known.name == pool).unwrap();
        found.endpoints.iter().all(|endpoint| endpoint.state == balance::State::Healthy)
    };
    drop(first);
    until("the pool is down", || !is_up("one")).await;
    assert_eq!(asked(udp, "www.a.test").await, (0, 2), "with the next query");
    let first = listen(&one.to_string()).await.unwrap();
    until("the pool is up", || is_up("one")).await;
    assert_eq!(asked(udp, "www.a.test").await, (0, 1));
    running.drain(&one.to_string()).unwrap();
    assert_eq!(asked(udp, "www.a.test").await, (0, 2), "draining is seen as well");

    // A pool that goes, and one that comes.
    world.write(&routed(&[("three", one), ("two", two)]));
    running.reload().await.unwrap();
    assert_eq!(asked(udp, "www.a.test").await, (0, 1));
    drop(first);
    until("the pool is down", || !is_up("three")).await;
    assert_eq!(asked(udp, "www.a.test").await, (0, 2));
    assert!(running.stop(Duration::from_secs(30)).await);
}

async fn a_taken_port() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = zones();
    world.write(&DNS.replace("listen = '127.0.0.1:0'", &format!("listen = '{address}'")));
    let Err(error) = world.start().await else { panic!("the port is taken") };
    let expected = format!("{address} (UDP) is already taken by");
    assert!(error.to_string().starts_with(&expected), "{error}");
}
