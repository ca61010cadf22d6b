use crate::world::*;
use layer4::{Layer4, Question};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;

/// One listener with one pool of these endpoints, and more keys of either.
fn file(servers: &[std::net::SocketAddr], tcp: &str, pool: &str) -> String {
    let servers: Vec<String> = servers.iter().map(|address| format!("'{address}'")).collect();
    format!(
        "[tcp.db]\nlisten = '127.0.0.1:0'\npool = 'db'\n{tcp}\n[pool.db]\nservers = [{}]\n{pool}",
        servers.join(", ")
    )
}

fn simple(servers: &[std::net::SocketAddr]) -> World {
    World::new(&file(servers, "", ""))
}

fn refused(reason: &str) -> String {
    format!("nines_tcp_refused_total{{listener=\"db\",reason=\"{reason}\"}}")
}

#[tokio::test]
async fn what_is_said_is_heard_on_the_other_side_and_back() {
    let world = simple(&[echo("a")]);
    let mut client = world.connect("db");
    client.write_all(b"hello").unwrap();
    assert_eq!(read(&mut client, 6), "ahello");
    assert_eq!(world.layer4().connections(), 1);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the end comes back");
    world.until("nines_tcp_bytes_total{direction=\"client\",listener=\"db\"}", |count| count == 5.0);
    world.until("nines_tcp_bytes_total{direction=\"endpoint\",listener=\"db\"}", |count| count == 6.0);
    world.until("nines_tcp_connections{listener=\"db\"}", |open| open == 0.0);
    assert!(world.drain(PATIENCE).await);
}

#[tokio::test]
async fn either_side_may_end_first_and_hear_the_other_out() {
    // The client ends, and the endpoint answers only then.
    let late = endpoint(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let world = simple(&[late]);
    let mut client = world.connect("db");
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "question");

    // The endpoint ends, and the client goes on.
    let (heard, hears) = std::sync::mpsc::channel();
    let early = endpoint(move |mut stream| {
        stream.write_all(b"greeting").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        heard.send(all).unwrap();
    });
    let world = simple(&[early]);
    let mut client = world.connect("db");
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).unwrap();
    client.write_all(b"still here").unwrap();
    drop(client);
    assert_eq!(
        (greeting.as_str(), hears.recv_timeout(PATIENCE).unwrap().as_str()),
        ("greeting", "still here")
    );
}

/// Bytes that are different everywhere, so that none can be lost, doubled or moved.
fn pattern(at: usize, into: &mut [u8]) {
    for (nth, byte) in into.iter_mut().enumerate() {
        let word = ((at + nth) / 8) as u64;
        *byte = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[(at + nth) % 8];
    }
}

