//! An ACME server (RFC 8555) that is strict: signatures, nonces and URLs are checked, challenges are looked at over
//! the network, requests must be for what was ordered.

mod jose;
mod look;
mod resources;

use crate::authority::Authority;
use acme::Clock;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running server, which ends with this.
pub(crate) struct AcmeServer {
    pub(crate) directory: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    base: String,
    clock: Clock,
    authority: Authority,
    inner: Mutex<Inner>,
}

/// What a test may look at and change.
#[derive(Default)]
pub(crate) struct Inner {
    nonces: HashSet<String>,
    last_number: u64,
    pub(crate) accounts: Vec<Account>,
    pub(crate) orders: Vec<Order>,
    /// Attempts to order, refused ones included.
    pub(crate) order_attempts: usize,
    pub(crate) script: Script,
}

/// How the server is to behave.
#[derive(Clone)]
pub(crate) struct Script {
    /// Where names lead: every challenge must be answered at all of them.
    pub(crate) nodes: Vec<Address>,
    /// How long certificates live.
    pub(crate) life: Duration,
    /// Nonces that are refused though they are good.
    pub(crate) bad_nonces: u32,
    /// `Retry-After` of the refusal of new orders.
    pub(crate) rate_limited: Option<&'static str>,
    /// How long a challenge that is not answered is looked at again (RFC 8555 §8.2).
    pub(crate) looks_again_for: Duration,
    /// Looking at a challenge never ends.
    pub(crate) never_looks: bool,
    /// A challenge is looked at once this is true.
    pub(crate) hold: Option<watch::Receiver<bool>>,
    /// What new accounts must be bound to: key identifier and key.
    pub(crate) external: Option<(&'static str, &'static [u8])>,
    /// Which challenges are offered.
    pub(crate) offers: &'static [&'static str],
}

impl Default for Script {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            life: DAY * 90,
            bad_nonces: 0,
            rate_limited: None,
            looks_again_for: Duration::ZERO,
            never_looks: false,
            hold: None,
            external: None,
            offers: &["dns-01", "http-01", "tls-alpn-01"],
        }
    }
}

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Where a name leads: the ports 80 and 443.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub(crate) http: SocketAddr,
    pub(crate) tls: SocketAddr,
}

pub(crate) struct Account {
    pub(crate) contact: Vec<String>,
    public_key: Vec<u8>,
    thumbprint: String,
    /// The server has lost it.
    pub(crate) is_lost: bool,
}

pub(crate) struct Order {
    account: usize,
    pub(crate) name: String,
    token: String,
    pub(crate) status: &'static str,
    pub(crate) shown_by: Option<String>,
    challenge_error: Option<String>,
    chain: Option<String>,
}

/// An error of RFC 8555 §6.7.
struct Problem {
    status: u16,
    kind: &'static str,
    detail: String,
    retry_after: Option<&'static str>,
}

impl Problem {
    fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), retry_after: None }
    }
}

/// A good answer.
struct Answer {
    status: u16,
    location: Option<String>,
    body: Bytes,
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, location: None, body: body.to_string().into() }
    }
}

impl AcmeServer {
    /// One on plain HTTP.
    pub(crate) async fn start(clock: Clock) -> Self {
        Self::start_with(clock, Authority::new("test authority"), None).await
    }

    /// One of this authority, with TLS if it is given a configuration.
    pub(crate) async fn start_with(
        clock: Clock,
        authority: Authority,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = match &tls {
            None => format!("http://127.0.0.1:{port}"),
            Some(_) => format!("https://localhost:{port}"),
        };
        let state = Arc::new(State { base: base.clone(), clock, authority, inner: Mutex::default() });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&serving);
                let tls = tls.clone().map(tokio_rustls::TlsAcceptor::from);
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { directory: format!("{base}/directory"), state, task }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.inner.lock().unwrap()
    }

    /// How often an order was tried, and how many accounts there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.order_attempts, inner.accounts.len())
    }

    /// Changes how it behaves.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.inner().script);
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.state.authority
    }
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, state: Arc<State>) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(respond(&state, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ended = served.await;
}

async fn respond(state: &Arc<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let agent = request.headers().get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    assert!(agent.starts_with("nines/"), "RFC 8555 §6.1: {agent}");
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let outcome = match (method, path.as_str()) {
        (Method::GET, "/directory") => Ok(Answer::json(200, &resources::directory(&state.base))),
        (Method::HEAD, "/new-nonce") => Ok(Answer { status: 200, location: None, body: Bytes::new() }),
        (Method::POST, _) => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            resources::post(state, &path, &body).await
        }
        _ => Err(Problem::new(405, "malformed", "no such method here")),
    };
    let mut response = match outcome {
        Ok(answer) => {
            let mut response = Response::new(Full::new(answer.body));
            *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
            let location = answer.location.map(|location| HeaderValue::try_from(location).unwrap());
            response.headers_mut().extend(location.map(|location| (http::header::LOCATION, location)));
            response
        }
        Err(problem) => {
            let kind = format!("urn:ietf:params:acme:error:{}", problem.kind);
            let body = json!({ "type": kind, "detail": problem.detail, "status": problem.status });
            let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
            *response.status_mut() = StatusCode::from_u16(problem.status).unwrap();
            let later = problem.retry_after.map(HeaderValue::from_static);
            response.headers_mut().extend(later.map(|later| (http::header::RETRY_AFTER, later)));
            response
        }
    };
    let nonce = state.nonce();
    response.headers_mut().insert("replay-nonce", HeaderValue::try_from(nonce).unwrap());
    response
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A new nonce, which is good once (RFC 8555 §6.5).
    fn nonce(&self) -> String {
        let mut inner = self.inner();
        inner.last_number += 1;
        let nonce = format!("nonce-{}", inner.last_number);
        inner.nonces.insert(nonce.clone());
        nonce
    }
}
