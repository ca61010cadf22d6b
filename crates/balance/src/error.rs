//! What can go wrong: nobody to pick, or a wish about an endpoint that is not there.

use std::sync::Arc;
use thiserror::Error;

/// Why no endpoint could be picked. An edge answers 503 to each of them but [`PickError::AllTried`], where
/// the last try's own failure says more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PickError {
    /// The pool has no endpoints: its name has not been resolved, or its service runs no instance.
    #[error("pool {pool}: it has no endpoints yet")]
    NoEndpoints {
        /// The pool's name.
        pool: Arc<str>,
    },
    /// There are endpoints, and none may be used.
    #[error("pool {pool}: no healthy endpoint ({causes} of {endpoints})")]
    NoneAvailable {
        /// The pool's name.
        pool: Arc<str>,
        /// How many endpoints there are.
        endpoints: usize,
        /// What is the matter with them: `"2 unhealthy, 1 ejected"`.
        causes: Arc<str>,
    },
    /// Every endpoint that may be used has as many requests in flight as it may have.
    #[error(
        "pool {pool}: all {endpoints} endpoints have {inflight_per_endpoint} requests in flight, the limit"
    )]
    Full {
        /// The pool's name.
        pool: Arc<str>,
        /// How many endpoints may be used.
        endpoints: usize,
        /// `limit.inflight_per_endpoint`.
        inflight_per_endpoint: u32,
    },
    /// Every endpoint that may be used is in [`Wish::avoid`](crate::Wish::avoid).
    #[error("pool {pool}: all {endpoints} available endpoints have been tried")]
    AllTried {
        /// The pool's name.
        pool: Arc<str>,
        /// How many endpoints may be used.
        endpoints: usize,
    },
}

/// What a person asked of a pool and cannot have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// No endpoint of the pool has this name or address.
    #[error("pool {pool}: no endpoint {endpoint:?}{}", names_text(.known))]
    UnknownEndpoint {
        /// The pool's name.
        pool: String,
        /// What was asked for.
        endpoint: String,
        /// The names of the pool's endpoints.
        known: Vec<String>,
    },
}

/// Why a pool cannot be made as the file says.
#[derive(Debug, Error)]
#[error("pool {pool}: tls: {source}")]
pub struct SettingsError {
    /// The pool's name.
    pub pool: String,
    /// What is wrong with its TLS.
    pub source: tls::Error,
}

fn names_text(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names if names.len() > 12 => format!(" among its {}", names.len()),
        names => format!(" (it has {})", names.join(", ")),
    }
}