#[tokio::test]
async fn bulk_passes_whole_and_within_the_kernel_both_ways_at_once() {
    const BYTES: usize = 48 << 20;
    // An echo that reads and writes at once, so that neither side waits for the other.
    let both_ways = endpoint(|stream| {
        let mut from = stream.try_clone().unwrap();
        let mut to = stream;
        std::io::copy(&mut from, &mut to).unwrap();
        to.shutdown(Shutdown::Write).unwrap();
    });
    let world = simple(&[both_ways]);
    let client = world.connect("db");
    let mut writer = client.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let mut buffer = vec![0; 100_000];
        let mut at = 0;
        while at < BYTES {
            let count = buffer.len().min(BYTES - at);
            pattern(at, &mut buffer[..count]);
            writer.write_all(&buffer[..count]).unwrap();
            at += count;
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut reader = client;
    let (mut got, mut expected) = (vec![0; 65_536], vec![0; 65_536]);
    let mut at = 0;
    loop {
        let count = reader.read(&mut got).unwrap();
        if count == 0 {
            break;
        }
        pattern(at, &mut expected[..count]);
        assert!(got[..count] == expected[..count], "after {at} bytes");
        at += count;
    }
    writing.join().unwrap();
    assert_eq!(at, BYTES);
    assert!(world.metric("nines_tcp_spliced_total{listener=\"db\"}") >= 1.0);
    world.until("nines_tcp_bytes_total{direction=\"endpoint\",listener=\"db\"}", |count| {
        count == BYTES as f64
    });
}

#[tokio::test]
async fn who_cannot_reach_one_endpoint_is_given_another() {
    let world = World::new(&file(&[nobody(), echo("b")], "", "balance = 'round-robin'"));
    for _ in 0..4 {
        assert_eq!(read(&mut world.connect("db"), 1), "b");
    }
    assert!(world.metric("nines_tcp_retries_total{listener=\"db\"}") >= 1.0);
}

#[tokio::test]
async fn where_nobody_can_be_reached_the_client_is_reset() {
    let world = simple(&[nobody()]);
    assert!(is_reset(&mut world.connect("db")));
    world.until(&refused("connect"), |count| count == 1.0);

    let world = World::new(&file(&[echo("a")], "", "limit = { inflight = 1, queue = 0 }"));
    let mut first = world.connect("db");
    assert_eq!(read(&mut first, 1), "a");
    assert!(is_reset(&mut world.connect("db")), "the pool has no place left");
    world.until(&refused("full"), |count| count == 1.0);

    let mut world = simple(&[echo("a")]);
    world.reload(&file(&[], "", "dns = 'nowhere.invalid:1'").replace("servers = []", ""));
    assert!(is_reset(&mut world.connect("db")));
    world.until(&refused("no_endpoint"), |count| count == 1.0);
}

#[tokio::test]
async fn a_stream_that_is_cut_off_does_not_look_whole() {
    let cutting = endpoint(|mut stream| {
        stream.write_all(b"half").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        // What was not read makes it a reset.
        stream.peek(&mut [0]).unwrap();
    });
    let world = simple(&[cutting]);
    let mut client = world.connect("db");
    assert_eq!(read(&mut client, 4), "half");
    client.write_all(b"xy").unwrap();
    assert!(is_reset(&mut client));
    world.until("nines_tcp_reset_total{listener=\"db\"}", |resets| resets == 1.0);
}

#[tokio::test]
async fn a_connection_without_a_byte_ends_after_its_time() {
    let world = World::new(&file(&[echo("a")], "timeout = { idle = '200ms' }", ""));
    let mut client = world.connect("db");
    assert_eq!(read(&mut client, 1), "a");
    assert!(is_reset(&mut client));
    world.until("nines_tcp_idle_total{listener=\"db\"}", |idle| idle == 1.0);
}

#[tokio::test]
async fn who_is_denied_is_reset() {
    let mut world = World::new(&file(&[echo("a")], "deny = ['127.0.0.0/8']", ""));
    assert!(is_reset(&mut world.connect("db")));
    world.until(&refused("denied"), |count| count == 1.0);
    world.reload(&file(&[echo("a")], "allow = ['127.0.0.1']", ""));
    assert_eq!(read(&mut world.connect("db"), 1), "a");
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_everybody_together_so_many() {
    let world = World::new(&file(&[echo("a")], "limit = { connections_per_client = 1 }", ""));
    let mut first = world.connect("db");
    assert_eq!(read(&mut first, 1), "a");
    assert!(is_reset(&mut world.connect("db")));
    world.until(&refused("client_limit"), |count| count == 1.0);
    drop(first);
    world.until("nines_tcp_connections{listener=\"db\"}", |open| open == 0.0);
    assert_eq!(read(&mut world.connect("db"), 1), "a");

    let world = World::new(&file(&[echo("a")], "limit = { connections = 1 }", ""));
    let mut first = world.connect("db");
    assert_eq!(read(&mut first, 1), "a");
    let mut second = world.connect("db");
    second.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "it waits");
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read(&mut second, 1), "a");
}

