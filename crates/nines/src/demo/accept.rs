//! What a client would like to read.

use axum::http::{HeaderMap, header};

/// The three ways in which the demo can say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// For browsers.
    Html,
    /// For programs.
    Json,
    /// For everybody who did not say, such as curl.
    Text,
}

/// The form that the Accept header likes best; a form must be named, `*/*` is no wish (RFC 9110 §12.5.1).
pub(super) fn wanted(headers: &HeaderMap) -> Wanted {
    let mut best = (0.0, Wanted::Text);
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let form = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            Some("text/html" | "application/xhtml+xml") => Wanted::Html,
            Some("application/json") => Wanted::Json,
            Some("text/plain") => Wanted::Text,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        if let Some(weight) = weight.filter(|weight: &f32| *weight > best.0) {
            best = (weight, form);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_named_with_the_highest_weight_wins() {
        let cases = [
            ("", Wanted::Text),
            ("*/*", Wanted::Text),
            ("application/json", Wanted::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Wanted::Html),
            ("text/html;q=0.2, application/json;q=0.5", Wanted::Json),
            ("text/plain, text/html;q=0.9", Wanted::Text),
            ("application/json;q=0", Wanted::Text),
            ("application/json;q=x, Text/HTML", Wanted::Html),
        ];
        for (accept, form) in cases {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wanted(&headers), form, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()), Wanted::Text);
    }
}
