//! Entity tags: a client that has the current version is told so instead of getting it again.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Answers with a body that may be kept for `cache_control`, or with 304 when the client has it already.
pub(super) fn answer(request: &HeaderMap, content_type: &str, cache_control: &str, body: String) -> Response {
    let tag = tag(&body);
    let keeping = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, cache_control)];
    if is_held(request, &tag) {
        return (StatusCode::NOT_MODIFIED, keeping).into_response();
    }
    (keeping, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// The same content has the same tag on every instance: the hasher has no random key.
fn tag(body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// RFC 9110 §13.1.2: any of the listed tags, by weak comparison, or `*`.
fn is_held(request: &HeaderMap, tag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|each| each == "*" || each.strip_prefix("W/").unwrap_or(each) == tag)
}
