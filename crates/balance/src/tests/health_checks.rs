//! Checks against real servers on the loopback.

use super::world::*;
use crate::{HealthConfig, PoolConfig, Settings, State};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// Checks an endpoint of a pool without TLS.
async fn check(rules: &HealthConfig, address: SocketAddr) -> Result<String, String> {
    let plain = Settings::from(PoolConfig::default());
    crate::health::check(rules, address, &plain.transport, "").await
}

/// Longer than any check here takes, and far below the hour that would be a hang.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn rules(toml: &str) -> HealthConfig {
    toml::from_str(&format!("timeout = \"20s\"\n{toml}")).expect("the test's own configuration")
}

pub(super) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that refuses connections, for as long as the socket lives: bound, and not listening.
fn unused() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An HTTP/1 server that answers every request the same way.
async fn http(
    answer: impl Fn(Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> SocketAddr {
    let (listener, address) = listener().await;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| {
                let response = answer(request);
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

/// A server that does this with each connection once it has read something from it.
async fn raw<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = stream.read(&mut [0; 4096]).await;
            assert!(asked.is_ok_and(|bytes| bytes > 0));
            tokio::spawn(serve(stream));
        }
    });
    address
}

pub(super) fn status(status: u16) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("x-state", "fine")
        .body(Full::from("all is well, thanks"))
        .unwrap()
}

#[tokio::test]
async fn a_status_decides() {
    let address = http(|request| status(request.uri().path()[1..].parse().unwrap())).await;
    assert_eq!(check(&rules("http = \"/204\""), address).await, Ok("GET /204 answered 204".into()));
    assert_eq!(check(&rules("http = \"/404\""), address).await, Err("GET /404 answered 404".into()));
    assert!(check(&rules("http = \"/404\"\nstatus = \"200,404\""), address).await.is_ok());
}

#[tokio::test]
async fn headers_and_body_decide_too() {
    let address = http(|_| status(200)).await;
    let found = |toml: &'static str| async move { check(&rules(toml), address).await };
    assert!(found("http = \"/\"\nheaders = { X-State = \"fine\" }\nbody = \"well\"").await.is_ok());
    let error = found("http = \"/\"\nheaders = { x-state = \"bad\" }").await.unwrap_err();
    assert_eq!(error, "GET / answered 200 with \"fine\" as x-state, not \"bad\"");
    let error = found("http = \"/\"\nheaders = { x-other = \"1\" }").await.unwrap_err();
    assert_eq!(error, "GET / answered 200 with nothing as x-other, not \"1\"");
    let error = found("http = \"/\"\nbody = \"ill\"").await.unwrap_err();
    assert!(error.contains("without \"ill\""), "{error}");
}

#[tokio::test]
async fn a_check_names_its_host_and_closes_its_connection() {
    let address = http(|request| {
        let is_right = request.headers()["host"] == "shop.test" && request.headers()["connection"] == "close";
        status(if is_right { 200 } else { 400 })
    })
    .await;
    assert!(check(&rules("http = \"/\"\nhost = \"shop.test\""), address).await.is_ok());
    assert!(check(&rules("http = \"/\""), address).await.is_err());
}

#[tokio::test]
async fn a_body_counts_only_within_its_first_64_kib() {
    let address = http(|request| {
        let before: usize = request.uri().path()[1..].parse().unwrap();
        Response::new(Full::from([vec![b'x'; before], b"well".to_vec()].concat()))
    })
    .await;
    assert!(check(&rules("http = \"/65532\"\nbody = \"well\""), address).await.is_ok());
    assert!(check(&rules("http = \"/65533\"\nbody = \"well\""), address).await.is_err());
}

#[tokio::test]
async fn an_endless_body_is_read_only_so_far() {
    let address = raw(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sent = stream.write_all(head).await;
        while sent.is_ok() {
            sent = stream.write_all(b"400\r\n").await;
            sent = sent.and(stream.write_all(&[b'x'; 0x400]).await).and(stream.write_all(b"\r\n").await);
        }
    })
    .await;
    let found =
        tokio::time::timeout(PATIENCE, check(&rules("http = \"/\"\nbody = \"y\""), address)).await.unwrap();
    assert!(found.unwrap_err().contains("without \"y\""));
}

