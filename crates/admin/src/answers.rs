//! What each route answers, asked from the running topology at that moment.

use crate::nodes;
use crate::problem::Problem;
use crate::take::{Body, InPath, InQuery};
use crate::{openapi, routes};
use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use topology::{
    CdnStatus, Changes, DnsExplanation, DnsQuestion, DnsRollError, EndpointError, EndpointStatus,
    Explanation, InstanceState, Layer4Explanation, Layer4Question, ListenerStatus, PoolStatus, Purge,
    PurgeError, PurgeMode, Query, ReloadError, RolledKey, Running, ServiceStatus, Status,
};

/// What the answers are made from.
#[derive(Clone)]
pub(crate) struct Api {
    running: Arc<Running>,
    is_secured: bool,
}

impl Api {
    /// `is_secured`: a token is demanded.
    pub(crate) fn new(running: Arc<Running>, is_secured: bool) -> Self {
        Self { running, is_secured }
    }

    /// The topology that runs.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }
}

/// It serves.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ready {
    /// Always true: what is not ready is a problem.
    ready: bool,
}

/// A tier of the node, in figures.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tier {
    /// `services`, `balance` or `edge`.
    name: String,
    /// How many it has of what.
    figures: BTreeMap<&'static str, usize>,
}

/// An endpoint with the pool that it belongs to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Endpoint {
    /// The pool's name.
    pool: String,
    #[serde(flatten)]
    endpoint: EndpointStatus,
}

/// Which endpoint is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Its name or its address.
    endpoint: String,
    /// The pool; may be left out while only one pool has such an endpoint.
    pool: Option<String>,
}

/// A zone that is signed here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfZone {
    /// Its name.
    zone: String,
}

/// The zone above has a DS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DsSeen {
    /// The zone whose key it points to.
    zone: String,
    /// How long it may be remembered: `1d`; as the file says when absent.
    ttl: Option<String>,
}

/// What is to be purged: one of `url`, `prefix`, `tag` and `all`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WhatToPurge {
    /// A URL, with all its variants: `https://shop.test/img/1.png`.
    url: Option<String>,
    /// All URLs that begin so: `https://shop.test/img/`.
    prefix: Option<String>,
    /// All responses with this surrogate key (`Surrogate-Key`, `Cache-Tag`, `xkey`).
    tag: Option<String>,
    /// All there is.
    all: bool,
    /// It is not removed but stale from now on, and confirmed before its next use.
    soft: bool,
}

/// A purge that holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Purged {
    /// Its number; each purge has a higher one than those before.
    sequence: u64,
    /// What the other nodes of the cache say to it, if the file names any.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<nodes::Told>,
}

/// What was done to an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Moved {
    /// The endpoint, with its pool: `shop/shop-1`.
    endpoint: String,
}

pub(crate) async fn health() -> &'static str {
    "ok\n"
}

pub(crate) async fn readiness(State(api): State<Api>) -> Result<Json<Ready>, Problem> {
    let readiness = api.running.readiness();
    if readiness.ready {
        return Ok(Json(Ready { ready: true }));
    }
    let mut reasons: Vec<String> =
        readiness.waiting.iter().map(|waiting| format!("pool {}: {}", waiting.pool, waiting.why)).collect();
    if readiness.stopping {
        reasons.insert(0, "nines is stopping".into());
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, reasons.join("; "));
    Err(problem.with("reasons", json!(reasons)))
}

pub(crate) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], api.running.registry().render())
}

pub(crate) async fn status(State(api): State<Api>) -> Json<Status> {
    Json(api.running.status())
}

pub(crate) async fn tiers(State(api): State<Api>) -> Json<Vec<Tier>> {
    let status = api.running.status();
    let tier = |name: &String| Tier { name: name.clone(), figures: figures(name, &status) };
    Json(status.tiers.iter().map(tier).collect())
}

fn figures(tier: &str, status: &Status) -> BTreeMap<&'static str, usize> {
    let instances = || status.services.iter().flat_map(|service| &service.instances);
    let figures = match tier {
        "services" => vec![
            ("services", status.services.len()),
            ("instances", instances().count()),
            ("running", instances().filter(|instance| instance.state == InstanceState::Running).count()),
        ],
        "balance" => vec![
            ("pools", status.pools.len()),
            ("endpoints", status.pools.iter().map(|pool| pool.endpoints.len()).sum()),
            ("available", status.pools.iter().map(|pool| pool.available).sum()),
            ("inflight", status.pools.iter().map(|pool| pool.inflight).sum()),
        ],
        "cdn" => status.cdn.iter().flat_map(cdn_figures).collect(),
        "dns" => vec![
            ("listeners", status.listeners.iter().filter(|listener| listener.tier == tier).count()),
            ("zones", status.zones.len()),
            ("records", status.zones.iter().map(|zone| zone.records).sum()),
        ],
        tier => vec![
            ("listeners", status.listeners.iter().filter(|listener| listener.tier == tier).count()),
            ("sites", status.sites.len()),
        ],
    };
    figures.into_iter().collect()
}

