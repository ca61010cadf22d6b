//! The cart. It lives in a cookie, so that every instance knows it and none has to keep it.

use super::Shop;
use super::catalogue::{self, Product};
use super::page::{Escaped, Price, page};
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Pieces of one product.
const PIECES_MAX: u32 = 99;

/// A week, in seconds.
const COOKIE_SECONDS: u32 = 7 * 24 * 60 * 60;

/// How many of what, by the product's id. Written `moon-jar.2~tea-bowl.1`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cart(BTreeMap<&'static str, u32>);

impl Cart {
    /// The cart of a client. What makes no sense is not in it: a cookie can hold anything.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let value =
            cookies.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix("cart="));
        let mut cart = Self::default();
        for (id, pieces) in value.unwrap_or("").split('~').filter_map(|item| item.split_once('.')) {
            if let (Some(product), Ok(pieces)) = (catalogue::find(id), pieces.parse()) {
                cart.set(product, pieces);
            }
        }
        cart
    }

    /// Pieces of all products together.
    pub(super) fn count(&self) -> u32 {
        self.0.values().sum()
    }

    fn set(&mut self, product: &'static Product, pieces: u32) {
        match pieces.min(PIECES_MAX) {
            0 => self.0.remove(product.id),
            pieces => self.0.insert(product.id, pieces),
        };
    }

    fn add(&mut self, product: &'static Product, pieces: u32) {
        let before = self.0.get(product.id).copied().unwrap_or(0);
        self.set(product, before.saturating_add(pieces));
    }

    fn lines(&self) -> impl Iterator<Item = (&'static Product, u32)> {
        self.0.iter().filter_map(|(id, pieces)| Some((catalogue::find(id)?, *pieces)))
    }

    fn cookie(&self) -> String {
        let items: Vec<String> = self.0.iter().map(|(id, pieces)| format!("{id}.{pieces}")).collect();
        let age = if items.is_empty() { 0 } else { COOKIE_SECONDS };
        format!("cart={}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax", items.join("~"))
    }
}

/// `GET /cart`.
pub(super) async fn show(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let cart = Cart::of(&headers);
    page(&shop, &cart, StatusCode::OK, "Cart · Nine Pots", &content(&cart))
}

fn content(cart: &Cart) -> String {
    if cart.count() == 0 {
        return "<section class=\"hero\"><h1>Your cart is empty</h1>\
                <p><a class=\"button\" href=\"/\">Look around</a></p></section>"
            .into();
    }
    let mut html = String::from("<h1>Your cart</h1>\n<table class=\"lines\">\n");
    let mut total = 0;
    for (Product { id, name, price_cents, .. }, pieces) in cart.lines() {
        let (name, sum) = (Escaped(name), price_cents * pieces);
        total += sum;
        let _ = writeln!(
            html,
            r#"<tr><td><a href="/product/{id}"><img src="/img/{id}.svg" alt="" width="72" height="72"></a></td>
<td><a href="/product/{id}">{name}</a></td>
<td><form action="/cart" method="post"><input type="hidden" name="product" value="{id}"><input type="hidden" name="set" value="yes"><input type="number" name="quantity" value="{pieces}" min="0" max="{PIECES_MAX}" aria-label="Pieces of {name}"> <button class="quiet">Change</button></form></td>
<td class="price">{}</td></tr>"#,
            Price(sum)
        );
    }
    let _ = write!(
        html,
        "<tr><td></td><td>Total</td><td></td><td class=\"price\">{}</td></tr>\n</table>",
        Price(total)
    );
    html + "\n<p class=\"note\">Nothing is sold here: these pots are numbers.</p>"
}

/// What the forms send.
#[derive(Deserialize)]
pub(super) struct Change {
    product: String,
    quantity: u32,
    /// Present: this many from now on. Absent: this many more.
    set: Option<String>,
}

/// `POST /cart`. The answer leads to the cart, so that a reload does not add once more.
pub(super) async fn change(headers: HeaderMap, Form(change): Form<Change>) -> Response {
    let Some(product) = catalogue::find(&change.product) else {
        return (StatusCode::BAD_REQUEST, "no such product\n").into_response();
    };
    let mut cart = Cart::of(&headers);
    match change.set {
        Some(_) => cart.set(product, change.quantity),
        None => cart.add(product, change.quantity),
    }
    ([(header::SET_COOKIE, cart.cookie())], Redirect::to("/cart")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cart(cookie: &str) -> Cart {
        Cart::of(&HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())]))
    }

    #[test]
    fn a_cart_is_what_its_cookie_says() {
        let cart = cart("a=b; cart=tea-bowl.1~moon-jar.2; cart2=x");
        assert_eq!(cart.0, BTreeMap::from([("moon-jar", 2), ("tea-bowl", 1)]));
        assert_eq!(cart.count(), 3);
        assert!(cart.cookie().starts_with("cart=moon-jar.2~tea-bowl.1; "));
    }

    #[test]
    fn what_makes_no_sense_is_not_in_the_cart() {
        for cookie in [
            "",
            "cart",
            "cart=",
            "cart=moon-jar",
            "cart=moon-jar.x",
            "cart=nothing.1",
            "cart=moon-jar.0",
            "cart=~.~",
        ] {
            assert_eq!(cart(cookie), Cart::default(), "{cookie}");
        }
        assert_eq!(cart("cart=moon-jar.4000000000~moon-jar.200").count(), PIECES_MAX);
    }

    #[test]
    fn an_empty_cart_takes_its_cookie_back() {
        assert!(Cart::default().cookie().contains("Max-Age=0;"));
    }
}
