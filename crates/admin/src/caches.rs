//! What the cache would do, and how it fares.

use crate::answers::{Api, bad, query};
use crate::problem::Problem;
use crate::take::InQuery;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use topology::{CacheExplanation, CdnStatus};

/// URLs that are shown of each site.
const MISSES_SHOWN: usize = 20;

pub(crate) async fn cdn(State(api): State<Api>) -> Result<Json<CdnStatus>, Problem> {
    let cdn = api.running().cdn(MISSES_SHOWN);
    cdn.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "the file has no `[cdn]`"))
}

pub(crate) async fn explain(
    State(api): State<Api>,
    InQuery(pairs): InQuery<Vec<(String, String)>>,
) -> Result<Json<CacheExplanation>, Problem> {
    let explained = api.running().explain_cache(query(pairs)?).await;
    explained.map(Json).map_err(|error| bad(error.to_string()))
}
