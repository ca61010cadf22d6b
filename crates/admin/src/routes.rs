//! Every route of the API, once: the router and the OpenAPI document are both made from this list.

use crate::answers::{self, Api};
use crate::caches;
use crate::flush;
use crate::nodes;
use crate::pushes::{self, DRAFT_BYTES_MAX, UPLOAD_BYTES_MAX};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, delete, get, post, put};
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
    /// The body that it takes.
    pub(crate) body: Option<Takes>,
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

/// A body that is taken.
pub(crate) enum Takes {
    /// JSON of a type.
    Json(SchemaOf),
    /// Bytes as they are.
    Bytes,
}

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

const STORE: Parameter = Parameter { name: "store", place: Place::Path, says: "the name of `[push.NAME]`" };
const RELEASE: Parameter = Parameter { name: "release", place: Place::Path, says: "the release's name" };
const HASH: Parameter = Parameter {
    name: "hash",
    place: Place::Path,
    says: "the SHA-256 of the whole file, in hexadecimal digits",
};
const SIZE: Parameter =
    Parameter { name: "size", place: Place::QueryRequired, says: "how many bytes the whole file has" };
const OFFSET: Parameter =
    Parameter { name: "offset", place: Place::Query, says: "where this part begins; 0 when absent" };
const NO_STORE: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such store or release");
const WRONG_PART: (StatusCode, &str) =
    (StatusCode::CONFLICT, "it goes on elsewhere, at `offset`; or somebody else uploads the same");
const WRONG_HASH: (StatusCode, &str) =
    (StatusCode::UNPROCESSABLE_ENTITY, "what came has another hash, and was thrown away");
const TOO_LARGE: (StatusCode, &str) =
    (StatusCode::PAYLOAD_TOO_LARGE, "the part has more than 4 MiB, or the file more than `file_max`");
const NO_ROOM: (StatusCode, &str) = (StatusCode::INSUFFICIENT_STORAGE, "all would be more than `total_max`");
const NOT_STORED: (StatusCode, &str) =
    (StatusCode::CONFLICT, "`missing` lists what is to be uploaded first; or the name is taken");
const BAD_DRAFT: (StatusCode, &str) =
    (StatusCode::UNPROCESSABLE_ENTITY, "such a release cannot be, and nothing changed");
const NOTHING_BEFORE: (StatusCode, &str) = (StatusCode::CONFLICT, "there is no release before");
const IS_SERVED: (StatusCode, &str) = (StatusCode::CONFLICT, "the release is served");

const NO_POOL: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such pool");
const NO_ENDPOINT: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such endpoint");
const NO_DNS: (StatusCode, &str) = (StatusCode::NOT_FOUND, "the file has no `[dns]`");
const NO_RESOLVER: (StatusCode, &str) = (StatusCode::NOT_FOUND, "the file has no `[dns.resolver]`");
const NO_ROLL: (StatusCode, &str) =
    (StatusCode::CONFLICT, "the zone is not signed here, or its keys are in another state");
const NO_LISTENER: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such listener");
const AMBIGUOUS: (StatusCode, &str) = (StatusCode::CONFLICT, "several pools have an endpoint of this name");
const BAD_REQUEST: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "a parameter or the body is malformed");
const NO_CDN: (StatusCode, &str) = (StatusCode::NOT_FOUND, "the file has no `[cdn]`");
const NO_NODES: (StatusCode, &str) = (StatusCode::NOT_FOUND, "the file has no `[cdn] nodes`");
const NOT_READY: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "not ready, or stopping; `reasons` says what is waited for");
const BAD_FILE: (StatusCode, &str) =
    (StatusCode::UNPROCESSABLE_ENTITY, "the file is wrong and nothing changed; `problems` lists why");
const NOT_NOW: (StatusCode, &str) =
    (StatusCode::CONFLICT, "the file is sound but cannot be applied, and nothing changed");

