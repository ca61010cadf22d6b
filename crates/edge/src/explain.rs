//! `nines explain URL`: what would be done with a request, and why.

use crate::config::EdgeConfig;
use crate::core::Snapshot;
use crate::error::Error;
use crate::exchange::hash_of;
use crate::gate::{Shown, strip};
use crate::loading::compile_offline;
use crate::protocol::{Field, RequestHead, RequestLimits, copy_kept_lines};
use crate::running::EdgeParts;
use crate::sites::{Action, FoundBy, Route, Site};
use admission::Signed;
use balance::{PoolExplanation, Wish};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use thiserror::Error;

/// A request to explain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// `http://shop.test/img/1.svg?x=1`, or with `https://`; the port is not looked at.
    pub url: String,
    /// GET when empty.
    #[serde(default)]
    pub method: String,
    /// Headers of the request.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The request's body, for routes that ask for JSON fields.
    #[serde(default)]
    pub body: Option<String>,
    /// The client's address, for pools that hash it, and for allow and deny lists.
    #[serde(default)]
    pub client: Option<IpAddr>,
}

/// Why a query cannot be explained.
#[derive(Debug, Error)]
pub enum QueryError {
    /// It is no URL that this edge could be asked for.
    #[error("{url:?} cannot be asked for: {cause}")]
    Request {
        /// The URL, as given.
        url: String,
        /// What the edge would say to it.
        cause: String,
    },
    /// The file's parts do not fit together.
    #[error(transparent)]
    Parts(#[from] Error),
}

/// What would be done with a request, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Addresses that would accept it.
    pub listeners: Vec<String>,
    /// The host that was looked up.
    pub host: String,
    /// The site that answers; `None`: 421.
    pub site: Option<String>,
    /// How the site was found: "exact", "wildcard", "default".
    pub site_found_by: Option<String>,
    /// The path that was looked up, after normalisation.
    pub path: String,
    /// The routes that were looked at, the most specific first; the last one won, if any did.
    pub routes: Vec<RouteSeen>,
    /// What is done: "pool shop", "redirect to … with 308", "respond 200", "refuse with 404 Not Found".
    pub action: String,
    /// The request line that the endpoint would see.
    pub sent_as: Option<String>,
    /// A user and a password are asked for.
    pub asks_for_user: bool,
    /// The pool's choice.
    pub pool: Option<PoolExplanation>,
}

/// A route that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteSeen {
    /// The route's path, as in the file.
    pub path: String,
    /// Why it was not taken; `None` for the one that won.
    pub passed_over: Option<String>,
}

/// Explains a request by the file alone, with no edge running.
///
/// # Errors
/// When the query is no URL of ours, or the parts name pools that are not there.
pub fn explain(parts: &EdgeParts, query: &Query) -> Result<Explanation, QueryError> {
    explain_snapshot(&compile_offline(parts)?, query)
}

pub(crate) fn explain_snapshot(snapshot: &Snapshot, query: &Query) -> Result<Explanation, QueryError> {
    walk(snapshot, query).map(|walked| walked.explanation)
}

/// A request on its way to where it is answered.
pub(crate) struct Walked {
    pub(crate) explanation: Explanation,
    /// Its head.
    pub(crate) bytes: Vec<u8>,
    /// Its path, normalised.
    pub(crate) path: Vec<u8>,
    /// The route, if that leads to a pool.
    pub(crate) route: Option<Arc<Route>>,
}

/// A request that was asked about, parsed as a client's would be.
pub(crate) struct Read {
    pub(crate) head: RequestHead,
    pub(crate) bytes: Vec<u8>,
    pub(crate) host: Vec<u8>,
    /// Normalised.
    pub(crate) path: Vec<u8>,
}

pub(crate) fn read(query: &Query) -> Result<Read, QueryError> {
    let bytes = head_of(query);
    let refused = |cause: String| QueryError::Request { url: query.url.clone(), cause };
    let mut head = RequestHead::default();
    match head.parse(&bytes, 0, LIMITS) {
        Ok(true) => {}
        Ok(false) => return Err(refused("it is incomplete".into())),
        Err(bad) => return Err(refused(bad.to_string())),
    }
    let (mut host, mut path) = (Vec::new(), Vec::new());
    head.write_looked_up(&bytes, &mut host, &mut path);
    Ok(Read { head, bytes, host, path })
}

/// What a head may measure that nobody sends.
const LIMITS: RequestLimits = RequestLimits { head_bytes_max: 1 << 20, fields_max: 1000 };

