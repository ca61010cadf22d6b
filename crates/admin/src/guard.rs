//! Who may ask: the token, and for an API without one, protection from web pages in a browser on this machine.

use crate::problem::Problem;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use std::net::IpAddr;

/// Paths that a load balancer or an orchestrator asks without a token.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Below this stands the name of a store, which may have a token of its own.
const STORES: &str = "/api/v1/push/";

/// The store that a path is about, whose token is good for it as well.
pub(crate) fn store(path: &str) -> Result<Option<&str>, Problem> {
    let Some(store) = path.strip_prefix(STORES).and_then(|rest| rest.split('/').next()) else {
        return Ok(None);
    };
    // The router decodes it: a second spelling of a name must not be a way around its token.
    if store.contains('%') {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the name of a store needs no percent-encoding"));
    }
    Ok(Some(store))
}

/// Decides whether a request may be answered at all. `tokens`: that of the API, and that of the store which the request
/// is about; where there is one, one of them is demanded.
pub(crate) fn admit(parts: &Parts, tokens: [Option<&str>; 2]) -> Result<(), Problem> {
    let host = host(parts)?;
    let mut tokens = tokens.into_iter().flatten().peekable();
    match tokens.peek() {
        // Who knows the token may call us by any name: a page that was led here does not know it.
        Some(_) if !OPEN_PATHS.contains(&parts.uri.path()) => bearer(&parts.headers, tokens)?,
        Some(_) => {}
        None => own_name(&host)?,
    }
    if parts.method != Method::GET && parts.method != Method::HEAD {
        same_origin(&parts.headers, &host)?;
    }
    Ok(())
}

/// The host that the client meant: exactly one, well formed (RFC 9112 §3.2).
fn host(parts: &Parts) -> Result<Authority, Problem> {
    let bad = |detail| Problem::new(StatusCode::BAD_REQUEST, detail);
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        (Some(_), Some(_)) => return Err(bad("more than one Host header")),
        (None, _) => return Err(bad("no Host header")),
    };
    named.filter(|host| !host.as_str().contains('@')).ok_or_else(|| bad("the Host header is not a host"))
}

/// RFC 6750: `Authorization: Bearer TOKEN`.
fn bearer<'t>(headers: &HeaderMap, tokens: impl Iterator<Item = &'t str>) -> Result<(), Problem> {
    let refused = |detail| Problem::new(StatusCode::UNAUTHORIZED, detail);
    let given = headers.get(header::AUTHORIZATION).ok_or_else(|| refused("a token is required"))?;
    let (scheme, given) = given.as_bytes().split_at(given.len().min(7));
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(refused("the Authorization header is not `Bearer TOKEN`"));
    }
    let is_known = |known: bool, token: &str| known | equal(given.trim_ascii(), token.as_bytes());
    if tokens.fold(false, is_known) { Ok(()) } else { Err(refused("the token is wrong")) }
}

/// Compares in a time that depends on the lengths only.
fn equal(given: &[u8], expected: &[u8]) -> bool {
    let differing =
        given.iter().zip(expected).fold(0, |differing, (a, b)| std::hint::black_box(differing | (a ^ b)));
    given.len() == expected.len() && differing == 0
}

/// DNS rebinding: a page of evil.test can make its own name lead to 127.0.0.1, but not change the name
/// that the browser sends. An address cannot be rebound, and `localhost` never leaves the machine.
fn own_name(host: &Authority) -> Result<(), Problem> {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let local = name.eq_ignore_ascii_case("localhost")
        || name.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case("localhost"));
    if local || name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let detail =
        format!("`{name}` is not a name of this API: use its address or localhost, or configure a token");
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

