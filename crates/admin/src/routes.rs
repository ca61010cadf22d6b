//! Every route of the API, once: the router and the OpenAPI document are both made from this list.

use crate::answers::{self, Api};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A route with all that its documentation says.
pub(crate) struct Route {
    /// The method, as OpenAPI writes it; `get` answers HEAD too.
    pub(crate) method: &'static str,
    /// The path, with `{parameters}`.
    pub(crate) path: &'static str,
    /// A name for generated clients.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) summary: &'static str,
    /// What it takes from the path and the query.
    pub(crate) parameters: &'static [Parameter],
    /// The schema of the body that it takes.
    pub(crate) body: Option<SchemaOf>,
    /// What it answers.
    pub(crate) answer: Answer,
    /// The problems that are its own, by status.
    pub(crate) problems: &'static [(StatusCode, &'static str)],
    /// Whether it is answered without the token too.
    pub(crate) is_open: bool,
    handler: Handler,
}

/// Makes the route's handler.
type Handler = fn() -> MethodRouter<Api>;

/// A type's schema, as part of the document.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A value taken from the path or the query.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) says: &'static str,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In the query, and must be there.
    QueryRequired,
    /// In the query, any number of times.
    QueryList,
}

/// The body of a good answer: what it is, and its form.
pub(crate) enum Answer {
    /// JSON of a type.
    Json(&'static str, SchemaOf),
    /// JSON of a form described elsewhere.
    Document(&'static str),
    /// Text of a media type.
    Text(&'static str, &'static str),
}

/// The router over the list; everything else is a problem as well.
pub(crate) fn router(api: Api) -> Router {
    let routes =
        ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    routes.fallback(answers::no_route).method_not_allowed_fallback(answers::no_method).with_state(api)
}

const POOL: Parameter = Parameter { name: "pool", place: Place::Path, says: "the pool's name" };
const ENDPOINT: Parameter = Parameter {
    name: "endpoint",
    place: Place::Path,
    says: "the endpoint's name or address, percent-encoded",
};
const EXPLAIN: [Parameter; 4] = [
    Parameter { name: "url", place: Place::QueryRequired, says: "the request's URL" },
    Parameter { name: "method", place: Place::Query, says: "the request's method; GET when absent" },
    Parameter { name: "client", place: Place::Query, says: "the client's IP address" },
    Parameter {
        name: "header",
        place: Place::QueryList,
        says: "a request header, `Name: value`; may be repeated",
    },
];
const EXPLAIN_LISTENER: [Parameter; 3] = [
    Parameter {
        name: "listener",
        place: Place::QueryRequired,
        says: "the listener: `tcp:NAME` or `udp:NAME`",
    },
    Parameter { name: "client", place: Place::Query, says: "the client's IP address" },
    Parameter {
        name: "server_name",
        place: Place::Query,
        says: "the server name that a client of TLS asks for; of `tcp:NAME` only",
    },
];

const EXPLAIN_DNS: [Parameter; 3] = [
    Parameter { name: "name", place: Place::QueryRequired, says: "the name that is asked for" },
    Parameter { name: "type", place: Place::Query, says: "the type of records; A when absent" },
    Parameter { name: "client", place: Place::Query, says: "the client's IP address, for routes" },
];

const NO_POOL: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such pool");
const NO_ENDPOINT: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such endpoint");
const NO_DNS: (StatusCode, &str) = (StatusCode::NOT_FOUND, "the file has no `[dns]`");
const NO_LISTENER: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such listener");
const AMBIGUOUS: (StatusCode, &str) = (StatusCode::CONFLICT, "several pools have an endpoint of this name");
const BAD_REQUEST: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "a parameter or the body is malformed");
const NO_CDN: (StatusCode, &str) = (StatusCode::NOT_FOUND, "the file has no `[cdn]`");
const NOT_READY: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "not ready, or stopping; `reasons` says what is waited for");
const BAD_FILE: (StatusCode, &str) =
    (StatusCode::UNPROCESSABLE_ENTITY, "the file is wrong and nothing changed; `problems` lists why");
const NOT_NOW: (StatusCode, &str) =
    (StatusCode::CONFLICT, "the file is sound but cannot be applied, and nothing changed");

