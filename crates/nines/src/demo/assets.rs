//! What all pages refer to: `assets/`. The demo's file has nines push that folder, so that no instance is asked for it; one that
//! has nobody in front of it, or a file without `push`, answers with the same.

use super::{Shop, pages, tag};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use std::sync::Arc;

/// Each file with its type and its content.
const ASSETS: [(&str, &str, &str); 2] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("wheel.svg", "image/svg+xml", include_str!("assets/wheel.svg")),
];

/// `/assets/{name}`.
pub(super) async fn show(
    State(shop): State<Arc<Shop>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, media_type, content)) => {
            tag::answer(&headers, media_type, "public, max-age=300", (*content).to_owned())
        }
        None => pages::missing(&shop, &headers, "no such file"),
    }
}