/// The routes, in the order of the documentation.
pub(crate) static ROUTES: [Route; 35] = [
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
        answer: Answer::Json(
            "how it fares, and which URLs the origin was asked for most",
            schema::<topology::CdnStatus>,
        ),
        problems: &[NO_CDN],
        ..asked("/api/v1/cdn", "cdn", "The cache, by site", || get(caches::cdn))
    },
    Route {
        body: Some(Takes::Json(schema::<answers::Which>)),
        answer: Answer::Json("it takes no new requests", schema::<answers::Moved>),
        problems: &[BAD_REQUEST, NO_ENDPOINT, AMBIGUOUS],
        ..told("/api/v1/drain", "drain", "Send an endpoint, found by its name, no new requests", || {
            post(answers::drain)
        })
    },
    Route {
        body: Some(Takes::Json(schema::<answers::Which>)),
        answer: Answer::Json("it takes requests again", schema::<answers::Moved>),
        problems: &[BAD_REQUEST, NO_ENDPOINT, AMBIGUOUS],
        ..told("/api/v1/undrain", "undrain", "Send an endpoint, found by its name, requests again", || {
            post(answers::undrain)
        })
    },
    Route {
        body: Some(Takes::Json(schema::<answers::WhatToPurge>)),
        answer: Answer::Json("the purge holds, for every request from now on", schema::<answers::Purged>),
        problems: &[BAD_REQUEST, NO_CDN],
        ..told("/api/v1/purge", "purge", "Remove responses from the cache, or make them stale", || {
            post(answers::purge)
        })
    },
    Route {
        body: Some(Takes::Bytes),
        answer: Answer::Text("what this node says to that", "application/octet-stream"),
        problems: &[BAD_REQUEST, NO_NODES],
        ..told("/api/v1/cdn/exchange", "exchangePurges", "What nodes of the cache say to each other", || {
            post(nodes::exchange).layer(DefaultBodyLimit::max(nodes::BODY_BYTES_MAX))
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
        body: Some(Takes::Json(schema::<flush::Flush>)),
        answer: Answer::Json("how much was forgotten", schema::<flush::Flushed>),
        problems: &[BAD_REQUEST, NO_RESOLVER],
        ..told("/api/v1/dns/flush", "flushDns", "Forget what the resolver keeps of a name", || {
            post(flush::flush)
        })
    },
    Route {
        parameters: &EXPLAIN,
        answer: Answer::Json("where the request goes, and why", schema::<topology::Explanation>),
        problems: &[BAD_REQUEST],
        ..asked("/api/v1/explain", "explain", "Say what would happen to a request", || get(answers::explain))
    },
    Route {
        parameters: &EXPLAIN,
        answer: Answer::Json("what becomes of the request, and why", schema::<topology::CacheExplanation>),
        problems: &[BAD_REQUEST],
        ..asked("/api/v1/explain-cache", "explainCache", "Say what the cache would do with a request", || {
            get(caches::explain)
        })
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
        body: Some(Takes::Json(schema::<answers::DsSeen>)),
        answer: Answer::Json("the key, and when it takes its place", schema::<topology::RolledKey>),
        problems: &[BAD_REQUEST, NO_DNS, NO_ROLL],
        ..told(
            "/api/v1/dns/ds-seen",
            "dsSeen",
            "Say that the zone above has the DS of the key that a zone waits for",
            || post(answers::ds_seen),
        )
    },
    Route {
        body: Some(Takes::Json(schema::<answers::OfZone>)),
        answer: Answer::Json("the new key", schema::<topology::RolledKey>),
        problems: &[BAD_REQUEST, NO_DNS, NO_ROLL],
        ..told(
            "/api/v1/dns/roll-over",
            "rollOver",
            "Begin to replace the key of a zone that the zone above points to",
            || post(answers::roll_over),
        )
    },
    Route {
        answer: Answer::Json("the stores that files are pushed to", schema::<Vec<pushes::Store>>),
        ..asked("/api/v1/push", "pushes", "The stores that files are pushed to", || get(pushes::stores))
    },
    Route {
        parameters: &[STORE],
        answer: Answer::Json("the releases, the newest first", schema::<Vec<topology::push::ReleaseSeen>>),
        problems: &[NO_STORE],
        ..asked("/api/v1/push/{store}/releases", "releases", "The releases of a store", || {
            get(pushes::releases)
        })
    },
    Route {
        parameters: &[STORE],
        answer: Answer::Json("its manifest", schema::<topology::push::Manifest>),
        problems: &[NO_STORE],
        ..asked("/api/v1/push/{store}/current", "currentRelease", "The release that is served", || {
            get(pushes::current)
        })
    },
    Route {
        parameters: &[STORE, RELEASE],
        answer: Answer::Json("its manifest", schema::<topology::push::Manifest>),
        problems: &[NO_STORE],
        ..asked("/api/v1/push/{store}/releases/{release}", "release", "One release", || get(pushes::release))
    },
    Route {
        parameters: &[STORE],
        body: Some(Takes::Json(schema::<Vec<topology::push::Blob>>)),
        answer: Answer::Json("those that are to be uploaded", schema::<Vec<topology::push::Missing>>),
        problems: &[BAD_REQUEST, NO_STORE],
        ..told("/api/v1/push/{store}/missing", "missing", "Which files are not stored yet", || {
            post(pushes::missing).layer(DefaultBodyLimit::max(DRAFT_BYTES_MAX))
        })
    },
    Route {
        method: "put",
        parameters: &[STORE, HASH, SIZE, OFFSET],
        body: Some(Takes::Bytes),
        answer: Answer::Json("how far the upload is", schema::<pushes::Progress>),
        problems: &[BAD_REQUEST, NO_STORE, WRONG_PART, WRONG_HASH, TOO_LARGE, NO_ROOM],
        ..told("/api/v1/push/{store}/blobs/{hash}", "upload", "Upload a part of a file", || {
            put(pushes::upload).layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX))
        })
    },
    Route {
        parameters: &[STORE],
        body: Some(Takes::Json(schema::<topology::push::Draft>)),
        answer: Answer::Json("the release, which is served", schema::<topology::push::ReleaseSeen>),
        problems: &[BAD_REQUEST, NO_STORE, NOT_STORED, BAD_DRAFT],
        ..told("/api/v1/push/{store}/releases", "makeRelease", "Make a release, and serve it", || {
            post(pushes::make).layer(DefaultBodyLimit::max(DRAFT_BYTES_MAX))
        })
    },
    Route {
        parameters: &[STORE],
        body: Some(Takes::Json(schema::<pushes::Target>)),
        answer: Answer::Json("the release, which is served", schema::<topology::push::ReleaseSeen>),
        problems: &[BAD_REQUEST, NO_STORE, NOTHING_BEFORE],
        ..told("/api/v1/push/{store}/rollback", "rollBack", "Serve the release before, or another", || {
            post(pushes::roll_back)
        })
    },
    Route {
        method: "delete",
        parameters: &[STORE, RELEASE],
        answer: Answer::Json("the release, which is gone", schema::<topology::push::ReleaseSeen>),
        problems: &[NO_STORE, IS_SERVED],
        ..told("/api/v1/push/{store}/releases/{release}", "deleteRelease", "Remove a release", || {
            delete(pushes::delete)
        })
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
