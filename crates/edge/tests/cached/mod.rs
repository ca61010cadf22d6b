//! Routes with a cache, as clients and the origin see them: raw bytes on real sockets.

#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

use crate::world::{World, get, wait_until};
use cdn::{CdnConfig, Engine, EngineConfig};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// An origin that answers each request by a function of its head and of how many came before.
struct Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    /// `answer` writes; `false` ends the connection.
    fn new(answer: impl Fn(&mut TcpStream, &str, usize) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (shared, answer) = (Arc::clone(&seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (seen, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                std::thread::spawn(move || {
                    while let Some(head) = read_head(&mut stream) {
                        let before = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(head.clone());
                            seen.len() - 1
                        };
                        if !answer(&mut stream, &head, before) {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Answers with these fields, and a body that counts the requests.
    fn counting(fields: &'static str) -> Self {
        Self::new(move |stream, _, before| respond(stream, "200 OK", fields, &format!("body {before}")))
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn respond(stream: &mut TcpStream, status: &str, fields: &str, body: &str) -> bool {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}").is_ok()
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).ok()
}

/// What a thread of the origin waits for.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |is_open| !*is_open).unwrap());
    }
}

/// An edge before the origin; `cdn` and `site` are of the file.
fn world(origin: &Origin, cdn: &str, site: &str) -> World {
    let config: CdnConfig = toml::from_str(cdn).expect("the cache is good");
    let engine = Arc::new(Engine::open(&EngineConfig::of_memory(config.memory.get())).unwrap());
    let site = format!("{site}\nroute = {{ '/' = {{ pool = 'p', cache = 'cdn' }} }}");
    World::with_cdn(origin.address, edge::Cdn { engine, config }, &site)
}

fn plain(origin: &Origin) -> World {
    world(origin, "", "")
}

fn with(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// One answer on a connection of its own.
fn ask(world: &World, request: &str) -> String {
    let mut client = world.connect();
    client.send(request);
    client.response()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n").unwrap().0;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn a_response_that_is_kept_answers_the_next_request_and_says_so() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\nAge: 5\r\n");
    let world = plain(&origin);
    let first = ask(&world, &get("/"));
    assert_eq!(body(&first), "body 0");
    assert_eq!(field(&first, "Cache-Status"), Some("nines; fwd=uri-miss; ttl=55; stored"), "{first}");
    let second = ask(&world, &get("/"));
    assert_eq!(body(&second), "body 0");
    let status = field(&second, "Cache-Status").unwrap();
    assert!(status.starts_with("nines; hit; ttl=5"), "{second}");
    assert!(field(&second, "Age").unwrap().parse::<u32>().unwrap() >= 5, "{second}");
    assert!(field(&second, "X-Request-Id").is_some() && field(&second, "Date").is_some(), "{second}");
    assert_eq!(origin.asked(), 1);
    assert!(origin.seen()[0].contains("Surrogate-Capability: nines=\"Surrogate/1.0\"\r\n"));
    assert_eq!(body(&ask(&world, &get("/other"))), "body 1");
}

#[test]
fn what_may_not_be_kept_is_asked_for_each_time_without_fields_that_are_for_caches() {
    let origin = Origin::counting("Cache-Control: no-store\r\nSurrogate-Key: a\r\n");
    let world = plain(&origin);
    for count in 0..3 {
        let answer = ask(&world, &get("/"));
        assert_eq!(body(&answer), format!("body {count}"));
        assert_eq!(field(&answer, "Surrogate-Key"), None, "{answer}");
        assert!(field(&answer, "Cache-Status").unwrap().starts_with("nines; fwd=uri-miss"), "{answer}");
    }
}

#[test]
fn what_becomes_fit_to_be_kept_is_kept_again() {
    let origin = Origin::new(|stream, _, before| {
        let fields =
            if before == 0 { "Cache-Control: no-store\r\n" } else { "Cache-Control: max-age=60\r\n" };
        respond(stream, "200 OK", fields, &format!("body {before}"))
    });
    let world = plain(&origin);
    let bodies: Vec<String> = (0..4).map(|_| body(&ask(&world, &get("/"))).to_owned()).collect();
    assert_eq!(bodies, ["body 0", "body 1", "body 2", "body 2"]);
}

#[test]
fn a_crowd_is_served_by_one_fetch() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::new(move |stream, _, before| {
        gate.pass();
        respond(stream, "200 OK", "Cache-Control: max-age=60\r\n", &format!("body {before}"))
    });
    let world = plain(&origin);
    let mut clients: Vec<_> = (0..50).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.send(&get("/"));
    }
    wait_until("the origin is asked", || origin.asked() == 1);
    opened.open();
    let answers: Vec<String> = clients.iter_mut().map(crate::world::Client::response).collect();
    assert!(answers.iter().all(|answer| body(answer) == "body 0"));
    assert_eq!(origin.asked(), 1);
}

#[test]
fn a_body_that_is_too_short_is_broken_off_and_not_kept() {
    let origin = Origin::new(|stream, _, before| match before {
        0 => {
            let fields = "Cache-Control: max-age=60\r\nContent-Length: 100";
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\nshort");
            false
        }
        1 => {
            let fields = "Cache-Control: max-age=60\r\nTransfer-Encoding: chunked";
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nshort\r\n");
            false
        }
        _ => respond(stream, "200 OK", "Cache-Control: max-age=60\r\n", "whole"),
    });
    let world = plain(&origin);
    let first = world.ask(&get("/"));
    assert!(
        first.contains("Content-Length: 100\r\n") && first.len() < 500 && !first.ends_with("whole"),
        "{first}"
    );
    let second = world.ask(&get("/"));
    assert!(second.contains("chunked") && !second.ends_with("0\r\n\r\n"), "{second}");
    assert_eq!(body(&ask(&world, &get("/"))), "whole");
}

#[test]
fn what_is_stale_is_confirmed_and_fresh_again() {
    let origin = Origin::new(|stream, head, before| {
        if head.contains("If-None-Match: \"v\"\r\n") {
            let fields = "ETag: \"v\"\r\nCache-Control: max-age=60\r\nX-New: 1\r\n\r\n";
            return write!(stream, "HTTP/1.1 304 Not Modified\r\n{fields}").is_ok();
        }
        respond(stream, "200 OK", "ETag: \"v\"\r\nCache-Control: max-age=0\r\n", &format!("body {before}"))
    });
    let world = plain(&origin);
    assert_eq!(body(&ask(&world, &get("/"))), "body 0");
    let confirmed = ask(&world, &get("/"));
    assert_eq!((body(&confirmed), field(&confirmed, "X-New")), ("body 0", Some("1")), "{confirmed}");
    assert!(field(&confirmed, "Cache-Status").unwrap().contains("fwd=stale; fwd-status=304"), "{confirmed}");
    assert!(field(&ask(&world, &get("/")), "Cache-Status").unwrap().contains("hit"));
    assert_eq!(origin.asked(), 2);
}

#[test]
fn what_is_stale_is_served_while_it_is_asked_for_anew() {
    let origin = Origin::counting("Cache-Control: max-age=0, stale-while-revalidate=60\r\nETag: \"v\"\r\n");
    let world = plain(&origin);
    assert_eq!(body(&ask(&world, &get("/"))), "body 0");
    assert_eq!(body(&ask(&world, &get("/"))), "body 0");
    wait_until("the origin is asked anew", || origin.asked() == 2);
    wait_until("what is new is kept", || body(&ask(&world, &get("/"))) != "body 0");
}

#[test]
fn what_is_stale_stands_in_for_an_origin_that_fails() {
    let origin = Origin::new(|stream, _, before| match before {
        0 => respond(
            stream,
            "200 OK",
            "Cache-Control: max-age=0, stale-if-error=60\r\nETag: \"v\"\r\n",
            "kept",
        ),
        1 => respond(stream, "503 Service Unavailable", "", "failed"),
        _ => false,
    });
    let world = plain(&origin);
    for _ in 0..3 {
        let answer = ask(&world, &get("/"));
        assert_eq!(body(&answer), "kept", "{answer}");
    }
    assert!(ask(&world, &get("/other")).starts_with("HTTP/1.1 502 "));
}

#[test]
fn responses_that_vary_are_kept_for_each_value() {
    let origin = Origin::new(|stream, head, _| {
        let shape = head.lines().find_map(|line| line.strip_prefix("X-Shape: ")).unwrap_or("none");
        respond(stream, "200 OK", "Cache-Control: max-age=60\r\nVary: X-Shape\r\n", shape)
    });
    let world = plain(&origin);
    for shape in ["round", "flat", "round", "flat"] {
        assert_eq!(body(&ask(&world, &with("/", &format!("X-Shape: {shape}\r\n")))), shape);
    }
    assert_eq!(body(&ask(&world, &get("/"))), "none");
    assert_eq!(origin.asked(), 3);
}

#[test]
fn ranges_and_conditions_are_answered_from_what_is_kept() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\nETag: \"v\"\r\nLink: </a>\r\n");
    let world = plain(&origin);
    let part = ask(&world, &with("/", "Range: bytes=0-3\r\n"));
    assert!(part.starts_with("HTTP/1.1 206 ") && body(&part) == "body", "{part}");
    assert_eq!(field(&part, "Content-Range"), Some("bytes 0-3/6"));
    // The origin, which has no parts, was asked for a block, and all of it has come.
    assert!(origin.seen()[0].contains("Range: bytes=0-65535\r\n"), "{:?}", origin.seen());
    let part = ask(&world, &with("/", "Range: bytes=-1\r\n"));
    assert_eq!((body(&part), field(&part, "Content-Range")), ("0", Some("bytes 5-5/6")), "{part}");
    let beyond = ask(&world, &with("/", "Range: bytes=9-\r\n"));
    assert!(
        beyond.starts_with("HTTP/1.1 416 ") && beyond.contains("Content-Range: bytes */6\r\n"),
        "{beyond}"
    );
    let mut client = world.connect();
    client.send(&with("/", "If-None-Match: \"v\"\r\n"));
    let same = client.read_until("\r\n\r\n");
    assert!(same.starts_with("HTTP/1.1 304 ") && same.contains("ETag: \"v\"\r\n"), "{same}");
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.read_until("\r\n\r\n");
    assert!(head.contains("Content-Length: 6\r\n") && head.contains("; hit"), "{head}");
    assert_eq!(origin.asked(), 1);
}