/// Cross-site request forgery: a browser says which page a request comes from.
fn same_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
    let foreign = || Problem::new(StatusCode::FORBIDDEN, "the request comes from another site's page");
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(foreign());
    }
    for origin in headers.get_all(header::ORIGIN) {
        let ours = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if !ours.is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_str())) {
            return Err(foreign());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use axum::response::IntoResponse;

    fn status(method: &str, path: &str, headers: &[(&str, &str)], token: Option<&str>) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        admit(&parts, [token, None])
            .map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    const LOCAL: (&str, &str) = ("host", "127.0.0.1:9900");

    #[test]
    fn without_a_token_only_addresses_and_localhost_are_names_of_the_api() {
        for host in
            ["127.0.0.1:9900", "127.0.0.1", "[::1]:9900", "localhost:9900", "LOCALHOST", "nines.localhost"]
        {
            assert_eq!(status("GET", "/metrics", &[("host", host)], None), 200, "{host}");
        }
        for host in ["evil.test", "evil.test:9900", "localhost.evil.test", "127.0.0.1.evil.test"] {
            assert_eq!(status("GET", "/metrics", &[("host", host)], None), 421, "{host}");
        }
    }

    #[test]
    fn a_missing_repeated_or_malformed_host_is_a_bad_request() {
        assert_eq!(status("GET", "/metrics", &[], None), 400);
        assert_eq!(status("GET", "/metrics", &[LOCAL, LOCAL], None), 400);
        assert_eq!(status("GET", "/metrics", &[("host", "a b")], None), 400);
        assert_eq!(status("GET", "/metrics", &[("host", "evil@127.0.0.1")], None), 400);
    }

    #[test]
    fn a_post_from_another_sites_page_is_refused() {
        let post = |header| status("POST", "/api/v1/reload", &[LOCAL, header], None);
        assert_eq!(post(("origin", "http://evil.test")), 403);
        assert_eq!(post(("origin", "null")), 403);
        assert_eq!(post(("origin", "https://127.0.0.1:9900")), 403);
        assert_eq!(post(("origin", "http://127.0.0.1:8080")), 403);
        assert_eq!(post(("sec-fetch-site", "cross-site")), 403);
        assert_eq!(post(("sec-fetch-site", "same-site")), 403);
        assert_eq!(post(("sec-fetch-site", "same-origin")), 200);
        assert_eq!(post(("origin", "http://127.0.0.1:9900")), 200);
        assert_eq!(post(("user-agent", "curl")), 200);
    }

    #[test]
    fn a_configured_token_is_demanded_everywhere_but_for_health_and_readiness() {
        let get = |path, headers: &[_]| status("GET", path, &[&[LOCAL], headers].concat(), Some("sesame"));
        assert_eq!(get("/metrics", &[]), 401);
        assert_eq!(get("/metrics", &[("authorization", "Bearer wrong1")]), 401);
        assert_eq!(get("/metrics", &[("authorization", "Bearer sesam")]), 401);
        assert_eq!(get("/metrics", &[("authorization", "Bearer sesame ")]), 200);
        assert_eq!(get("/metrics", &[("authorization", "Bearer sesamex")]), 401);
        assert_eq!(get("/metrics", &[("authorization", "Basic sesame")]), 401);
        assert_eq!(get("/metrics", &[("authorization", "Bear")]), 401);
        assert_eq!(get("/metrics", &[("authorization", "bearer sesame")]), 200);
        assert_eq!(get("/healthz", &[]), 200);
        assert_eq!(get("/readyz", &[]), 200);
        assert_eq!(get("/unknown", &[]), 401);
    }

    #[test]
    fn a_store_s_token_is_demanded_and_the_api_s_is_good_for_it_too() {
        let asked = |token: &str, tokens| {
            let request = Request::builder().uri("/api/v1/push/assets/releases").header(LOCAL.0, LOCAL.1);
            let request = request.header("authorization", format!("Bearer {token}"));
            let (parts, ()) = request.body(()).unwrap().into_parts();
            admit(&parts, tokens).is_ok()
        };
        assert!(asked("store", [None, Some("store")]));
        assert!(asked("store", [Some("api"), Some("store")]));
        assert!(asked("api", [Some("api"), Some("store")]));
        assert!(!asked("other", [Some("api"), Some("store")]));
        assert!(!asked("api", [None, Some("store")]));
        assert_eq!(status("GET", "/api/v1/push/assets", &[LOCAL], Some("store")), 401);
    }

    #[test]
    fn a_store_has_one_spelling() {
        assert_eq!(store("/api/v1/push/assets/releases").unwrap(), Some("assets"));
        assert_eq!(store("/api/v1/push/assets").unwrap(), Some("assets"));
        assert_eq!(store("/api/v1/push").unwrap(), None);
        assert_eq!(store("/api/v1/pools").unwrap(), None);
        assert!(store("/api/v1/push/%61ssets/releases").is_err());
    }

    #[test]
    fn with_the_token_the_api_may_have_any_name() {
        let headers = [("host", "nines.internal:9900"), ("authorization", "Bearer sesame")];
        assert_eq!(status("GET", "/metrics", &headers, Some("sesame")), 200);
    }
}
