//! Endpoints behind TLS, over HTTP/2 and behind PROXY headers: how they are checked, and what a pool says of it.

use super::health_checks::{answer_grpc, listener, rules, status, until};
use super::world::*;
use crate::{Pool, PoolConfig, PoolContext, Protocol, ProxyVersion, Settings, State};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// A folder with the certificate of `app.test` in `NAME.pem`, and its key in `NAME.key`.
fn folder(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), name);
    dir
}

fn certificate(dir: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["app.test".to_owned()]).unwrap();
    std::fs::write(dir.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
}

fn acceptor(dir: &Path, name: &str, alpn: &[&[u8]], asks: bool) -> TlsAcceptor {
    let builder = rustls::ServerConfig::builder_with_provider(tls::provider().clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let chain = vec![CertificateDer::from_pem_file(dir.join(format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
    let builder = if asks {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.join("client.pem")).unwrap()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            tls::provider().clone(),
        );
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Says in the answer's status how it was asked: 211 for HTTP/1.1, 220 for HTTP/2.
async fn answer(
    request: Request<Incoming>,
) -> Result<hyper::Response<http_body_util::Full<bytes::Bytes>>, Infallible> {
    let said = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let authority = request.uri().authority().map(ToString::to_string).or_else(|| said("host"));
    let mut response = status(if request.version() == Version::HTTP_2 { 220 } else { 211 });
    response.headers_mut().insert("x-authority", authority.unwrap().parse().unwrap());
    Ok(response)
}

/// A server behind TLS that speaks HTTP/1.1, HTTP/2 or gRPC's health by what ALPN agrees on; without ALPN it speaks
/// `otherwise`.
async fn secure(acceptor: TlsAcceptor, otherwise: &'static [u8]) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let speaks = stream.get_ref().1.alpn_protocol().unwrap_or(otherwise).to_vec();
                let io = TokioIo::new(stream);
                if speaks == b"h2" {
                    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = served.serve_connection(io, service_fn(either)).await;
                } else {
                    let served = hyper::server::conn::http1::Builder::new();
                    let _ = served.serve_connection(io, service_fn(answer)).await;
                }
            });
        }
    });
    address
}

async fn either(
    request: Request<Incoming>,
) -> Result<hyper::Response<http_body_util::combinators::BoxBody<bytes::Bytes, Infallible>>, Infallible> {
    if request.method() == "POST" {
        answer_grpc(request).await
    } else {
        let response = answer(request).await?;
        Ok(response.map(http_body_util::BodyExt::boxed))
    }
}

/// A pool with these keys checks an address.
async fn found(dir: &Path, pool: &str, health: &str, address: SocketAddr) -> Result<String, String> {
    let settings = Settings::load(config(pool), "web", dir).unwrap();
    crate::health::check(&rules(health), address, &settings.transport, "app.test").await
}

