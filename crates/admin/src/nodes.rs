//! Other nodes that keep the same responses: what they say, and whether they have heard of a purge.

use crate::answers::Api;
use crate::problem::Problem;
use crate::take::Raw;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;
use topology::ExchangeError;

/// The longest message.
pub(crate) const BODY_BYTES_MAX: usize = topology::EXCHANGE_BYTES_MAX;

/// Who has acknowledged a purge.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Told {
    /// How many other nodes have: it holds there too.
    acknowledged: usize,
    /// Those that have not yet. They are told until they do, and confirm what they keep with the origin once they are silent for too long.
    pending: Vec<String>,
}

impl From<topology::Told> for Told {
    fn from(told: topology::Told) -> Self {
        let pending = told.pending.iter().map(ToString::to_string).collect();
        Self { acknowledged: told.acknowledged, pending }
    }
}

pub(crate) async fn exchange(
    State(api): State<Api>,
    Raw(message): Raw,
) -> Result<impl IntoResponse, Problem> {
    let answer = api.running().exchange(&message).await.map_err(|error| {
        let status = match &error {
            ExchangeError::NoNodes => StatusCode::NOT_FOUND,
            ExchangeError::Message => StatusCode::BAD_REQUEST,
            ExchangeError::Cdn(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, error.to_string())
    })?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], answer))
}