#[test]
fn a_post_invalidates_what_is_kept_of_its_url_and_of_those_it_names() {
    let origin = Origin::new(|stream, head, before| {
        if head.starts_with("POST") {
            return respond(stream, "201 Created", "Location: /other\r\n", "");
        }
        respond(stream, "200 OK", "Cache-Control: max-age=60\r\n", &format!("body {before}"))
    });
    let world = plain(&origin);
    let all = || ["/", "/other", "/third"].map(|path| body(&ask(&world, &get(path))).to_owned());
    assert_eq!(all(), ["body 0", "body 1", "body 2"]);
    let posted = ask(&world, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 201 ") && posted.contains("fwd=method"), "{posted}");
    assert_eq!(all(), ["body 4", "body 5", "body 2"]);
}

#[test]
fn who_may_purge_does_and_others_hear_403() {
    let purge = "PURGE / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (networks, status, then) in
        [("['127.0.0.0/8']", "200", "body 1"), ("['192.0.2.0/24']", "403", "body 0")]
    {
        let origin = Origin::counting("Cache-Control: max-age=60\r\n");
        let world = world(&origin, &format!("purge = {networks}"), "");
        assert_eq!(body(&ask(&world, &get("/"))), "body 0");
        let answer = ask(&world, purge);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(body(&ask(&world, &get("/"))), then);
        assert!(origin.seen().iter().all(|head| head.starts_with("GET")));
    }
}

#[test]
fn an_http_1_0_client_is_served_what_has_no_length_until_the_end() {
    let origin = Origin::new(|stream, _, _| {
        let fields = "Cache-Control: max-age=60\r\nTransfer-Encoding: chunked";
        write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n").is_ok()
    });
    let world = plain(&origin);
    for _ in 0..2 {
        let answer = world.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert!(answer.ends_with("\r\n\r\nhello") && !answer.contains("chunked"), "{answer}");
    }
    assert_eq!(origin.asked(), 1);
    assert!(ask(&world, &get("/")).contains("; hit"));
}

#[test]
fn clients_of_http_1_and_of_http_2_share_what_is_kept() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let world = plain(&origin);
    for _ in 0..2 {
        let (status, cache_status, body) = ask_over_http2(world.address(), "/");
        assert_eq!((status, body.as_str()), (200, "body 0"));
        assert!(cache_status.starts_with("nines; "), "{cache_status}");
    }
    assert_eq!(body(&ask(&world, &get("/"))), "body 0");
    assert_eq!(origin.asked(), 1);
}

