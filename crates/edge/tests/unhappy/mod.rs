//! What goes wrong on one side, and what it must not cost the other.

use crate::world::{Backend, World, get, wait_until};
use edge::{Edge, EdgeConfig, EdgeParts, SiteConfig};
use notation::{Faults, Name, Named};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::Duration;

/// Longer than the limits of 100 ms that these tests set: what they show is that nothing happens then.
const PAST_THE_LIMIT: Duration = Duration::from_millis(400);

#[test]
fn a_tunnel_is_not_bound_by_the_limit_of_a_request() {
    let backend = Backend::switching();
    let world = World::with_all("timeout = { request = '100ms' }", &[&backend], "", "");
    let mut client = world.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    client.read_until("\r\n\r\n");
    sleep(PAST_THE_LIMIT);
    client.send("later");
    assert_eq!(client.read_until("later"), "later");
}

#[test]
fn a_client_that_stops_reading_is_not_the_endpoint_s_failure() {
    let body = "a".repeat(24 << 20);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let backend = Backend::answering(answer.leak());
    let world = World::with_all("timeout = { body_idle = '100ms' }", &[&backend], "", "");
    let mut client = world.connect();
    client.send(&get("/"));
    backend.wait_for("GET / ");
    wait_until("the request is over", || world.pool().status().endpoints[0].inflight == 0);
    assert_eq!(world.pool().status().endpoints[0].failures, 0);
}

#[test]
fn a_client_that_never_ends_its_body_still_gets_the_answer_that_came_before() {
    let backend = Backend::gated_midway();
    let world = World::with_all("timeout = { body_idle = '100ms' }", &[&backend], "", "");
    let mut client = world.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    client.read_until("first");
    sleep(PAST_THE_LIMIT);
    backend.open();
    assert_eq!(client.rest(), " half");
}

#[test]
fn a_status_that_cannot_be_tried_again_reaches_the_client_as_the_endpoint_said_it() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
    let backends = [Backend::answering(answer), Backend::answering(answer)];
    let pool = "eject = { failures = 0 }\nretry = { budget = '100%', on = ['503'] }";
    let world = World::with_all("", &[&backends[0], &backends[1]], pool, "");
    let response = world.ask(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    );
    assert!(response.ends_with("\r\n\r\nbusy"), "{response}");
}

#[test]
fn a_body_that_is_too_large_by_its_own_word_costs_no_endpoint_anything() {
    let backend = Backend::swallowing();
    let world = World::with_all("", &[&backend], "", "body_max = '1KiB'");
    let response = world.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn no_error_page_is_written_into_the_midst_of_an_interim_response() {
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "a".repeat(60_000));
    let backend = Backend::answering(hint.repeat(400).leak());
    let world = World::with_all("timeout = { request = '200ms' }", &[&backend], "", "");
    let mut client = world.connect().with_little_room();
    // Should the time be over between two of them, there is an answer, and an end.
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    backend.wait_for("GET / ");
    wait_until("the request is over", || world.pool().status().endpoints[0].inflight == 0);
    let all = client.rest();
    let (before, _) = all.rsplit_once("HTTP/1.1 ").unwrap();
    assert!(before.is_empty() || before.ends_with("\r\n\r\n"), "{}", &before[before.len() - 40..]);
}

#[test]
fn a_client_that_leaves_the_line_makes_room_in_it() {
    let backend = Backend::gated();
    let pool = "limit = { inflight = 1, queue = 1, wait = '120s' }";
    let world = World::with_all("", &[&backend], pool, "");
    let mut first = world.connect();
    first.send(&get("/"));
    backend.wait_for("GET / ");
    let mut second = world.connect();
    second.send(&get("/"));
    wait_until("the second waits", || world.pool().gate().waiting() == 1);
    drop(second);
    wait_until("the second has left", || world.pool().gate().waiting() == 0);
    backend.open();
    assert!(first.response().ends_with("gated"));
}

#[test]
fn a_request_whose_time_runs_out_in_the_line_is_told_to_come_later() {
    let backend = Backend::gated();
    let pool = "limit = { inflight = 1, queue = 1, wait = '120s' }";
    let world = World::with_all("timeout = { request = '100ms' }", &[&backend], pool, "");
    let _permit = world.pool().gate().try_enter().expect("nobody else is here");
    let response = world.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("Retry-After: 1\r\n"), "{response}");
}

#[test]
fn a_limit_of_connections_that_is_raised_lets_in_who_waits() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let world = World::with_all("cores = 1\nlimit = { connections = 1 }", &[&backend], "", "");
    let mut first = world.connect();
    first.send(&get("/"));
    assert!(first.response().ends_with("hi"));
    let mut second = world.connect();
    second.send(&get("/"));
    world.reload_connections_max(10);
    assert!(second.response().ends_with("hi"));
}