/// The routes, in the order of the documentation.
pub(crate) static ROUTES: [Route; 20] = [
    Route {
        is_open: true,
        answer: Answer::Text("the process is alive", "text/plain"),
        ..asked("/healthz", "health", "Whether the process is alive", || get(answers::health))
    },
    Route {
        is_open: true,
        answer: Answer::Json("it serves", schema::<answers::Ready>),
        problems: &[NOT_READY],
        ..asked("/readyz", "readiness", "Whether requests should be sent here", || get(answers::readiness))
    },
    Route {
        answer: Answer::Text("Prometheus text format 0.0.4", "text/plain"),
        ..asked("/metrics", "metrics", "All figures, for Prometheus", || get(answers::metrics))
    },
    Route {
        answer: Answer::Json("the node with everything that runs on it", schema::<topology::Status>),
        ..asked("/api/v1/status", "status", "Everything at once", || get(answers::status))
    },
    Route {
        answer: Answer::Json("the tiers that the file names", schema::<Vec<answers::Tier>>),
        ..asked("/api/v1/tiers", "tiers", "The tiers, in figures", || get(answers::tiers))
    },
    Route {
        answer: Answer::Json("the open listeners", schema::<Vec<topology::ListenerStatus>>),
        ..asked("/api/v1/listeners", "listeners", "What listens where", || get(answers::listeners))
    },
    Route {
        answer: Answer::Json("the pools", schema::<Vec<topology::PoolStatus>>),
        ..asked("/api/v1/pools", "pools", "The pools with their endpoints, live", || get(answers::pools))
    },
    Route {
        parameters: &[POOL],
        answer: Answer::Json("the pool", schema::<topology::PoolStatus>),
        problems: &[NO_POOL],
        ..asked("/api/v1/pools/{pool}", "pool", "One pool with its endpoints, live", || get(answers::pool))
    },
    Route {
        parameters: &[POOL, ENDPOINT],
        answer: Answer::Json("it takes no new requests", schema::<answers::Moved>),
        problems: &[NO_ENDPOINT],
        ..told(
            "/api/v1/pools/{pool}/endpoints/{endpoint}/drain",
            "drainInPool",
            "Send an endpoint no new requests",
            || post(answers::drain_in_pool),
        )
    },
    Route {
        parameters: &[POOL, ENDPOINT],
        answer: Answer::Json("it takes requests again", schema::<answers::Moved>),
        problems: &[NO_ENDPOINT],
        ..told(
            "/api/v1/pools/{pool}/endpoints/{endpoint}/undrain",
            "undrainInPool",
            "Send an endpoint requests again",
            || post(answers::undrain_in_pool),
        )
    },
    Route {
        answer: Answer::Json("the endpoints of all pools", schema::<Vec<answers::Endpoint>>),
        ..asked("/api/v1/endpoints", "endpoints", "The endpoints of all pools, live", || {
            get(answers::endpoints)
        })
    },
    Route {
        answer: Answer::Json("the services", schema::<Vec<topology::ServiceStatus>>),
        ..asked("/api/v1/services", "services", "The services with their instances", || {
            get(answers::services)
        })
    },
    Route {
        body: Some(schema::<answers::Which>),
        answer: Answer::Json("it takes no new requests", schema::<answers::Moved>),
        problems: &[BAD_REQUEST, NO_ENDPOINT, AMBIGUOUS],
        ..told("/api/v1/drain", "drain", "Send an endpoint, found by its name, no new requests", || {
            post(answers::drain)
        })
    },
    Route {
        body: Some(schema::<answers::Which>),
        answer: Answer::Json("it takes requests again", schema::<answers::Moved>),
        problems: &[BAD_REQUEST, NO_ENDPOINT, AMBIGUOUS],
        ..told("/api/v1/undrain", "undrain", "Send an endpoint, found by its name, requests again", || {
            post(answers::undrain)
        })
    },
    Route {
        body: Some(schema::<answers::WhatToPurge>),
        answer: Answer::Json("the purge holds, for every request from now on", schema::<answers::Purged>),
        problems: &[BAD_REQUEST, NO_CDN],
        ..told("/api/v1/purge", "purge", "Remove responses from the cache, or make them stale", || {
            post(answers::purge)
        })
    },
    Route {
        answer: Answer::Json("what changed", schema::<topology::Changes>),
        problems: &[BAD_FILE, NOT_NOW],
        ..told("/api/v1/reload", "reload", "Apply the changed file, whole or not at all", || {
            post(answers::reload)
        })
    },
    Route {
        parameters: &EXPLAIN,
        answer: Answer::Json("where the request goes, and why", schema::<topology::Explanation>),
        problems: &[BAD_REQUEST],
        ..asked("/api/v1/explain", "explain", "Say what would happen to a request", || get(answers::explain))
    },
    Route {
        parameters: &EXPLAIN_LISTENER,
        answer: Answer::Json("where it goes, and why", schema::<topology::Layer4Explanation>),
        problems: &[BAD_REQUEST, NO_LISTENER],
        ..asked(
            "/api/v1/explain-listener",
            "explainListener",
            "Say what would happen to a connection of TCP or a datagram of UDP",
            || get(answers::explain_listener),
        )
    },
    Route {
        parameters: &EXPLAIN_DNS,
        answer: Answer::Json("what would be answered, and why", schema::<topology::DnsExplanation>),
        problems: &[BAD_REQUEST, NO_DNS],
        ..asked(
            "/api/v1/explain-dns",
            "explainDns",
            "Say what would be answered to a question of DNS",
            || get(answers::explain_dns),
        )
    },
    Route {
        answer: Answer::Document("an OpenAPI 3.1 document"),
        ..asked("/openapi.json", "openapi", "This document", || get(answers::openapi))
    },
];

/// A route that is asked for something.
const fn asked(path: &'static str, name: &'static str, summary: &'static str, handler: Handler) -> Route {
    Route {
        method: "get",
        path,
        name,
        summary,
        parameters: &[],
        body: None,
        answer: Answer::Document(""),
        problems: &[],
        is_open: false,
        handler,
    }
}

/// A route that is told to do something.
const fn told(path: &'static str, name: &'static str, summary: &'static str, handler: Handler) -> Route {
    Route { method: "post", ..asked(path, name, summary, handler) }
}

fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}
