use crate::world::*;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

fn file(servers: &[SocketAddr], udp: &str) -> String {
    let servers: Vec<String> = servers.iter().map(|address| format!("'{address}'")).collect();
    format!(
        "[udp.dns]\nlisten = '127.0.0.1:0'\npool = 'dns'\n{udp}\n[pool.dns]\nservers = [{}]\nbalance = 'round-robin'",
        servers.join(", ")
    )
}

const OPEN: &str = "nines_udp_sessions{listener=\"dns\"}";

fn ended(reason: &str) -> String {
    format!("nines_udp_sessions_ended_total{{listener=\"dns\",reason=\"{reason}\"}}")
}

fn dropped(reason: &str) -> String {
    format!("nines_udp_dropped_total{{listener=\"dns\",reason=\"{reason}\"}}")
}

#[tokio::test]
async fn many_clients_hear_their_own_answers_and_keep_their_endpoints() {
    let world = World::new(&file(&[udp_echo("a", 1).0, udp_echo("b", 1).0], ""));
    let clients: Vec<UdpSocket> = (0..100).map(|_| udp_client(world.address("dns"))).collect();
    let names: Vec<String> = clients
        .iter()
        .enumerate()
        .map(|(nth, client)| {
            let answer = asked(client, &format!("-{nth}"));
            assert_eq!(&answer[1..], format!("-{nth}"));
            answer[..1].to_owned()
        })
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "a").count(), 50, "in turns");
    for (client, name) in clients.iter().zip(&names) {
        assert_eq!(asked(client, "again"), format!("{name}again"));
    }
    assert_eq!(world.metric(OPEN), 100.0);
    world.until("nines_udp_datagrams_total{direction=\"client\",listener=\"dns\"}", |count| count == 200.0);
    world.until("nines_udp_datagrams_total{direction=\"endpoint\",listener=\"dns\"}", |count| count == 200.0);
    assert!(world.drain(PATIENCE).await);
}

#[tokio::test]
async fn datagrams_keep_their_borders_and_may_be_long_or_empty() {
    let world = World::new(&file(&[udp_echo("", 1).0], ""));
    let client = udp_client(world.address("dns"));
    for length in [1, 0, 1472, 9000, 65_000] {
        assert_eq!(asked(&client, &"x".repeat(length)).len(), length);
    }
}

#[tokio::test]
async fn who_was_answered_stays_when_there_is_no_room() {
    // One that never answers, and one that does: in turns.
    let silent = udp_echo("", 0).0;
    let world = World::new(&file(&[udp_echo("a", 1).0], "sessions = 2"));
    let (first, second) = (udp_client(world.address("dns")), udp_client(world.address("dns")));
    assert_eq!((asked(&first, "1"), asked(&second, "2")), ("a1".into(), "a2".into()));
    let third = udp_client(world.address("dns"));
    third.send(b"3").unwrap();
    world.until(&dropped("sessions"), |count| count == 1.0);
    assert_eq!(asked(&first, "4"), "a4");

    let world = World::new(&file(&[silent], "sessions = 2"));
    let clients: Vec<UdpSocket> = (0..5).map(|_| udp_client(world.address("dns"))).collect();
    for client in &clients {
        client.send(b"x").unwrap();
    }
    // Each core drives out its own: none, where both sessions are the other's. The place of one that was driven out may be taken by the other
    // core, so that both are counted.
    let gone = |world: &World| world.metric(&ended("evicted")) + world.metric(&dropped("sessions"));
    until(|| gone(&world) >= 3.0, "what did not fit");
    assert!(world.metric(OPEN) <= 2.0);
}

#[tokio::test]
async fn a_session_ends_after_its_time_or_its_answers() {
    let world = World::new(&file(&[udp_echo("a", 1).0], "idle = '300ms'"));
    assert_eq!(asked(&udp_client(world.address("dns")), "1"), "a1");
    world.until(&ended("idle"), |count| count == 1.0);
    assert_eq!(world.metric(OPEN), 0.0);

    let world = World::new(&file(&[udp_echo("a", 1).0], "responses = 1"));
    let client = udp_client(world.address("dns"));
    for nth in 0..5 {
        assert_eq!(asked(&client, &nth.to_string()), format!("a{nth}"));
        world.until(&ended("answered"), |count| count == f64::from(nth + 1));
    }
    assert_eq!(world.metric(OPEN), 0.0);
}