/// Goes the way that a request goes.
pub(crate) fn walk(snapshot: &Snapshot, query: &Query) -> Result<Walked, QueryError> {
    let Read { head, bytes, host, path } = read(query)?;
    let explanation = Explanation {
        listeners: listeners(&snapshot.config, query),
        host: text(&host),
        site: None,
        site_found_by: None,
        path: text(&path),
        routes: Vec::new(),
        action: String::new(),
        sent_as: None,
        asks_for_user: false,
        pool: None,
    };
    let mut walked = Walked { explanation, bytes, path, route: None };
    walked.find_route(snapshot, query, &head, &host);
    Ok(walked)
}

impl Walked {
    fn find_route(&mut self, snapshot: &Snapshot, query: &Query, head: &RequestHead, host: &[u8]) {
        let Self { explanation, bytes, path, .. } = self;
        if head.method.is_refused() {
            explanation.action = "refuse with 405 Method Not Allowed".into();
            return;
        }
        let Some((site, found_by)) = snapshot.sites.find(host) else {
            explanation.action = "refuse with 421 Misdirected Request".into();
            return;
        };
        explanation.site = Some(site.name.clone());
        explanation.site_found_by = Some(
            match found_by {
                FoundBy::Exact => "exact",
                FoundBy::Wildcard => "wildcard",
                FoundBy::Default => "default",
            }
            .into(),
        );
        let json = query.body.as_ref().map(|body| {
            let mut json = site.json.search();
            if json.feed(body.as_bytes()) {
                json.end();
            }
            json
        });
        for route in site.candidates(path) {
            let passed_over = route.when.first_that_fails(head, bytes, json.as_ref());
            let won = passed_over.is_none();
            explanation.routes.push(RouteSeen { path: route.path.clone(), passed_over });
            if won {
                let shown = Shown { request: head, head: bytes, host, path, client: client_of(query) };
                if let Some(refusal) = refused_by_gate(site, route, query, &shown) {
                    explanation.action = refusal;
                    return;
                }
                let stripped = route.gate.signed().map(|signed| without_signature(signed, head, bytes));
                let head = stripped.as_ref().map_or(head, |(head, _)| head);
                if let Some((_, stripped)) = &stripped {
                    bytes.clone_from(stripped);
                }
                explain_route(route, head, bytes, path, query, explanation);
                self.route = matches!(route.action, Action::Pool(_)).then(|| Arc::clone(route));
                return;
            }
        }
        // Whom they all deny is not even asked for a body.
        let shown = Shown { request: head, head: bytes, host, path, client: client_of(query) };
        let denied = |route: &&Arc<Route>| refused_by_gate(site, route, query, &shown);
        let refusals: Option<Vec<String>> = site.find_by_head(path, head, bytes).iter().map(denied).collect();
        let refusal = refusals.and_then(|mut refusals| refusals.pop());
        explanation.action = refusal.unwrap_or_else(|| "refuse with 404 Not Found".into());
    }
}

/// Where such a request may arrive: over TLS, if its URL says so.
fn listeners(config: &EdgeConfig, query: &Query) -> Vec<String> {
    let at = if query.url.starts_with("https://") { &config.https } else { &config.http };
    at.iter().map(ToString::to_string).collect()
}

/// What the gate would say, as far as that can be told of a request that was not made.
fn refused_by_gate(site: &Site, route: &Route, query: &Query, shown: &Shown<'_>) -> Option<String> {
    let is_secure = query.url.starts_with("https://");
    if let (false, Some(port)) = (is_secure, site.https_port) {
        return Some(format!("send to HTTPS at port {port} with 308"));
    }
    if let (false, true) = (is_secure, site.asks_for_certificates) {
        return Some("refuse with 421 Misdirected Request: the site asks for a client certificate".into());
    }
    let denied = query.client.and_then(|client| route.gate.explain_access(client));
    let unsigned = || Some(shown.judge(route.gate.signed()?, SystemTime::now()).err()?.to_string());
    Some(format!("refuse with 403 Forbidden: {}", denied.or_else(unsigned)?))
}