#[test]
fn a_length_that_an_endpoint_says_twice_is_said_once() {
    let backend =
        Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y: z\r\nContent-Length: 2\r\n\r\nhi");
    let world = World::with_all("", &[&backend], "", "");
    let response = world.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(response.matches("Content-Length: 2\r\n").count(), 1, "{response}");
}

#[test]
fn a_trusted_proxy_s_word_about_its_client_is_kept() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let world = World::with_all("trust_forwarded = true", &[&backend], "", "");
    world.ask(
        "GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\n\
         X-Real-IP: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n",
    );
    let seen = backend.seen();
    for there in [
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Host: shop.test\r\n",
        "X-Real-IP: 203.0.113.7\r\n",
        "X-Forwarded-For: 203.0.113.7, 127.0.0.1\r\n",
    ] {
        let name = &there[..there.find(':').unwrap()];
        assert!(seen.contains(there) && seen.matches(&format!("{name}:")).count() == 1, "{there}: {seen}");
    }
}

#[test]
fn a_header_that_is_set_replaces_the_one_that_nines_would_add() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let route = "'/' = { pool = 'p', request_headers = { set = { x-forwarded-proto = 'https' }, remove = ['via'] }, \
                 response_headers = { set = { date = 'today' }, remove = ['x-request-id'] } }\n\
                 '/own' = { respond = { body = '{}' }, response_headers = { set = { content-type = 'application/json' } } }";
    let world = World::with_sites(&[("default", route)], &backend);
    let ask = |path: &str| world.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let count = |text: &str, name: &str| text.to_lowercase().matches(&format!("\r\n{name}: ")).count();
    let response = ask("/");
    assert_eq!((count(&response, "date"), count(&response, "x-request-id")), (1, 0), "{response}");
    assert!(response.contains("date: today\r\n"), "{response}");
    let seen = backend.seen();
    assert_eq!((count(&seen, "x-forwarded-proto"), count(&seen, "via")), (1, 0), "{seen}");
    assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
    let own = ask("/own");
    assert!(count(&own, "content-type") == 1 && own.contains("content-type: application/json\r\n"), "{own}");
}

#[test]
fn what_is_hidden_is_hidden_in_interim_responses_too() {
    let backend = Backend::answering(
        "HTTP/1.1 103 Early Hints\r\nServer: x\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    let world = World::with_all("", &[&backend], "", "hide_headers = ['server']");
    let response = world.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(response.contains("Link: </a>\r\n") && !response.contains("Server"), "{response}");
}

/// Sockets that another nines leaves behind, all for one address.
fn left_behind(sockets: usize) -> (SocketAddr, Vec<TcpListener>) {
    let first = sys::listen_tcp(SocketAddr::from(([127, 0, 0, 1], 0)), 128).expect("a port is free");
    let address = first.local_addr().expect("it is bound");
    let more = (1..sockets).map(|_| sys::listen_tcp(address, 128).expect("a port is free"));
    (address, std::iter::once(first).chain(more).collect())
}

fn start_on(address: SocketAddr, inherited: Vec<TcpListener>, cores: u32) -> Edge {
    let config: EdgeConfig =
        toml::from_str(&format!("http = ['{address}']\ncores = {cores}")).expect("the edge is good");
    let site: SiteConfig =
        toml::from_str("route = { '/' = { respond = { body = 'new' } } }").expect("the site is good");
    let parts = EdgeParts {
        config,
        sites: Named::from([(Name::new("default"), site)]),
        pools: Default::default(),
        pushes: None,
        dir: ".".into(),
        data: "data".into(),
        cdn: None,
        dns: None,
    };
    Edge::start(parts, telemetry::Registry::new(), inherited).expect("the edge starts")
}

#[test]
fn one_core_serves_all_the_sockets_of_a_node_with_many() {
    let (address, sockets) = left_behind(128);
    let _edge = start_on(address, sockets, 1);
    for _ in 0..200 {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert!(response.ends_with("new"), "{response}");
    }
}

#[test]
fn more_cores_than_sockets_were_left_behind_all_get_one() {
    let (address, sockets) = left_behind(1);
    let edge = start_on(address, sockets, 3);
    assert_eq!(edge.listeners().unwrap().len(), 3);
}

#[test]
fn a_header_that_frames_a_response_cannot_be_hidden() {
    let site: SiteConfig = toml::from_str("hide_headers = ['Content-Length', 'server']").unwrap();
    let mut faults = Faults::default();
    edge::check(&EdgeConfig::default(), &Named::from([(Name::new("default"), site)]), &mut faults);
    let told = format!("{faults:?}");
    assert!(told.contains("Content-Length") && !told.contains("server"), "{told}");
}
