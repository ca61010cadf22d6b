//! A route's cache: the store that all share, and what the route decides.

use crate::core::Work;
use admission::Networks;
use cdn::rules::Policy;
use cdn::{Cache, Key, QueryPolicy, Target, write_key};
use std::sync::Arc;
use std::time::Duration;

/// What a route keeps, and how.
pub(crate) struct Caching {
    pub(crate) cache: Arc<Cache>,
    pub(crate) policy: Policy,
    pub(crate) query: QueryPolicy,
    /// How long a request waits for the fetch of another.
    pub(crate) patience: Duration,
    /// Whose PURGE is heard.
    pub(crate) purgers: Option<Networks>,
}

impl Caching {
    /// What a request is looked up by.
    pub(crate) fn key(&self, work: &Work) -> Key {
        let mut bytes = Vec::with_capacity(128);
        write_key(&target_of(work), &self.query, &mut bytes);
        self.cache.key(&bytes)
    }
}

/// Where a request goes.
pub(crate) fn target_of(work: &Work) -> Target<'_> {
    let head = work.down.held();
    Target {
        scheme: if work.is_secure { b"https" } else { b"http" },
        host: work.request.host.map_or(&b""[..], |host| host.of_head(head)),
        path: &work.path,
        query: work.request.query.of_head(head),
    }
}
