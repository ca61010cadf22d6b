//! What a handler takes from a request: axum's extractors, but what cannot be taken is a problem.

use crate::problem::Problem;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// The body, as JSON.
pub(crate) struct Body<T>(pub(crate) T);

/// The body, as it is.
pub(crate) struct Raw(pub(crate) Bytes);

/// The parameters in the path.
pub(crate) struct InPath<T>(pub(crate) T);

/// The parameters in the query.
pub(crate) struct InQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let taken = Json::<T>::from_request(request, state).await;
        let refused = |no: JsonRejection| {
            Problem::new(no.status(), format!("the body: {}", first_small(&no.body_text())))
        };
        taken.map(|Json(value)| Self(value)).map_err(refused)
    }
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let taken = Bytes::from_request(request, state).await;
        let refused = |no: BytesRejection| {
            Problem::new(no.status(), format!("the body: {}", first_small(&no.body_text())))
        };
        taken.map(Self).map_err(refused)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let taken = Path::<T>::from_request_parts(parts, state).await;
        let refused = |no: PathRejection| {
            Problem::new(no.status(), format!("the path: {}", first_small(&no.body_text())))
        };
        taken.map(|Path(value)| Self(value)).map_err(refused)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let taken = Query::<T>::from_request_parts(parts, state).await;
        let refused = |no: QueryRejection| {
            Problem::new(no.status(), format!("the query: {}", first_small(&no.body_text())))
        };
        taken.map(|Query(value)| Self(value)).map_err(refused)
    }
}

/// Our messages begin small, axum's do not.
fn first_small(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