#[tokio::test]
async fn a_limited_rate_holds_for_each_direction() {
    let world = World::new(&file(&[echo("")], "limit = { bandwidth = '400KiB' }", ""));
    let client = world.connect("db");
    let mut writer = client.try_clone().unwrap();
    let began = std::time::Instant::now();
    let writing = std::thread::spawn(move || {
        writer.write_all(&vec![1; 300 << 10]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut all = Vec::new();
    (&client).read_to_end(&mut all).unwrap();
    writing.join().unwrap();
    assert_eq!(all.len(), 300 << 10);
    // A quarter of a second's worth comes at once.
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_drain_waits_for_connections_until_the_deadline() {
    let world = simple(&[echo("a")]);
    let mut client = world.connect("db");
    assert_eq!(read(&mut client, 1), "a");
    let address = world.address("db");
    let leaving = std::thread::spawn(move || {
        until(|| std::net::TcpStream::connect(address).is_err(), "the listener");
        client.write_all(b"late").unwrap();
        assert_eq!(read(&mut client, 4), "late");
    });
    assert!(world.drain(PATIENCE).await);
    leaving.join().unwrap();

    let world = simple(&[echo("a")]);
    let mut client = world.connect("db");
    assert_eq!(read(&mut client, 1), "a");
    assert!(!world.drain(Duration::from_millis(50)).await, "it was cut off");
}

#[tokio::test]
async fn a_drained_endpoint_keeps_its_connections_and_gets_no_new_ones() {
    let (a, b) = (echo("a"), echo("b"));
    let world = World::new(&file(&[a, b], "", "balance = 'round-robin'"));
    let mut clients: Vec<_> = (0..2).map(|_| world.connect("db")).collect();
    let names: Vec<String> = clients.iter_mut().map(|client| read(client, 1)).collect();
    assert_eq!(
        {
            let mut sorted = names.clone();
            sorted.sort();
            sorted
        },
        ["a", "b"]
    );
    world.pools["db"].drain(&a.to_string()).unwrap();
    for client in &mut clients {
        client.write_all(b"x").unwrap();
        assert_eq!(read(client, 1), "x");
    }
    for _ in 0..4 {
        assert_eq!(read(&mut world.connect("db"), 1), "b");
    }
}

#[tokio::test]
async fn a_reload_is_for_those_that_come() {
    let mut world = simple(&[echo("a")]);
    let mut before = world.connect("db");
    assert_eq!(read(&mut before, 1), "a");
    let address = world.address("db");
    world.reload(&format!(
        "[tcp.db]\nlisten = '127.0.0.1:0'\npool = 'other'\n[pool.other]\nservers = ['{}']",
        echo("b")
    ));
    assert_eq!(world.address("db"), address, "port 0 stays what it became");
    assert_eq!(read(&mut world.connect("db"), 1), "b");
    before.write_all(b"x").unwrap();
    assert_eq!(read(&mut before, 1), "x");
    world.reload("");
    // What a core has not closed yet takes one in, and lets go of it with its socket.
    let refused = std::net::TcpStream::connect(address).map_or(true, |mut stream| is_reset(&mut stream));
    assert!(refused);
}

#[tokio::test]
async fn a_process_that_takes_over_goes_on_with_the_sockets() {
    let text = file(&[echo("a")], "", "");
    let mut old = World::new(&text);
    let mut before = old.connect("db");
    assert_eq!(read(&mut before, 1), "a");
    let parts = old.parts(&text);
    let new = Layer4::start(&parts, 2, Registry::new(), old.layer4().sockets().unwrap()).unwrap();
    old.layer4().stop_accepting();
    assert_eq!(new.status()[0].addresses, [parts_address(&new)]);
    until(
        || {
            let mut client = connect(parts_address(&new));
            read(&mut client, 1) == "a" && new.connections() > 0
        },
        "the new process",
    );
    before.write_all(b"x").unwrap();
    assert_eq!(read(&mut before, 1), "x");
    drop(before);
    assert!(old.drain(PATIENCE).await);
    assert!(new.drain(PATIENCE).await);
}

fn parts_address(layer4: &Layer4) -> std::net::SocketAddr {
    layer4.status()[0].addresses[0]
}

#[tokio::test]
async fn endpoints_are_told_who_the_client_is() {
    let first_line = |stream: &mut std::net::TcpStream| {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(read(stream, 1).as_bytes()[0]);
        }
        String::from_utf8(line).unwrap()
    };
    let told = endpoint(|mut stream| {
        let mut buffer = [0; 512];
        let count = stream.read(&mut buffer).unwrap();
        stream.write_all(&buffer[..count]).unwrap();
    });
    let world = World::new(&file(&[told], "", "proxy_protocol = 'v1'"));
    let mut client = world.connect("db");
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let expected = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
    assert_eq!(first_line(&mut client), expected);

    let world = World::new(&file(&[told], "", "proxy_protocol = 'v2'"));
    let mut client = world.connect("db");
    let from = client.local_addr().unwrap();
    let mut header = [0; 512];
    let count = client.read(&mut header).unwrap();
    let (header, _) = admission::proxy_protocol::parse(&header[..count]).unwrap().unwrap();
    assert_eq!((header.version, header.client()), (2, Some(from)));
}

#[tokio::test]
async fn a_proxy_in_front_says_who_the_client_is_and_nobody_else_may() {
    let told = endpoint(|mut stream| {
        let mut buffer = [0; 512];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count]).unwrap();
        }
    });
    let trusted =
        "proxy_protocol = ['127.0.0.0/8']\ndeny = ['203.0.113.0/24']\ntimeout = { hello = '300ms' }";
    let world = World::new(&file(&[told], trusted, "proxy_protocol = 'v1'"));
    let header = |source: &str| {
        let mut header = Vec::new();
        let destination = "192.0.2.1:6432".parse().unwrap();
        let extras = admission::proxy_protocol::Extras::default();
        admission::proxy_protocol::write_v2(&mut header, source.parse().unwrap(), destination, &extras);
        header
    };
    // The header comes in two parts, the second with what follows it.
    let mut client = world.connect("db");
    let bytes = [header("198.51.100.7:4711"), b"hello".to_vec()].concat();
    client.write_all(&bytes[..10]).unwrap();
    client.write_all(&bytes[10..]).unwrap();
    let expected = "PROXY TCP4 198.51.100.7 192.0.2.1 4711 6432\r\nhello";
    assert_eq!(read(&mut client, expected.len()), expected);

    let mut denied = world.connect("db");
    denied.write_all(&header("203.0.113.9:1")).unwrap();
    assert!(is_reset(&mut denied), "the client is judged, not the proxy");
    world.until(&refused("denied"), |count| count == 1.0);

    let mut without = world.connect("db");
    without.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(matches!(without.read(&mut [0]), Ok(0) | Err(_)));
    world.until(&refused("proxy_header"), |count| count == 1.0);

    let mut silent = world.connect("db");
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    world.until(&refused("hello_timeout"), |count| count == 1.0);
}