fn cdn_figures(cdn: &CdnStatus) -> [(&'static str, usize); 4] {
    let figure = |figure: u64| usize::try_from(figure).unwrap_or(usize::MAX);
    [
        ("sites", cdn.sites.len()),
        ("objects", figure(cdn.memory_objects)),
        ("memory_bytes", figure(cdn.memory_bytes)),
        ("disk_bytes", figure(cdn.disk_bytes)),
    ]
}

pub(crate) async fn listeners(State(api): State<Api>) -> Json<Vec<ListenerStatus>> {
    Json(api.running.status().listeners)
}

pub(crate) async fn pools(State(api): State<Api>) -> Json<Vec<PoolStatus>> {
    Json(api.running.status().pools)
}

pub(crate) async fn pool(
    State(api): State<Api>,
    InPath(name): InPath<String>,
) -> Result<Json<PoolStatus>, Problem> {
    let pools = api.running.status().pools;
    let known: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    let detail = format!("no pool {name:?}; known: {}", known.join(", "));
    let found = pools.into_iter().find(|pool| pool.name == name);
    found.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, detail))
}

pub(crate) async fn endpoints(State(api): State<Api>) -> Json<Vec<Endpoint>> {
    let pools = api.running.status().pools.into_iter();
    let endpoints = pools.flat_map(|pool| {
        let name = pool.name;
        pool.endpoints.into_iter().map(move |endpoint| Endpoint { pool: name.clone(), endpoint })
    });
    Json(endpoints.collect())
}

pub(crate) async fn services(State(api): State<Api>) -> Json<Vec<ServiceStatus>> {
    Json(api.running.status().services)
}

pub(crate) async fn drain_in_pool(
    State(api): State<Api>,
    InPath((pool, endpoint)): InPath<(String, String)>,
) -> Result<Json<Moved>, Problem> {
    api.drain(Which { endpoint, pool: Some(pool) })
}

pub(crate) async fn undrain_in_pool(
    State(api): State<Api>,
    InPath((pool, endpoint)): InPath<(String, String)>,
) -> Result<Json<Moved>, Problem> {
    api.undrain(Which { endpoint, pool: Some(pool) })
}

pub(crate) async fn drain(State(api): State<Api>, Body(which): Body<Which>) -> Result<Json<Moved>, Problem> {
    api.drain(which)
}

pub(crate) async fn undrain(
    State(api): State<Api>,
    Body(which): Body<Which>,
) -> Result<Json<Moved>, Problem> {
    api.undrain(which)
}

