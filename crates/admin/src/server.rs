//! Accepts connections, as many and as slow as the limits allow, and hands their requests over.

use crate::answers::Api;
use crate::problem::Problem;
use crate::{guard, routes};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use flow::Draining;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use topology::Running;

/// What a client of the API may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; what exceeds them waits in the kernel's backlog.
    pub connections: usize,
    /// Time to send a request's head, and between two requests of a connection.
    pub head: Duration,
    /// Time for a whole request, a reload included.
    pub request: Duration,
    /// Time for a request that pushes: it may copy to a bucket, and compress.
    pub push: Duration,
    /// Time after which a connection ends with its current request: one that does not read its answers
    /// must not keep its place for ever.
    pub connection: Duration,
    /// A request's body.
    pub body_bytes: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(10),
            request: Duration::from_secs(60),
            push: Duration::from_secs(600),
            connection: Duration::from_secs(600),
            body_bytes: 64 << 10,
            head_bytes: 16 << 10,
        }
    }
}

/// How long a connection may take to end after it was asked to.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// A pause when the kernel has no connection to give (no file descriptor left), so that we do not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until `stop` starts, and then until the requests under way are answered.
pub async fn serve(listener: TcpListener, running: Arc<Running>, token: Option<String>, stop: Draining) {
    serve_within(Limits::default(), listener, running, token, stop).await;
}

/// Serves the API within other limits.
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    running: Arc<Running>,
    token: Option<String>,
    stop: Draining,
) {
    let door = Door { token: token.map(Arc::from), running: Arc::clone(&running), limits };
    let app = routes::router(Api::new(running, door.token.is_some()))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(from_fn_with_state(door, admit));
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.started() => break,
            Some(_) = connections.join_next() => {}
            (stream, place) = accept(&listener, &places) => {
                let (app, stop) = (app.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, app, limits, stop).await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// What stands before every route.
#[derive(Clone)]
struct Door {
    token: Option<Arc<str>>,
    running: Arc<Running>,
    limits: Limits,
}

impl Door {
    /// Whether a request is answered, and how long that may take.
    fn judge(&self, parts: &Parts) -> Result<Duration, Problem> {
        let store = guard::store(parts.uri.path())?;
        let assets = store.and_then(|store| self.running.push(store));
        let token = assets.as_ref().and_then(|assets| assets.token());
        guard::admit(parts, [self.token.as_deref(), token])?;
        Ok(if store.is_some() { self.limits.push } else { self.limits.request })
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, app: Router, limits: Limits, stop: Draining) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        () = stop.started() => {}
        () = sleep(limits.connection) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(CLOSE_WAIT, connection).await {
        log_end(ended);
    }
}

/// Clients that go away or send rubbish are theirs to explain; the trace is for who looks.
fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin API ended early");
    }
}

/// Admits a request, and bounds how long its answer may take.
async fn admit(State(door): State<Door>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match door.judge(&parts) {
        Ok(limit) => {
            let answer = next.run(Request::from_parts(parts, body));
            timeout(limit, answer).await.unwrap_or_else(|_| late(limit))
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    // Figures are of their moment, and none of this is a page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn late(limit: Duration) -> Response {
    let detail = format!("not done within {} s; what was asked may still happen", limit.as_secs());
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
}