#[tokio::test]
async fn a_pool_with_tls_is_checked_over_tls() {
    let dir = folder("app");
    let address = secure(acceptor(dir.path(), "app", &[b"h2", b"http/1.1"], false), b"http/1.1").await;
    let believes = "tls = { ca = \"app.pem\" }";
    let http = "http = \"/\"\nheaders = { x-authority = \"app.test\" }";
    let dir = dir.path();
    assert_eq!(found(dir, believes, http, address).await, Ok("GET / answered 211".into()));
    assert_eq!(found(dir, believes, "tcp = true", address).await, Ok("accepted a TLS connection".into()));
    // gRPC is HTTP/2, whatever requests speak.
    assert_eq!(
        found(dir, believes, "grpc = \"shop\"", address).await,
        Ok("Health/Check of shop answered SERVING".into())
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_fails_every_check() {
    let dir = folder("app");
    certificate(dir.path(), "other");
    let address = secure(acceptor(dir.path(), "app", &[], false), b"http/1.1").await;
    let dir = dir.path();
    for health in ["http = \"/\"", "tcp = true", "grpc = \"\""] {
        for pool in ["tls = { ca = \"other.pem\" }", "tls = { ca = \"app.pem\", server_name = \"b.test\" }"] {
            let cause = found(dir, pool, health, address).await.unwrap_err();
            assert!(cause.starts_with("TLS with app.test: invalid peer certificate"), "{cause}");
        }
        let trusting =
            found(dir, "tls = { verify = false, server_name = \"b.test\" }", "tcp = true", address);
        assert!(trusting.await.is_ok());
    }
}

#[tokio::test]
async fn an_endpoint_that_wants_a_certificate_is_shown_the_pools() {
    let dir = folder("app");
    certificate(dir.path(), "client");
    let address = secure(acceptor(dir.path(), "app", &[], true), b"http/1.1").await;
    let dir = dir.path();
    let shows = "tls = { ca = \"app.pem\", cert = \"client.pem\", key = \"client.key\" }";
    assert!(found(dir, shows, "http = \"/\"", address).await.is_ok());
    assert!(found(dir, "tls = { ca = \"app.pem\" }", "http = \"/\"", address).await.is_err());
}

#[tokio::test]
async fn a_pool_that_speaks_http2_is_checked_over_http2() {
    let dir = folder("app");
    let pool = "protocol = \"http2\"\ntls = { ca = \"app.pem\" }";
    let asked = Ok("GET / answered 220".into());
    // By ALPN, and by an endpoint that knows no ALPN but HTTP/2.
    for alpn in [&[&b"h2"[..]][..], &[]] {
        let address = secure(acceptor(dir.path(), "app", alpn, false), b"h2").await;
        let health = "http = \"/\"\nheaders = { x-authority = \"app.test\" }";
        assert_eq!(found(dir.path(), pool, health, address).await, asked);
        assert!(found(dir.path(), pool, "grpc = \"\"", address).await.is_ok());
    }
    // Without TLS.
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(served.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    assert_eq!(found(dir.path(), "protocol = \"http2\"", "http = \"/\"", address).await, asked);
    let cause = found(dir.path(), "", "http = \"/\"", address).await.unwrap_err();
    assert!(cause.starts_with("GET /: "), "the server knows no HTTP/1.1: {cause}");
}

#[tokio::test]
async fn a_check_begins_as_live_connections_do_unless_it_asks_another_port() {
    for (pool, begins) in [
        ("proxy_protocol = \"v1\"", &b"PROXY UNKNOWN\r\nGET / "[..]),
        ("proxy_protocol = \"v2\"", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / "),
        ("", b"GET / "),
    ] {
        let (listener, address) = listener().await;
        let read = tokio::spawn(async move {
            let mut begun = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; begins.len()];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                begun.push(bytes);
            }
            begun
        });
        let dir = Path::new("");
        assert!(found(dir, pool, "http = \"/\"", address).await.is_ok());
        let same_port = format!("http = \"/a/long/path/for/it\"\nport = {}", address.port());
        assert!(found(dir, pool, &same_port, address).await.is_ok());
        let begun = read.await.unwrap();
        assert_eq!(begun[0], begins);
        assert!(begun[1].starts_with(b"GET /"), "{begun:?}");
    }
}

fn pool(settings: impl Into<Settings>) -> Arc<Pool> {
    let registry = telemetry::Registry::new();
    let context = PoolContext { name: "web".into(), at: None, secret: [7; 16], registry };
    Pool::new(context, settings)
}

#[tokio::test]
async fn a_pool_says_how_its_endpoints_are_spoken_to() {
    let dir = folder("app");
    let load = |toml: &str| Settings::load(config(toml), "web", dir.path()).unwrap();
    let servers = "servers = [\"10.0.0.1:443\", \"app-1:443\"]\n";
    let plain = pool(config(servers));
    assert!(plain.transport().tls().is_none());
    assert_eq!(plain.transport().protocol(), Protocol::Http1);
    let secure = pool(load(&format!(
        "{servers}protocol = \"http2\"\nproxy_protocol = \"v2\"\ntls = {{ ca = \"app.pem\" }}"
    )));
    let transport = secure.transport().clone();
    assert_eq!(transport.protocol(), Protocol::Http2);
    assert_eq!(transport.proxy_protocol(), Some(ProxyVersion::V2));
    assert_eq!(transport.tls().unwrap().config().alpn_protocols, [b"h2"]);

    // The name that is asked for: of the file, of the address in the file, or the address.
    let names = |toml: &str, resolved: &str| {
        let pool = pool(load(toml));
        pool.resolved(resolved, vec![[10, 0, 0, 2].into()], pool_now());
        pool.set_instances(vec![instance("shop-1", 443)]);
        let endpoints = pool.checked_endpoints();
        let transport = pool.transport().clone();
        let mut names: Vec<String> =
            endpoints.iter().map(|endpoint| format!("{:?}", transport.server_name(endpoint))).collect();
        names.sort();
        names.dedup();
        names.join(" ")
    };
    let tls = "tls = { ca = \"app.pem\" }\n";
    let dns = |name: &str| format!("{:?}", ServerName::try_from(name.to_owned()).unwrap());
    assert_eq!(names(&format!("{tls}{servers}"), "app-1"), format!("{} {}", dns("app-1"), dns("10.0.0.1")));
    assert_eq!(names(&format!("{tls}dns = \"app.internal:443\""), "app.internal"), dns("app.internal"));
    assert_eq!(names(&format!("{tls}service = \"shop\""), ""), dns("127.0.0.1"));
    let named = "tls = { ca = \"app.pem\", server_name = \"app.test\" }\n";
    assert_eq!(names(&format!("{named}{servers}"), "app-1"), dns("app.test"));
}

fn pool_now() -> std::time::Instant {
    crate::pool::now()
}

#[tokio::test]
async fn a_transport_stays_the_same_until_a_part_of_it_changes() {
    let dir = folder("app");
    let load = |toml: &str| Settings::load(config(toml), "web", dir.path()).unwrap();
    let of = |more: &str| load(&format!("servers = [\"a:1\"]\n{more}"));
    let pool = pool(of("tls = { ca = \"app.pem\" }"));
    let first = pool.transport().clone();
    pool.apply(of("tls = { ca = \"app.pem\" }\nbalance = \"random\""));
    assert!(Arc::ptr_eq(&first, &pool.transport()));
    for changed in [
        "tls = { ca = \"app.pem\", server_name = \"b.test\" }",
        "protocol = \"http2\"",
        "proxy_protocol = \"v1\"",
    ] {
        let before = pool.transport().clone();
        pool.apply(of(changed));
        assert!(!Arc::ptr_eq(&before, &pool.transport()), "{changed}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_of_the_pool() {
    let dir = folder("app");
    let error = Settings::load(config("tls = { ca = \"none.pem\" }"), "web", dir.path()).unwrap_err();
    let path = dir.path().join("none.pem");
    assert_eq!(
        error.to_string(),
        format!("pool web: tls: {}: No such file or directory (os error 2)", path.display())
    );
}

#[test]
#[should_panic(expected = "made by Settings::load")]
fn a_pool_with_tls_is_never_spoken_to_in_plain_text() {
    let _ = Settings::from(PoolConfig { tls: Some(tls::ClientTls::default()), ..PoolConfig::default() });
}

#[tokio::test]
async fn a_running_pool_follows_changes_of_its_files() {
    let dir = folder("app");
    certificate(dir.path(), "other");
    let address = secure(acceptor(dir.path(), "app", &[], false), b"http/1.1").await;
    std::fs::copy(dir.path().join("other.pem"), dir.path().join("ca.pem")).unwrap();
    let toml = format!(
        "servers = [\"{address}\"]\ntls = {{ ca = \"ca.pem\", server_name = \"app.test\" }}\n\
         health = {{ http = \"/\", every = \"20ms\", timeout = \"20s\" }}"
    );
    let world = World::with(Settings::load(config(&toml), "web", dir.path()).unwrap());
    let drain = flow::Drain::new();
    let running = tokio::spawn(Arc::clone(&world.pool).run(drain.watch()));
    let name = address.to_string();
    until(|| world.state(&name) == State::Unhealthy).await;
    std::fs::rename(dir.path().join("app.pem"), dir.path().join("ca.pem")).unwrap();
    until(|| world.state(&name) == State::Healthy).await;
    drain.start();
    running.await.unwrap();
}
