//! The pages of the shop: its front, a product, the search.

use super::accept::{Wanted, wanted};
use super::cart::Cart;
use super::catalogue::{self, PRODUCTS, Product};
use super::page::{Escaped, Price, cards, page, page_with_query};
use super::{Shop, api};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;

/// A longer question is none that a person asks.
const QUERY_CHARS_MAX: usize = 100;

/// `/`.
pub(super) async fn front(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let intro = "<section class=\"hero\"><h1>Stoneware, thrown by hand</h1>\
                 <p>Twelve shapes, four glazes, one kiln. Each piece is a little different, \
                 as is the instance that shows it to you.</p></section>";
    let content = format!("{intro}\n{}", cards(&PRODUCTS));
    page(&shop, &Cart::of(&headers), StatusCode::OK, "Nine Pots", &content)
}

/// `/products`.
pub(super) async fn products(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let content = format!("<h1>Everything on the shelf</h1>\n{}", cards(&PRODUCTS));
    page(&shop, &Cart::of(&headers), StatusCode::OK, "Products · Nine Pots", &content)
}

/// `/product/{id}`.
pub(super) async fn product(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(product) = catalogue::find(&id) else { return missing(&shop, &headers, "no such product") };
    let Product { id, name, line, text, price_cents, .. } = product;
    let price = Price(*price_cents);
    let others = cards(catalogue::others(product, 4));
    let (name, line, text) = (Escaped(name), Escaped(line), Escaped(text));
    let content = format!(
        r#"<article class="product">
<img src="/img/{id}.svg" alt="{name}" width="400" height="400">
<div>
<h1>{name}</h1>
<p class="line">{line}</p>
<p>{text}</p>
<p class="price">{price}</p>
<form action="/cart" method="post">
<input type="hidden" name="product" value="{id}">
<label>Pieces <input type="number" name="quantity" value="1" min="1" max="99"></label>
<button>Add to cart</button>
</form>
</div>
</article>
<h2 class="more">From the same kiln</h2>
{others}"#
    );
    page(&shop, &Cart::of(&headers), StatusCode::OK, &format!("{name} · Nine Pots"), &content)
}

/// The part of the URL after the question mark.
#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
}

/// `/search?q=`.
pub(super) async fn search(
    State(shop): State<Arc<Shop>>,
    Query(Search { q }): Query<Search>,
    headers: HeaderMap,
) -> Response {
    let query: String = q.trim().chars().take(QUERY_CHARS_MAX).collect();
    let found: Vec<&Product> = catalogue::search(&query).collect();
    let summary = match found.len() {
        _ if query.is_empty() => "Everything on the shelf".to_owned(),
        0 => format!("Nothing found for “{query}”"),
        1 => format!("One piece found for “{query}”"),
        count => format!("{count} pieces found for “{query}”"),
    };
    let content = format!("<h1>{}</h1>\n{}", Escaped(&summary), cards(found));
    let cart = Cart::of(&headers);
    page_with_query(&shop, &cart, StatusCode::OK, &format!("{summary} · Nine Pots"), &query, &content)
}

/// Every other path.
pub(super) async fn not_found(State(shop): State<Arc<Shop>>, uri: Uri, headers: HeaderMap) -> Response {
    missing(&shop, &headers, &format!("nothing at {}", uri.path()))
}

/// 404, in the form that the client likes.
pub(super) fn missing(shop: &Shop, headers: &HeaderMap, what: &str) -> Response {
    match wanted(headers) {
        Wanted::Json => api::error(StatusCode::NOT_FOUND, what),
        Wanted::Text => (StatusCode::NOT_FOUND, format!("{what}\n")).into_response(),
        Wanted::Html => {
            let content = format!(
                "<section class=\"hero\"><h1>Not on this shelf</h1><p>There is {}.</p>\
                 <p><a class=\"button\" href=\"/\">Back to the shop</a></p></section>",
                Escaped(what)
            );
            page(shop, &Cart::of(headers), StatusCode::NOT_FOUND, "Not found · Nine Pots", &content)
        }
    }
}
