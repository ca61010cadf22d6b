//! `/whoami`: which instance answered, and what arrived there.

use super::Shop;
use super::accept::{Wanted, wanted};
use super::cart::Cart;
use super::page::{Escaped, page};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `GET /whoami`.
pub(super) async fn show(State(shop): State<Arc<Shop>>, request: Request) -> Response {
    let (pid, answered) = (std::process::id(), shop.answered.load(Ordering::Relaxed));
    let seconds = shop.began.elapsed().as_secs();
    let line = format!("{} {} {:?}", request.method(), request.uri(), request.version());
    let headers = request.headers();
    let response = match wanted(headers) {
        Wanted::Json => Json(json!({
            "instance": shop.instance,
            "pid": pid,
            "port": shop.port,
            "uptime_seconds": seconds,
            "requests": answered,
            "request": line,
            "headers": by_name(headers),
        }))
        .into_response(),
        Wanted::Text => {
            let Shop { instance, port, .. } = &*shop;
            let mut text =
                format!("{instance} (pid {pid}, port {port}), request {answered} in {seconds}s\n\n{line}\n");
            for (name, value) in headers {
                let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
            }
            text.into_response()
        }
        Wanted::Html => {
            let content = html(
                &shop,
                headers,
                &line,
                &format!("Request {answered} in {seconds} s, process {pid}, port {}.", shop.port),
            );
            page(&shop, &Cart::of(headers), StatusCode::OK, "Who am I · Nine Pots", &content)
        }
    };
    ([(header::CACHE_CONTROL, "no-store")], response).into_response()
}

fn html(shop: &Shop, headers: &HeaderMap, line: &str, figures: &str) -> String {
    let (instance, line) = (Escaped(&shop.instance), Escaped(line));
    let mut html = format!(
        "<section class=\"hero\"><p>You are talking to</p><h1>{instance}</h1><p>{figures}</p></section>\n\
         <h2>What arrived here</h2>\n<p><code>{line}</code></p>\n<table class=\"headers\">\n"
    );
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let _ = writeln!(
            html,
            "<tr><th>{}</th><td><code>{}</code></td></tr>",
            Escaped(name.as_str()),
            Escaped(&value)
        );
    }
    html + "</table>"
}

/// The values of each header, in the order in which they came.
fn by_name(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        names.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    names
}