/// Who asks; nobody in particular is in no network that a signature is for.
fn client_of(query: &Query) -> IpAddr {
    query.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The head that is left once the signature is taken out, as if it had come so.
fn without_signature(signed: &Signed, head: &RequestHead, bytes: &[u8]) -> (RequestHead, Vec<u8>) {
    let (mut head, mut bytes) = (head.clone(), bytes.to_vec());
    strip(signed, &mut head, &mut bytes);
    let mut left = head.method_name.of_head(&bytes).to_vec();
    left.push(b' ');
    left.extend_from_slice(head.path.of_head(&bytes));
    left.extend_from_slice(head.query.of_head(&bytes));
    left.extend_from_slice(b" HTTP/1.1\r\n");
    let is_there = |field: &Field| !field.name.is_empty();
    copy_kept_lines(&bytes, &head.fields, head.len - 2, &mut left, is_there);
    left.extend_from_slice(b"\r\n");
    let parsed = head.parse(&left, 0, LIMITS);
    assert_eq!(parsed, Ok(true), "a head with less in it is one still");
    (head, left)
}

fn explain_route(
    route: &Route,
    head: &RequestHead,
    bytes: &[u8],
    path: &[u8],
    query: &Query,
    explanation: &mut Explanation,
) {
    explanation.asks_for_user = route.gate.asks_for_users();
    match &route.action {
        Action::Redirect { to, status } => {
            let mut target = Vec::new();
            let host = explanation.host.as_bytes();
            crate::answer::redirect_target(to, host, path, head.query.of_head(bytes), &mut target);
            explanation.action = format!("redirect to {} with {status}", text(&target));
        }
        Action::Respond(respond) => explanation.action = format!("respond {}", respond.status),
        Action::Dns => explanation.action = "answer DNS queries".to_owned(),
        Action::Push(pushed) => {
            let within = text(route.path_in_folder(path));
            explanation.action = format!("file {within} of push {}", pushed.name);
        }
        Action::Files(folder) => {
            let within = text(route.path_in_folder(path));
            explanation.action = format!("file {within} of {}", folder.path().display());
        }
        Action::Pool(pool) => {
            let cached = if route.caching.is_some() { ", through the cache" } else { "" };
            explanation.action = format!("pool {}{cached}", pool.name());
            let mut line = head.method_name.of_head(bytes).to_vec();
            line.push(b' ');
            route.write_path(path, &mut line);
            line.extend_from_slice(head.query.of_head(bytes));
            explanation.sent_as = Some(text(&line));
            let hash = hash_of(&pool.key_source(), head, bytes, path, query.client);
            let cookie = pool.sticky_cookie();
            let sticky = cookie.as_ref().and_then(|name| head.cookie(bytes, name.as_bytes()));
            let wish = Wish { hash, sticky, avoid: &[] };
            explanation.pool = Some(pool.explain(&wish, Instant::now()));
        }
    }
}

/// The head that a client would send for the query. What the URL holds is judged by the parser, as a client's
/// would be: nothing is escaped here.
fn head_of(query: &Query) -> Vec<u8> {
    let url = query.url.strip_prefix("http://").or_else(|| query.url.strip_prefix("https://"));
    let url = url.unwrap_or(&query.url);
    let (authority, target) = url.split_at(url.find(['/', '?']).unwrap_or(url.len()));
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    let method = if query.method.is_empty() { "GET" } else { &query.method };
    let mut head = format!("{method} {slash}{target} HTTP/1.1\r\n");
    if !query.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {authority}\r\n"));
    }
    for (name, value) in &query.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn whom_all_routes_that_may_answer_deny_is_refused_whatever_the_body_says() {
        let site = "deny = ['10.0.0.0/8']\n\
                    route = { '/' = { when = { json = { a = '1' } }, respond = { body = 'hi' } } }";
        let parts = EdgeParts {
            config: EdgeConfig::default(),
            sites: [(notation::Name::new("default"), toml::from_str(site).unwrap())].into(),
            pools: HashMap::new(),
            pushes: None,
            dir: ".".into(),
            data: "data".into(),
            cdn: None,
            dns: None,
        };
        let action = |client: &str, body: &str| {
            let client = Some(client.parse().unwrap());
            let query =
                Query { url: "http://a/".into(), body: Some(body.into()), client, ..Query::default() };
            explain(&parts, &query).unwrap().action
        };
        for body in ["{\"a\":1}", "{\"a\":2}"] {
            assert_eq!(action("10.0.0.1", body), "refuse with 403 Forbidden: denied by 10.0.0.0/8", "{body}");
        }
        assert_eq!(action("192.0.2.1", "{\"a\":2}"), "refuse with 404 Not Found");
    }

    #[test]
    fn a_url_says_which_listeners_it_may_arrive_at() {
        let config = EdgeConfig {
            http: vec!["127.0.0.1:80".parse().unwrap()],
            https: vec!["127.0.0.1:443".parse().unwrap()],
            ..EdgeConfig::default()
        };
        let at = |url: &str| listeners(&config, &Query { url: url.into(), ..Query::default() });
        assert_eq!(at("http://shop.test/"), ["127.0.0.1:80"]);
        assert_eq!(at("/cart"), ["127.0.0.1:80"]);
        assert_eq!(at("https://shop.test/"), ["127.0.0.1:443"]);
    }
}