#[tokio::test]
async fn one_timeout_holds_for_the_whole_check() {
    let silent = raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let dribbling = raw(|mut stream| async move {
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while sent.is_ok() {
            tokio::time::sleep(10 * MS).await;
            sent = stream.write_all(b"x").await;
        }
    })
    .await;
    for (address, toml) in
        [(silent, "http = \"/\""), (silent, "grpc = \"\""), (dribbling, "http = \"/\"\nbody = \"y\"")]
    {
        let rules = HealthConfig { timeout: notation::Duration::millis(200), ..rules(toml) };
        let found = tokio::time::timeout(PATIENCE, check(&rules, address)).await.unwrap();
        let cause = found.unwrap_err();
        assert!(cause.ends_with("took longer than 200ms"), "{cause}");
    }
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp_and_a_refusal_is_named() {
    let (held, address) = listener().await;
    assert!(check(&rules("tcp = true"), address).await.is_ok());
    drop(held);
    let (_unused, address) = unused();
    assert_eq!(check(&rules("tcp = true"), address).await, Err("connection refused".into()));
}

#[tokio::test]
async fn another_port_can_be_checked() {
    let (_held, address) = listener().await;
    let (_unused, other) = unused();
    assert!(check(&rules(&format!("tcp = true\nport = {}", address.port())), other).await.is_ok());
}

#[tokio::test]
async fn what_is_no_http_fails() {
    let address = raw(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.test ESMTP\r\n").await;
    })
    .await;
    let error = check(&rules("http = \"/\""), address).await.unwrap_err();
    assert!(error.starts_with("GET /: "), "{error}");
}

/// A gRPC health server: "shop" serves, "down" does not, others are unknown to it.
async fn grpc() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer_grpc));
            tokio::spawn(connection);
        }
    });
    address
}

pub(super) async fn answer_grpc(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let is_right = request.uri().path() == "/grpc.health.v1.Health/Check"
        && request.method() == "POST"
        && request.headers()["content-type"] == "application/grpc"
        && request.headers()["te"] == "trailers";
    let asked = request.into_body().collect().await.unwrap().to_bytes();
    let status = match &asked[5..] {
        b"" | b"\x0a\x04shop" => 1,
        b"\x0a\x04down" => 2,
        _ => {
            let head =
                Response::builder().header("grpc-status", "5").header("grpc-message", "unknown service");
            return Ok(head.body(Empty::new().boxed()).unwrap());
        }
    };
    let trailers = hyper::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let message = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]));
    let body = message.with_trailers(async move { Some(Ok(trailers)) }).boxed();
    let head = Response::builder()
        .status(if is_right { 200 } else { 400 })
        .header("content-type", "application/grpc");
    Ok(head.body(body).unwrap())
}

#[tokio::test]
async fn grpc_health_is_asked_by_service() {
    let address = grpc().await;
    let found =
        |service: &'static str| async move { check(&rules(&format!("grpc = \"{service}\"")), address).await };
    assert_eq!(found("").await, Ok("Health/Check answered SERVING".into()));
    assert_eq!(found("shop").await, Ok("Health/Check of shop answered SERVING".into()));
    assert_eq!(found("down").await, Err("Health/Check of down answered NOT_SERVING".into()));
    assert_eq!(
        found("else").await,
        Err("Health/Check of else failed with gRPC status 5: unknown service".into())
    );
}

#[tokio::test]
async fn a_pool_follows_its_endpoints_up_and_down_and_stops_when_told() {
    let (healthy, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let address = http({
        let (healthy, asked) = (Arc::clone(&healthy), Arc::clone(&asked));
        move |_| {
            asked.fetch_add(1, SeqCst);
            status(if healthy.load(SeqCst) { 200 } else { 500 })
        }
    })
    .await;
    let world = World::new(&format!(
        "servers = [\"{address}\"]\nhealth = {{ http = \"/\", every = \"20ms\", timeout = \"20s\" }}"
    ));
    let name = address.to_string();
    assert!(!world.pool.is_ready());
    let drain = flow::Drain::new();
    let running = tokio::spawn(Arc::clone(&world.pool).run(drain.watch()));
    until(|| world.state(&name) == State::Healthy).await;
    assert!(world.pool.is_ready());
    healthy.store(false, SeqCst);
    until(|| world.state(&name) == State::Unhealthy).await;
    assert_eq!(world.pool.available(), 0);
    healthy.store(true, SeqCst);
    until(|| world.state(&name) == State::Healthy).await;
    assert!(world.registry.render().contains("to=\"unhealthy\"} 1"));
    drain.start();
    running.await.unwrap();
    // Checks end with the pool's run: whoever still held the pool would be a task without an owner.
    assert!(asked.load(SeqCst) >= 5);
    assert_eq!(Arc::strong_count(&world.pool), 1);
}

#[tokio::test]
async fn an_endpoint_that_is_still_starting_is_found_soon() {
    let asked = AtomicUsize::new(0);
    let address = http(move |_| status(if asked.fetch_add(1, SeqCst) < 2 { 503 } else { 200 })).await;
    let world = World::new(&format!(
        "servers = [\"{address}\"]\nhealth = {{ http = \"/\", every = \"1h\", timeout = \"20s\", rise = 5 }}"
    ));
    let drain = flow::Drain::new();
    let running = tokio::spawn(Arc::clone(&world.pool).run(drain.watch()));
    let name = address.to_string();
    until(|| world.state(&name) == State::Unhealthy).await;
    until(|| world.state(&name) == State::Healthy).await;
    drain.start();
    running.await.unwrap();
}

pub(super) async fn until(mut is_met: impl FnMut() -> bool) {
    let met = async {
        while !is_met() {
            tokio::time::sleep(5 * MS).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("it happens in time");
}
