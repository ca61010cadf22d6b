//! The HTTP API over a running topology: health, readiness, metrics, live figures, drain, reload, explain.
//!
//! A connection is accepted by `server` (how many, how slow, how large), a request is admitted by `guard`
//! (token, Host, Origin), found in `routes` (the one list that also becomes `/openapi.json`), and answered
//! by `answers`, `caches` and `pushes` from [`topology::Running`]. An answer that is not 2xx is a `problem` (RFC 9457).
//!
//! Invariants:
//! - Nothing here keeps state: what is shown is asked from the topology at that moment.
//! - Every route stands in `routes::ROUTES`; the OpenAPI document is made from the same list.
//! - Without a token only this machine's own addresses are valid names for the API, so that a web page
//!   cannot reach it through a name of its own (DNS rebinding), nor post to it (cross-site requests).
//!
//! It runs on the control runtime: a slow client of the API takes nothing from the data plane.

mod answers;
mod caches;
mod flush;
mod guard;
mod nodes;
mod openapi;
mod problem;
mod pushes;
mod routes;
mod server;
mod take;

pub use server::{Limits, serve, serve_within};
