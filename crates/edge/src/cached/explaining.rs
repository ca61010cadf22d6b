//! `nines explain --cache URL`: what the cache would do with a request, and why. Nothing is fetched, counted or used by it: what is
//! kept is looked at by the functions that serve.

mod judging;
#[cfg(test)]
mod tests;
mod words;

use crate::core::Snapshot;
use crate::explain::{Query, QueryError, Walked, walk};
use judging::Judging;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheOutcome {
    /// It is answered with what is kept.
    Hit,
    /// It is answered with what is kept and stale.
    Stale,
    /// The origin is asked, for all who want the same.
    Miss,
    /// The cache has no part in it.
    Pass,
    /// 504: the client takes nothing but what is kept.
    Unavailable,
    /// It purges what is kept.
    Purge,
}

/// What the cache would do with a request, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CacheExplanation {
    /// What becomes of it.
    pub outcome: CacheOutcome,
    /// Why, rule by rule.
    pub why: Vec<String>,
    /// The site that answers.
    pub site: Option<String>,
    /// The path of the route that answers, as in the file.
    pub route: Option<String>,
    /// What responses to it are kept under.
    pub key: Option<String>,
    /// What is kept under it, all variants: in memory first, the newest first.
    pub kept: Vec<KeptExplanation>,
    /// The fetch that is under way.
    pub fetch: Option<FetchExplanation>,
    /// Why nobody waits for another's response.
    pub unshared: Option<UnsharedExplanation>,
    /// Purges of this URL that are remembered, the last first.
    pub purges: Vec<String>,
}

/// A response that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeptExplanation {
    /// It is the one that answers, or that the origin confirms.
    pub is_chosen: bool,
    /// The request asks for this variant.
    pub matches: bool,
    /// The request fields that it differs by, with the values that it was asked for with, in one form.
    pub differs_by: Vec<FieldExplanation>,
    /// Where it is: `memory`, `disk`.
    pub places: Vec<String>,
    /// Its status.
    pub status: u16,
    /// Bytes of its body that are kept.
    pub body_bytes: u64,
    /// The first of these bytes and the one after the last, where a part is kept.
    pub range: Option<(u64, u64)>,
    /// How old it is.
    pub age_seconds: u32,
    /// For how long it is fresh, as an age.
    pub lifetime_seconds: u32,
    /// What says so.
    pub lifetime_by: String,
    /// For how long it is fresh still; negative: since when it is stale.
    pub fresh_for_seconds: i64,
    /// For how long after its lifetime it is served while it is asked for anew.
    pub stale_while_revalidate_seconds: u32,
    /// For how long after its lifetime it is served where the origin fails.
    pub stale_if_error_seconds: u32,
    /// It is never served stale.
    pub must_revalidate: bool,
    /// It is confirmed before each use.
    pub no_cache: bool,
    /// Its surrogate keys.
    pub tags: Vec<String>,
    /// The purges that were about it, the last first. After one that is not soft it is not served.
    pub purged_by: Vec<String>,
    /// It is purged, and waits to be freed.
    pub is_gone: bool,
}

/// A request field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldExplanation {
    /// Its name, in lower case.
    pub name: String,
    /// Its value, in one form.
    pub value: String,
}

/// A fetch that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FetchExplanation {
    /// The head of the response has come.
    pub has_head: bool,
    /// Bytes of the body so far.
    pub received_bytes: u64,
    /// Requests that read it, or wait to.
    pub readers: usize,
}

/// Why nobody waits for another's response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnsharedExplanation {
    /// Why the last response was not stored.
    pub why: String,
    /// For how long that is remembered.
    pub for_seconds: u64,
}

/// Explains by the routes as they were when this was made.
pub struct CacheExplainer(pub(crate) Arc<Snapshot>);

impl CacheExplainer {
    /// What the cache would do with a request at this moment, and why. Waits for the disk: not for a thread of the data plane.
    ///
    /// # Errors
    /// When the query is no URL of ours.
    pub fn explain(&self, query: &Query) -> Result<CacheExplanation, QueryError> {
        explain(&self.0, query, SystemTime::now())
    }
}

fn explain(snapshot: &Snapshot, query: &Query, now: SystemTime) -> Result<CacheExplanation, QueryError> {
    let mut query = query.clone();
    if let Some(body) = query.body.as_ref().filter(|body| !body.is_empty()) {
        query.headers.push(("Content-Length".into(), body.len().to_string()));
    }
    let Walked { explanation, bytes, path, route } = walk(snapshot, &query)?;
    let mut explained = CacheExplanation {
        outcome: CacheOutcome::Pass,
        why: Vec::new(),
        site: explanation.site,
        route: route.as_ref().map(|route| route.path.clone()),
        key: None,
        kept: Vec::new(),
        fetch: None,
        unshared: None,
        purges: Vec::new(),
    };
    match route.as_ref().map(|route| &route.caching) {
        Some(Some(caching)) => {
            let judging = Judging::new(caching, &query, &bytes, path, now);
            judging.explain(Instant::now(), &mut explained);
        }
        Some(None) => explained.why.push("the route has no `cache`".into()),
        None => explained.why.push(format!("no pool is asked: {}", explanation.action)),
    }
    Ok(explained)
}