pub(crate) async fn purge(
    State(api): State<Api>,
    Body(what): Body<WhatToPurge>,
) -> Result<Json<Purged>, Problem> {
    let mode = if what.soft { PurgeMode::Soft } else { PurgeMode::Hard };
    let wanted = [
        what.url.map(Purge::Url),
        what.prefix.map(Purge::Prefix),
        what.tag.map(Purge::Tag),
        what.all.then_some(Purge::All),
    ];
    let mut wanted = wanted.into_iter().flatten();
    let (Some(purge), None) = (wanted.next(), wanted.next()) else {
        return Err(bad("the body has exactly one of `url`, `prefix`, `tag` and `all`".into()));
    };
    let (sequence, told) = api.running.purge(purge, mode).await.map_err(|error| {
        let status = match &error {
            PurgeError::NoCdn => StatusCode::NOT_FOUND,
            PurgeError::Url(_) => StatusCode::BAD_REQUEST,
            PurgeError::Cdn(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, error.to_string())
    })?;
    Ok(Json(Purged { sequence, nodes: told.map(nodes::Told::from) }))
}

pub(crate) async fn reload(State(api): State<Api>) -> Result<Json<Changes>, Problem> {
    api.running.reload().await.map(Json).map_err(refused_reload)
}

fn refused_reload(error: ReloadError) -> Problem {
    match error {
        ReloadError::Rejected(rejected) => {
            let errors = rejected.errors();
            let detail =
                format!("the file has {errors} error{}; nothing changed", if errors == 1 { "" } else { "s" });
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with("problems", json!(rejected.problems))
        }
        error => Problem::new(StatusCode::CONFLICT, format!("{error}; nothing changed")),
    }
}

pub(crate) async fn explain(
    State(api): State<Api>,
    InQuery(pairs): InQuery<Vec<(String, String)>>,
) -> Result<Json<Explanation>, Problem> {
    let query = query(pairs)?;
    let explained = api.running.explain(&query);
    explained.map(Json).map_err(|error| bad(error.to_string()))
}

pub(crate) fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn client(value: &str) -> Result<IpAddr, Problem> {
    value.parse().map_err(|_| bad(format!("client {value:?} is not an IP address")))
}

/// The query as the edge wants it.
pub(crate) fn query(pairs: Vec<(String, String)>) -> Result<Query, Problem> {
    let mut query = Query { method: "GET".into(), ..Query::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "url" => query.url = value,
            "method" => query.method = value,
            "body" => query.body = Some(value),
            "client" => query.client = Some(client(&value)?),
            "header" => {
                let (name, value) = value
                    .split_once(':')
                    .ok_or_else(|| bad(format!("header {value:?} is not `Name: value`")))?;
                query.headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            other => {
                return Err(bad(format!(
                    "unknown parameter {other:?}; known: url, method, client, header, body"
                )));
            }
        }
    }
    if query.url.is_empty() { Err(bad("parameter `url` is missing".into())) } else { Ok(query) }
}

pub(crate) async fn explain_listener(
    State(api): State<Api>,
    InQuery(pairs): InQuery<Vec<(String, String)>>,
) -> Result<Json<Layer4Explanation>, Problem> {
    let explained = api.running.explain_layer4(&question(pairs)?);
    explained.map(Json).map_err(|error| Problem::new(StatusCode::NOT_FOUND, error.to_string()))
}

/// The question as layer 4 wants it.
fn question(pairs: Vec<(String, String)>) -> Result<Layer4Question, Problem> {
    let (mut listener, mut from, mut server_name) = (None, None, None);
    for (name, value) in pairs {
        match name.as_str() {
            "listener" => listener = Some(value),
            "client" => from = Some(client(&value)?),
            "server_name" => server_name = Some(value),
            other => {
                return Err(bad(format!(
                    "unknown parameter {other:?}; known: listener, client, server_name"
                )));
            }
        }
    }
    let listener = listener.ok_or_else(|| bad("parameter `listener` is missing".into()))?;
    let about = Layer4Question::about(&listener)
        .ok_or_else(|| bad(format!("listener {listener:?} is not `tcp:NAME` or `udp:NAME`")))?;
    if about.udp && server_name.is_some() {
        return Err(bad("`server_name` is for `tcp:NAME`: a datagram is not looked into".into()));
    }
    Ok(Layer4Question { client: from, server_name, ..about })
}

pub(crate) async fn explain_dns(
    State(api): State<Api>,
    InQuery(pairs): InQuery<Vec<(String, String)>>,
) -> Result<Json<DnsExplanation>, Problem> {
    let explained = api.running.explain_dns(&dns_question(pairs)?);
    explained.map(Json).map_err(|error| Problem::new(StatusCode::NOT_FOUND, error.to_string()))
}

/// The question as DNS wants it.
fn dns_question(pairs: Vec<(String, String)>) -> Result<DnsQuestion, Problem> {
    let (mut about, mut rtype, mut from) = (None, None, None);
    for (name, value) in pairs {
        match name.as_str() {
            "name" => about = Some(value),
            "type" => rtype = Some(value),
            "client" => from = Some(client(&value)?),
            other => {
                return Err(bad(format!("unknown parameter {other:?}; known: name, type, client")));
            }
        }
    }
    let about = about.ok_or_else(|| bad("parameter `name` is missing".into()))?;
    DnsQuestion::new(&about, rtype.as_deref(), from).map_err(|error| bad(error.to_string()))
}

pub(crate) async fn ds_seen(
    State(api): State<Api>,
    Body(seen): Body<DsSeen>,
) -> Result<Json<RolledKey>, Problem> {
    api.running
        .dns_ds_seen(&seen.zone, seen.ttl.as_deref())
        .await
        .map(Json)
        .map_err(|error| refused_roll(&error))
}

pub(crate) async fn roll_over(
    State(api): State<Api>,
    Body(of): Body<OfZone>,
) -> Result<Json<RolledKey>, Problem> {
    api.running.dns_roll_over(&of.zone).await.map(Json).map_err(|error| refused_roll(&error))
}

fn refused_roll(error: &DnsRollError) -> Problem {
    let status = match error {
        DnsRollError::NoDns => StatusCode::NOT_FOUND,
        DnsRollError::Ttl(_) => StatusCode::BAD_REQUEST,
        DnsRollError::Dns(_) => StatusCode::CONFLICT,
    };
    Problem::new(status, error.to_string())
}

pub(crate) async fn openapi(State(api): State<Api>) -> Json<Value> {
    Json(openapi::document(&routes::ROUTES, api.is_secured))
}

/// No route has this path.
pub(crate) async fn no_route(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("nothing at {}; /openapi.json lists what there is", uri.path()),
    )
}

/// The path has no route for this method. The router adds `Allow` (RFC 9110 §15.5.6).
pub(crate) async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

impl Api {
    fn drain(&self, which: Which) -> Result<Json<Moved>, Problem> {
        moved(self.running.drain(&full_name(which)))
    }

    fn undrain(&self, which: Which) -> Result<Json<Moved>, Problem> {
        moved(self.running.undrain(&full_name(which)))
    }
}

fn full_name(which: Which) -> String {
    match which.pool {
        Some(pool) => format!("{pool}/{}", which.endpoint),
        None => which.endpoint,
    }
}

fn moved(done: Result<String, EndpointError>) -> Result<Json<Moved>, Problem> {
    done.map(|endpoint| Json(Moved { endpoint })).map_err(|error| match &error {
        EndpointError::Unknown { .. } => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        EndpointError::Ambiguous { candidates, .. } => {
            Problem::new(StatusCode::CONFLICT, error.to_string()).with("candidates", json!(candidates))
        }
    })
}
