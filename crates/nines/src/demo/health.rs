//! Health, and a way to lose it: to see how the load balancer takes an instance out and back in.

use super::Shop;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A request that carries one of these came through a proxy or from a page in a browser.
const FROM_ELSEWHERE: [&str; 4] = ["via", "forwarded", "x-forwarded-for", "origin"];

/// `GET /healthz`.
pub(super) async fn show(State(shop): State<Arc<Shop>>) -> Response {
    if shop.broken.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "broken: POST /health/mend to mend it\n").into_response();
    }
    "ok\n".into_response()
}

/// `POST /health/fail`: from now on the health check fails. Everything else works as before.
pub(super) async fn fail(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    set(&shop, &headers, true)
}

/// `POST /health/mend`.
pub(super) async fn mend(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    set(&shop, &headers, false)
}

/// Only who asks the instance itself may do this. It listens on loopback, so that is somebody on this machine;
/// through the front door anybody could, and would meet any instance.
fn set(shop: &Shop, headers: &HeaderMap, broken: bool) -> Response {
    let Shop { instance, port, .. } = shop;
    let verb = if broken { "fail" } else { "mend" };
    if FROM_ELSEWHERE.iter().any(|name| headers.contains_key(*name)) {
        let help = format!("ask the instance itself: curl -X POST http://127.0.0.1:{port}/health/{verb}\n");
        return (StatusCode::FORBIDDEN, help).into_response();
    }
    shop.broken.store(broken, Ordering::Relaxed);
    let now = if broken { "fails its health check" } else { "passes its health check" };
    format!("{instance} {now} from now on\n").into_response()
}