#[tokio::test]
async fn the_choice_can_be_asked_for() {
    let a = echo("a");
    let text = format!(
        "[tcp.db]\nlisten = '127.0.0.1:0'\nsni = {{ '*.b.test' = 'db' }}\ndeny = ['203.0.113.0/24']\n\
         [pool.db]\nservers = ['{a}']"
    );
    let mut world = World::new(&text);
    let question = |client: &str, server_name: Option<&str>| Question {
        udp: false,
        listener: "db".into(),
        client: Some(client.parse().unwrap()),
        server_name: server_name.map(str::to_owned),
    };
    let live = world.layer4().explain(&question("192.0.2.1", Some("X.b.test"))).unwrap();
    assert_eq!(live.steps, ["server name \"x.b.test\": `sni` has \"*.b.test\", pool db"]);
    assert_eq!(live.pool.as_ref().unwrap().picked, Some(a.to_string()));
    let parts = world.parts(&text);
    let offline = layer4::explain(&parts, &question("192.0.2.1", Some("x.b.test"))).unwrap();
    assert_eq!(offline, live);
    let unknown = world.layer4().explain(&question("192.0.2.1", None)).unwrap();
    assert_eq!(unknown.steps, ["no server name: no pool, the client hears `unrecognized_name`"]);
    let denied = world.layer4().explain(&question("203.0.113.9", None)).unwrap();
    assert_eq!(denied.steps, ["denied by 203.0.113.0/24", "the connection is reset"]);
    let mut nowhere = question("192.0.2.1", None);
    nowhere.listener = "x".into();
    let error = world.layer4().explain(&nowhere).unwrap_err().to_string();
    assert_eq!(error, "no `[tcp.x]` in the file; known: tcp:db");
    let nobody = Question { server_name: Some("x.b.test".into()), ..Question::about("tcp:db").unwrap() };
    assert_eq!(world.layer4().explain(&nobody).unwrap(), live);
    drop(Arc::new(world));
}
