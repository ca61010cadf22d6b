//! The API of pushing: what is asked and told about stores, in the words of the crate `push`.

use crate::answers::Api;
use crate::problem::Problem;
use crate::take::{Body, InPath, InQuery, Raw};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::SystemTime;
use topology::push::{
    Assets, Blob, Draft, Error, FILES_MAX, Hash, Manifest, Missing, PART_BYTES_MAX, ReleaseName, ReleaseSeen,
    Uploaded,
};

/// The largest body: a draft of as many files as a release may have.
pub(crate) const DRAFT_BYTES_MAX: usize = 48 << 20;

/// The largest part of an upload.
pub(crate) const UPLOAD_BYTES_MAX: usize = PART_BYTES_MAX;

/// A store in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Store {
    /// Its name.
    name: String,
    /// The release that is served.
    release: Option<ReleaseName>,
    /// How many releases are kept.
    releases: usize,
    /// Bytes of all that is stored on this machine.
    stored_bytes: u64,
}

/// Which release is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// Its name; the one before that which is served, where it is left out.
    release: Option<ReleaseName>,
}

/// Where an upload stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// How long all of it is.
    size: u64,
    /// Where this part begins.
    #[serde(default)]
    offset: u64,
}

/// How far an upload is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Progress {
    /// Where the next part begins.
    offset: u64,
    /// Whether it is stored, so that a release may name it.
    is_stored: bool,
}

pub(crate) async fn stores(State(api): State<Api>) -> Json<Vec<Store>> {
    let store = |assets: Arc<Assets>| Store {
        name: assets.name().to_owned(),
        release: assets.manifest(None).map(|release| release.release.clone()),
        releases: assets.releases().len(),
        stored_bytes: assets.stored_bytes(),
    };
    Json(api.running().pushes().into_iter().map(store).collect())
}

pub(crate) async fn releases(
    State(api): State<Api>,
    InPath(store): InPath<String>,
) -> Result<Json<Vec<ReleaseSeen>>, Problem> {
    Ok(Json(find(&api, &store)?.releases()))
}

pub(crate) async fn current(
    State(api): State<Api>,
    InPath(store): InPath<String>,
) -> Result<Json<Manifest>, Problem> {
    let nothing = || Problem::new(StatusCode::NOT_FOUND, format!("nothing was pushed to {store} yet"));
    let manifest = find(&api, &store)?.manifest(None).ok_or_else(nothing)?;
    Ok(Json(Manifest::clone(&manifest)))
}

pub(crate) async fn release(
    State(api): State<Api>,
    InPath((store, release)): InPath<(String, ReleaseName)>,
) -> Result<Json<Manifest>, Problem> {
    let manifest = find(&api, &store)?.manifest(Some(&release));
    let manifest = manifest.ok_or_else(|| problem(&Error::Unknown(release)))?;
    Ok(Json(Manifest::clone(&manifest)))
}

pub(crate) async fn missing(
    State(api): State<Api>,
    InPath(store): InPath<String>,
    Body(wanted): Body<Vec<Blob>>,
) -> Result<Json<Vec<Missing>>, Problem> {
    let assets = find(&api, &store)?;
    if wanted.len() > FILES_MAX {
        let detail = format!("{} are more than the {FILES_MAX} files that a release may have", wanted.len());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    answered(assets.missing(wanted, SystemTime::now()).await)
}

pub(crate) async fn upload(
    State(api): State<Api>,
    InPath((store, hash)): InPath<(String, Hash)>,
    InQuery(part): InQuery<Part>,
    headers: HeaderMap,
    Raw(bytes): Raw,
) -> Result<Json<Progress>, Problem> {
    let assets = find(&api, &store)?;
    let blob = Blob { hash, size_bytes: part.size };
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let uploaded = assets.upload(blob, part.offset, media_type, bytes).await;
    answered(uploaded.map(|uploaded| match uploaded {
        Uploaded::Partly(offset) => Progress { offset, is_stored: false },
        Uploaded::Whole => Progress { offset: part.size, is_stored: true },
    }))
}

pub(crate) async fn make(
    State(api): State<Api>,
    InPath(store): InPath<String>,
    Body(draft): Body<Draft>,
) -> Result<Json<ReleaseSeen>, Problem> {
    answered(find(&api, &store)?.release(draft, SystemTime::now()).await)
}

pub(crate) async fn roll_back(
    State(api): State<Api>,
    InPath(store): InPath<String>,
    Body(target): Body<Target>,
) -> Result<Json<ReleaseSeen>, Problem> {
    answered(find(&api, &store)?.roll_back(target.release.as_ref(), SystemTime::now()).await)
}

pub(crate) async fn delete(
    State(api): State<Api>,
    InPath((store, release)): InPath<(String, ReleaseName)>,
) -> Result<Json<ReleaseSeen>, Problem> {
    answered(find(&api, &store)?.delete(&release).await)
}

fn find(api: &Api, store: &str) -> Result<Arc<Assets>, Problem> {
    api.running().push(store).ok_or_else(|| {
        let known: Vec<String> = api.running().pushes().iter().map(|one| one.name().to_owned()).collect();
        let detail = format!("no push {store:?}; known: {}", known.join(", "));
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

fn answered<T>(done: Result<T, Error>) -> Result<Json<T>, Problem> {
    done.map(Json).map_err(|error| problem(&error))
}

/// The one place that says which status an error of `push` is.
fn problem(error: &Error) -> Problem {
    let status = match error {
        Error::NotStored(_)
        | Error::Offset { .. }
        | Error::Busy
        | Error::Exists(_)
        | Error::Current(_)
        | Error::Ended(_)
        | Error::NothingBefore => StatusCode::CONFLICT,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Error::WrongHash { .. } | Error::BadDraft(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Unknown(_) => StatusCode::NOT_FOUND,
        Error::Storage(_) => StatusCode::BAD_GATEWAY,
        Error::Document { .. }
        | Error::Config { .. }
        | Error::Disk { .. }
        | Error::Folder(_)
        | Error::Unfit { .. }
        | Error::Changed(_)
        | Error::From { .. }
        | Error::Encode(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let problem = Problem::new(status, error.to_string());
    match error {
        Error::NotStored(missing) => problem.with("missing", json!(missing)),
        Error::Offset { at, .. } => problem.with("offset", json!(at)),
        _ => problem,
    }
}
