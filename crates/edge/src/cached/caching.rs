//! A route's cache: the store that all share, and what the route decides.

use crate::core::Work;
use crate::error::Error;
use admission::Networks;
use cdn::key::{QueryPolicy, Target, write_key};
use cdn::rules::Policy;
use cdn::{Cache, CacheConfig, CdnConfig, Engine, Key, SiteMisses};
use notation::Name;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The cache that routes share: its store, and `[cdn]`.
#[derive(Clone)]
pub struct Cdn {
    /// What is kept. It outlives each file.
    pub engine: Arc<Engine>,
    /// `[cdn]`.
    pub config: CdnConfig,
}

/// What is the same for all routes of a file.
pub(crate) struct CdnParts {
    cdn: Cdn,
    purgers: Arc<Networks>,
}

impl CdnParts {
    pub(crate) fn load(cdn: Cdn, dir: &Path) -> Result<Self, Error> {
        let purgers = Arc::new(Networks::load(&cdn.config.purge, dir)?);
        Ok(Self { cdn, purgers })
    }

    /// What a route keeps, and how.
    pub(crate) fn caching(&self, cache: &Cache) -> Caching {
        let config = CacheConfig::of(cache);
        Caching {
            engine: Arc::clone(&self.cdn.engine),
            policy: config.policy(&self.cdn.config),
            query: config.query_policy(),
            client_ttl_s: config.client_ttl_s(),
            wait: self.cdn.config.wait.get(),
            purgers: Arc::clone(&self.purgers),
        }
    }

    /// Where misses of a site are counted.
    pub(crate) fn misses(&self, site: &str) -> Arc<SiteMisses> {
        self.cdn.engine.misses().of_site(site)
    }

    /// The pool that fetches go to first.
    pub(crate) fn shield(&self) -> Option<&Name> {
        self.cdn.config.shield.as_ref()
    }

    pub(crate) fn refresh(&self) -> admission::Refreshed {
        self.purgers.refresh()
    }
}

/// What a route keeps, and how.
pub(crate) struct Caching {
    pub(crate) engine: Arc<Engine>,
    pub(crate) policy: Policy,
    pub(crate) query: QueryPolicy,
    /// For how long clients use a response, where they are told another time than the origin's.
    pub(crate) client_ttl_s: Option<u32>,
    /// How long a request waits for the fetch of another.
    pub(crate) wait: Duration,
    /// Whose PURGE is heard.
    pub(crate) purgers: Arc<Networks>,
}

impl Caching {
    /// What a request is looked up by.
    pub(crate) fn key(&self, work: &Work) -> Key {
        self.key_of(&target_of(work))
    }

    /// Whether all of a query is in the key.
    pub(super) fn is_whole_query_kept(&self, query: &[u8]) -> bool {
        let mut kept = Vec::with_capacity(query.len());
        self.query.write(query, &mut kept);
        kept == query
    }

    /// What requests to this target are looked up by.
    pub(crate) fn key_of(&self, target: &Target<'_>) -> Key {
        let mut bytes = Vec::with_capacity(128);
        write_key(target, &self.query, &mut bytes);
        self.engine.key(&bytes)
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
