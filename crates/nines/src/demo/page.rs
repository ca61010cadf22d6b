//! What all pages share: the frame around them, the style, and the escaping of what is put into them.

use super::Shop;
use super::cart::Cart;
use super::catalogue::Product;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use std::fmt::{self, Write};

/// No page needs anything from elsewhere, nor any script.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A text that is safe between tags and within quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A price in cents, as it is written on a label.
pub(super) struct Price(pub(super) u32);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "€{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A whole page: its `content` is HTML, its `title` is text.
pub(super) fn page(shop: &Shop, cart: &Cart, status: StatusCode, title: &str, content: &str) -> Response {
    page_with_query(shop, cart, status, title, "", content)
}

/// The same, with this in the search field.
pub(super) fn page_with_query(
    shop: &Shop,
    cart: &Cart,
    status: StatusCode,
    title: &str,
    query: &str,
    content: &str,
) -> Response {
    let (title, query, instance) = (Escaped(title), Escaped(query), Escaped(&shop.instance));
    let count = match cart.count() {
        0 => String::new(),
        count => format!(" <b>{count}</b>"),
    };
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/assets/style.css">
<link rel="icon" type="image/svg+xml" href="/img/moon-jar.svg">
</head>
<body>
<header>
<a class="name" href="/">Nine Pots</a>
<form action="/search" role="search"><input type="search" name="q" value="{query}" placeholder="Search" aria-label="Search"></form>
<a class="cart" href="/cart">Cart{count}</a>
</header>
<main>
{content}
</main>
<footer>
<p>This page was answered by <a href="/whoami"><strong>{instance}</strong></a>. Reload it, and another instance may.</p>
<p><a href="/whoami">Who am I</a> · <a href="/slow">A slow page</a> · <a href="/events">A stream</a> · <a href="/api/products">The shelf as JSON</a></p>
</footer>
</body>
</html>
"#
    );
    // A page shows the cart of one client: no cache may keep it for others.
    let headers = [(header::CACHE_CONTROL, "private, no-cache"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (status, headers, Html(html)).into_response()
}

/// Products as cards.
pub(super) fn cards<'a>(products: impl IntoIterator<Item = &'a Product>) -> String {
    let mut html = String::from("<ul class=\"cards\">\n");
    for product in products {
        let (id, name, line) = (Escaped(product.id), Escaped(product.name), Escaped(product.line));
        let price = Price(product.price_cents);
        let _ = writeln!(
            html,
            r#"<li><a href="/product/{id}"><img src="/img/{id}.svg" alt="" width="400" height="400" loading="lazy"><h2>{name}</h2><p>{line}</p><p class="price">{price}</p></a></li>"#
        );
    }
    html + "</ul>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_put_into_a_page_can_leave_its_place() {
        let escaped = Escaped(r#"<a b="c" d='e'>&amp;ü"#).to_string();
        assert_eq!(escaped, "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;ü");
    }

    #[test]
    fn a_price_always_has_two_decimals() {
        assert_eq!(Price(4205).to_string(), "€42.05");
        assert_eq!(Price(900).to_string(), "€9.00");
    }
}
