//! The shelf as JSON.

use super::catalogue::{self, PRODUCTS, Product};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

#[derive(Serialize)]
struct Row {
    id: &'static str,
    name: &'static str,
    description: &'static str,
    price_cents: u32,
    currency: &'static str,
    image: String,
    page: String,
}

impl From<&'static Product> for Row {
    fn from(product: &'static Product) -> Self {
        let Product { id, name, text, price_cents, .. } = *product;
        Self {
            id,
            name,
            description: text,
            price_cents,
            currency: "EUR",
            image: format!("/img/{id}.svg"),
            page: format!("/product/{id}"),
        }
    }
}

/// `/api/products`.
pub(super) async fn products() -> Response {
    Json(PRODUCTS.iter().map(Row::from).collect::<Vec<_>>()).into_response()
}

/// `/api/products/{id}`.
pub(super) async fn product(Path(id): Path<String>) -> Response {
    match catalogue::find(&id) {
        Some(product) => Json(Row::from(product)).into_response(),
        None => error(StatusCode::NOT_FOUND, "no such product"),
    }
}

/// An error for programs.
pub(super) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