#[tokio::test]
async fn an_endpoint_that_has_died_is_left_for_another() {
    let (a, thread) = udp_echo("a", 1);
    let b = udp_echo("b", 1).0;
    let world = World::new(&file(&[a, b], ""));
    let clients: Vec<UdpSocket> = (0..2).map(|_| udp_client(world.address("dns"))).collect();
    let names: Vec<String> = clients.iter().map(|client| asked(client, "")).collect();
    let of_a = names.iter().position(|name| name == "a").unwrap();
    udp_client(a).send(b"end").unwrap();
    thread.join().unwrap();
    let client = &clients[of_a];
    // The datagram that finds out is lost, as on any way; the next one goes elsewhere.
    client.send(b"lost").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 16];
    until(
        || {
            client.send(b"?").unwrap();
            client.recv(&mut buffer.clone()).is_ok()
        },
        "another endpoint",
    );
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(b"x").unwrap();
    let count = client.recv(&mut buffer).unwrap();
    assert_eq!(buffer[0], b'b', "{:?}", &buffer[..count]);
    world.until(&ended("refused"), |count| count == 1.0);
    assert!(world.pools["dns"].status().endpoints.iter().any(|endpoint| endpoint.failures > 0));
}

#[tokio::test]
async fn a_session_follows_the_file() {
    let a = udp_echo("a", 1).0;
    let mut world = World::new(&file(&[a], ""));
    let client = udp_client(world.address("dns"));
    assert_eq!(asked(&client, "1"), "a1");
    // Its endpoint is gone from the pool.
    world.reload(&file(&[udp_echo("b", 1).0], ""));
    assert_eq!(asked(&client, "2"), "b2");
    world.until(&ended("moved"), |count| count == 1.0);
    // Its listener has another pool.
    let other = file(&[udp_echo("c", 1).0], "")
        .replace("pool = 'dns'", "pool = 'other'")
        .replace("[pool.dns]", "[pool.other]");
    world.reload(&other);
    assert_eq!(asked(&client, "3"), "c3");
    // A drained endpoint keeps it.
    let d = udp_echo("d", 1).0;
    let both = other.replace("servers = [", &format!("servers = ['{d}', "));
    world.reload(&both);
    let endpoint = world.pools["other"].status().endpoints[1].name.clone();
    world.pools["other"].drain(&endpoint).unwrap();
    assert_eq!(asked(&client, "4"), "c4");
    assert_eq!(asked(&udp_client(world.address("dns")), "5"), "d5");
}

#[tokio::test]
async fn an_answer_leaves_from_the_address_that_was_asked() {
    let text = file(&[udp_echo("a", 1).0], "").replace("127.0.0.1:0'\npool", "0.0.0.0:0'\npool");
    let world = World::new(&text);
    let port = world.address("dns").port();
    // All of 127.0.0.0/8 is this machine, and this client hears nobody else.
    for last in [1, 77] {
        let client = udp_client((IpAddr::from([127, 0, 0, last]), port).into());
        assert_eq!(asked(&client, "?"), "a?");
    }
}

#[tokio::test]
async fn who_is_denied_is_not_heard() {
    let world = World::new(&file(&[udp_echo("a", 1).0], "deny = ['127.0.0.1']"));
    let client = udp_client(world.address("dns"));
    client.send(b"x").unwrap();
    world.until(&dropped("denied"), |count| count == 1.0);
    assert_eq!(world.metric(OPEN), 0.0);
}

#[tokio::test]
async fn a_drain_waits_for_answers() {
    let socket = UdpSocket::bind(anywhere()).unwrap();
    let world = World::new(&file(&[socket.local_addr().unwrap()], ""));
    let client = udp_client(world.address("dns"));
    client.send(b"?").unwrap();
    let (_, from) = socket.recv_from(&mut [0; 8]).unwrap();
    // The drain is polled first, and has told the cores when the answer is sent.
    let answering = async { socket.send_to(b"late", from).unwrap() };
    let (is_drained, _) = tokio::join!(world.drain(PATIENCE), answering);
    assert!(is_drained);
    let mut buffer = [0; 8];
    assert_eq!(client.recv(&mut buffer).unwrap(), 4);
}
