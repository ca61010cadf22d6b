//! What is forgotten of what the resolver keeps.

use crate::answers::Api;
use crate::problem::Problem;
use crate::take::Body;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use topology::DnsFlushError;

/// What is to be forgotten.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flush {
    /// The name whose answers are forgotten.
    name: String,
    /// Whether those of all names below it are too.
    #[serde(default)]
    below: bool,
}

/// What was forgotten.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Flushed {
    /// How many answers.
    flushed: u64,
}

pub(crate) async fn flush(State(api): State<Api>, Body(what): Body<Flush>) -> Result<Json<Flushed>, Problem> {
    let done = api.running().flush_dns(&what.name, what.below);
    done.map(|flushed| Json(Flushed { flushed })).map_err(|error| {
        let status = match error {
            DnsFlushError::NoResolver => StatusCode::NOT_FOUND,
            DnsFlushError::Name { .. } => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, error.to_string())
    })
}