fn ask_over_http2(to: SocketAddr, path: &str) -> (u16, String, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = http::Request::get(format!("http://a{path}")).body(()).unwrap();
        let (response, _) = requests.ready().await.unwrap().send_request(request, true).unwrap();
        let (parts, mut stream) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(piece) = stream.data().await {
            body.extend_from_slice(&piece.unwrap());
        }
        driver.abort();
        let cache_status = parts.headers["cache-status"].to_str().unwrap().to_owned();
        (parts.status.as_u16(), cache_status, String::from_utf8(body).unwrap())
    })
}

#[test]
fn a_client_that_leaves_does_not_stop_the_fetch() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::new(move |stream, _, _| {
        let fields = "Cache-Control: max-age=60\r\nContent-Length: 10";
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\nfirst");
        gate.pass();
        write!(stream, " half").is_ok()
    });
    let world = plain(&origin);
    let mut client = world.connect();
    client.send(&get("/"));
    client.read_until("first");
    drop(client);
    opened.open();
    wait_until("the rest is kept", || {
        let answer = ask(&world, &get("/"));
        assert_eq!(body(&answer), "first half");
        answer.contains("; hit")
    });
    assert_eq!(origin.asked(), 1);
}

#[test]
fn what_is_kept_is_compressed_for_who_takes_it() {
    let text = Arc::<str>::from("hello ".repeat(500));
    let sent = Arc::clone(&text);
    let origin = Origin::new(move |stream, _, _| {
        respond(
            stream,
            "200 OK",
            "Cache-Control: max-age=60\r\nContent-Type: text/plain\r\nETag: \"v\"\r\n",
            &sent,
        )
    });
    let world = world(&origin, "", "compress = true");
    assert_eq!(body(&ask(&world, &get("/"))), &*text);
    let mut client = world.connect();
    client.send(&with("/", "Accept-Encoding: gzip\r\nConnection: close\r\n"));
    let answer = client.rest();
    let head = answer.split_once("\r\n\r\n").unwrap().0;
    for line in
        ["Content-Encoding: gzip", "ETag: W/\"v\"", "Vary: Accept-Encoding", "Transfer-Encoding: chunked"]
    {
        assert!(head.lines().any(|known| known == line), "{line}: {head}");
    }
    assert!(answer.len() < 1000 && head.contains("; hit"), "{head}");
    assert_eq!(body(&ask(&world, &get("/"))), &*text);
    assert_eq!(origin.asked(), 1);
}

#[test]
fn who_takes_only_what_is_kept_hears_504_where_nothing_is() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let world = plain(&origin);
    let only = with("/", "Cache-Control: only-if-cached\r\n");
    assert!(ask(&world, &only).starts_with("HTTP/1.1 504 "));
    ask(&world, &get("/"));
    assert!(ask(&world, &only).starts_with("HTTP/1.1 200 "));
    assert_eq!(origin.asked(), 1);
}
