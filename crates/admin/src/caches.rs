//! What the cache would do, and how it fares.

use crate::answers::{Api, bad, query};
use crate::problem::Problem;
use crate::take::InQuery;
use axum::Json;
use axum::extract::State;
use topology::CacheExplanation;

pub(crate) async fn explain(
    State(api): State<Api>,
    InQuery(pairs): InQuery<Vec<(String, String)>>,
) -> Result<Json<CacheExplanation>, Problem> {
    let explained = api.running().explain_cache(query(pairs)?).await;
    explained.map(Json).map_err(|error| bad(error.to_string()))
}
