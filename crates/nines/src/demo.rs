//! The demo: a small shop for pots, to have something real behind the load balancer.
//!
//! ```text
//! /  /products  /product/ID  /search  /cart   pages, and a cart that lives in a cookie
//! /img/ID.svg                        pictures, with ETag: what a cache likes
//! /assets/style.css                  what pages refer to, where nines does not serve it in front of us
//! /api/products  /api/products/ID    the same as JSON
//! /whoami  /slow  /events            what shows a proxy at work: who answered, how long it took, a stream
//! /healthz  /health/fail  /health/mend   health, and a way to lose it
//! ```
//!
//! It keeps nothing: any instance answers any request. It ends on SIGTERM once its requests are answered.

mod accept;
mod api;
mod assets;
mod cart;
mod catalogue;
mod health;
mod page;
mod pages;
mod picture;
mod stream;
mod tag;
mod whoami;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The longest form that a page sends is far shorter.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// How long requests that are being answered may hold up the end. A service's own time to stop is longer.
const DRAIN_WAIT: Duration = Duration::from_secs(8);

/// One instance of the shop.
pub(crate) struct Shop {
    /// Its name, given by nines in the environment.
    instance: String,
    port: u16,
    began: Instant,
    /// Requests answered or being answered.
    answered: AtomicU64,
    /// Whether it was told to fail its health check.
    broken: AtomicBool,
    /// Becomes true when it is to end: streams end by themselves then.
    stopping: watch::Sender<bool>,
}

impl Shop {
    fn new(instance: String, port: u16) -> Arc<Self> {
        Arc::new(Self {
            instance,
            port,
            began: Instant::now(),
            answered: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
        })
    }
}

/// Runs one instance on 127.0.0.1 until it is told to end.
pub(crate) fn run(port: u16) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve(port))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "nines demo: port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    let instance = std::env::var("INSTANCE").unwrap_or_else(|_| "demo".into());
    let _ = writeln!(io::stderr(), "{instance} serves http://127.0.0.1:{port}/");
    let shop = Shop::new(instance, port);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopping = Arc::clone(&shop);
    let told = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        stopping.stopping.send_replace(true);
    };
    let mut late = shop.stopping.subscribe();
    // Small answers must not wait for the acknowledgement of the ones before.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let served = axum::serve(listener, router(shop)).with_graceful_shutdown(told);
    tokio::select! {
        result = async { served.await } => result,
        () = async {
            let _ = late.wait_for(|stopping| *stopping).await;
            tokio::time::sleep(DRAIN_WAIT).await;
        } => Ok(()),
    }
}

/// Every page, on one instance of the shop.
fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/", get(pages::front))
        .route("/products", get(pages::products))
        .route("/product/{id}", get(pages::product))
        .route("/search", get(pages::search))
        .route("/cart", get(cart::show).post(cart::change))
        .route("/img/{name}", get(picture::show))
        .route("/assets/{name}", get(assets::show))
        .route("/api/products", get(api::products))
        .route("/api/products/{id}", get(api::product))
        .route("/whoami", get(whoami::show))
        .route("/slow", get(stream::slow))
        .route("/events", get(stream::events))
        .route("/healthz", get(health::show))
        .route("/health/fail", post(health::fail))
        .route("/health/mend", post(health::mend))
        .fallback(pages::not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), sign))
        .with_state(shop)
}

/// Counts a request, and puts the instance's name on its answer.
async fn sign(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    shop.answered.fetch_add(1, Ordering::Relaxed);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(name) = HeaderValue::from_str(&shop.instance) {
        headers.insert(HeaderName::from_static("x-served-by"), name);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
