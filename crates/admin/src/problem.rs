//! An answer that is not 2xx: `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: ProblemBody,
}

/// What a client reads.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemBody {
    /// The status in words. The type is `about:blank`, which is what its absence means (RFC 9457 §4.2.1).
    title: String,
    /// The status.
    status: u16,
    /// Who, what and which limit.
    detail: String,
    /// Members of this kind of problem, for programs: `problems` of a file, `reasons` for not being ready.
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl Problem {
    /// A problem of the kind that the status names.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let body = ProblemBody { title, status: status.as_u16(), detail: detail.into(), members: Map::new() };
        Self { status, body }
    }

    /// With a further member (RFC 9457 §3.2).
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.body.members.insert(member.to_owned(), value);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body).expect("text and JSON values always serialize to JSON");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nines\""));
        }
        response
    }
}
