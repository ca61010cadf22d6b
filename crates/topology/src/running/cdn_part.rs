//! The cache as a part of a node: the only file that knows how it is opened, changed and purged.

use super::nodes_part::{self, NodesPart};
use super::{ReloadError, StartError};
use crate::config::Topology;
use crate::status::CdnStatus;
use cdn::key::QueryPolicy;
use cdn::nodes::{Message, Moment, Nodes};
use cdn::purge::{Mode, Target};
use cdn::store::{DiskConfig, forget_later};
use cdn::{Engine, EngineConfig};
use edge::{CacheCounts, SiteCacheStatus};
use notation::Size;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telemetry::{Hook, Registry};
use thiserror::Error;

mod takeover;

/// The cache, if the file names one. It outlives edges and files: what is kept stays over a reload.
#[derive(Default)]
pub(super) struct CdnPart(Option<Open>);

struct Open {
    engine: Arc<Engine>,
    folder: PathBuf,
    disk: Option<Size>,
    nodes: Option<NodesPart>,
    _metrics: Hook,
}

/// A change of the cache that is known to work.
pub(super) enum PreparedCdn {
    /// There was none and there is none, or it goes.
    Absent,
    /// It is new.
    Added(CdnPart),
    /// It stays, with this much memory.
    Kept { memory: Size, nodes: Option<NodesPart> },
}

/// What is to be purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purge {
    /// All variants of a URL.
    Url(String),
    /// All URLs that begin so.
    Prefix(String),
    /// All responses that carry this surrogate key.
    Tag(String),
    /// All there is.
    All,
}

/// Why nothing was purged.
#[derive(Debug, Error)]
pub enum PurgeError {
    /// There is nothing that keeps anything.
    #[error("the file has no `[cdn]`")]
    NoCdn,
    /// It is no URL.
    #[error("{0:?} is no URL: it begins with `http://` or `https://` and a host")]
    Url(String),
    /// It could not be written where it survives.
    #[error(transparent)]
    Cdn(#[from] cdn::Error),
}

impl CdnPart {
    /// `before` is where the process that this one takes over from tells of purges, and is told of them.
    pub(super) fn start(
        topology: &Topology,
        dir: &Path,
        registry: &Registry,
        before: Option<UnixStream>,
    ) -> Result<Self, StartError> {
        let mut part = Self::open(topology, dir, registry, before)?;
        part.run();
        Ok(part)
    }

    /// This node serves by this file. What an earlier one had on the disk misses what is purged, or only changes, from now on: where this one
    /// has none, that is forgotten.
    pub(super) fn forget_unused(topology: &Topology, dir: &Path) {
        let has_disk = topology.cdn.as_ref().is_some_and(|cdn| cdn.disk.is_some());
        if !has_disk && let Err(error) = forget_later(&folder(topology, dir)) {
            tell_unforgotten(&error);
        }
    }

    /// Speaks with other nodes from now on.
    fn run(&mut self) {
        if let Some(nodes) = self.0.as_mut().and_then(|open| open.nodes.as_mut()) {
            nodes.run();
        }
    }

    fn open(
        topology: &Topology,
        dir: &Path,
        registry: &Registry,
        before: Option<UnixStream>,
    ) -> Result<Self, cdn::Error> {
        let folder = folder(topology, dir);
        let Some(config) = &topology.cdn else { return Ok(Self(None)) };
        let memory_bytes = config.memory.get();
        let mut wanted = EngineConfig::of_memory(memory_bytes);
        wanted.disk = config
            .disk
            .map(|disk| DiskConfig::behind(memory_bytes, folder.clone(), disk.get() - beside(disk.get())));
        let engine = takeover::open_engine(&wanted, &folder, before)?;
        let metrics = cdn::register(registry, &engine);
        let nodes = NodesPart::open(None, &engine, topology, dir, registry)?;
        Ok(Self(Some(Open { engine, folder, disk: config.disk, nodes, _metrics: metrics })))
    }

    /// Everything of a reload that may fail.
    pub(super) fn prepare(
        &self,
        new: &Topology,
        dir: &Path,
        registry: &Registry,
    ) -> Result<PreparedCdn, ReloadError> {
        match (&self.0, &new.cdn) {
            (_, None) => Ok(PreparedCdn::Absent),
            (None, Some(_)) => Ok(PreparedCdn::Added(Self::open(new, dir, registry, None)?)),
            (Some(open), Some(config)) if open.disk != config.disk => {
                Err(ReloadError::NeedsRestart { what: "cdn.disk".into() })
            }
            (Some(open), Some(config)) => {
                let nodes = NodesPart::open(open.nodes.as_ref(), &open.engine, new, dir, registry)?;
                Ok(PreparedCdn::Kept { memory: config.memory, nodes })
            }
        }
    }

    /// What the edge is to be given once a change is made.
    pub(super) fn of_edge_after(&self, prepared: &PreparedCdn, new: &Topology) -> Option<edge::Cdn> {
        match prepared {
            PreparedCdn::Absent => None,
            PreparedCdn::Added(part) => part.of_edge(new),
            PreparedCdn::Kept { .. } => self.of_edge(new),
        }
    }

    /// What the edge is given.
    pub(super) fn of_edge(&self, topology: &Topology) -> Option<edge::Cdn> {
        let (open, config) = (self.0.as_ref()?, topology.cdn.clone()?);
        Some(edge::Cdn { engine: Arc::clone(&open.engine), config })
    }

    /// How full it is and what was counted, with what was counted by site.
    pub(super) fn status(&self, sites: Vec<SiteCacheStatus>) -> Option<CdnStatus> {
        let figures = self.0.as_ref()?.engine.figures();
        let all = |of: fn(&SiteCacheStatus) -> CacheCounts| {
            sites.iter().map(of).fold(CacheCounts::default(), CacheCounts::and).hit_ratio()
        };
        Some(CdnStatus {
            hit_ratio: all(|site| site.requests),
            byte_hit_ratio: all(|site| site.sent_bytes),
            memory_bytes: figures.memory.bytes,
            memory_objects: figures.memory.objects,
            disk_bytes: figures.disk.bytes,
            disk_objects: figures.disk.objects,
            evicted: figures.memory.evicted,
            fills: figures.flights.fills,
            coalesced: figures.flights.coalesced,
            refreshes: figures.refreshes,
            purges: figures.purges,
            sites,
            nodes: self.nodes().map_or_else(Vec::new, |nodes| nodes_part::status(&nodes)),
        })
    }

    /// Applies a change. A cache that goes comes back, to be closed. What it has on the disk is forgotten: it misses what is purged, or only
    /// changes, until there is a cache again.
    pub(super) fn commit(&mut self, prepared: PreparedCdn) -> Option<Self> {
        match prepared {
            PreparedCdn::Absent => {
                if let Some(Err(error)) = self.0.as_ref().map(|open| forget_later(&open.folder)) {
                    tell_unforgotten(&error);
                }
                return Some(std::mem::take(self));
            }
            PreparedCdn::Added(part) => {
                *self = part;
                self.run();
            }
            PreparedCdn::Kept { memory, mut nodes } => {
                if let Some(open) = &mut self.0 {
                    match &mut nodes {
                        Some(nodes) => nodes.run(),
                        None => open.engine.join_nodes(None),
                    }
                    open.nodes = nodes;
                    open.engine.resize(memory.get());
                }
            }
        }
        None
    }

    /// For a process that is about to take over: where it is told of purges, and tells of them.
    pub(super) fn to_successor(&self) -> io::Result<Option<OwnedFd>> {
        self.0.as_ref().map(|open| takeover::to_successor(&open.engine)).transpose()
    }

    /// The process that was about to take over does not.
    pub(super) fn forsake_successor(&self) {
        if let Some(open) = &self.0 {
            open.engine.forsake_successor();
        }
    }

    /// Another process serves: it is to have the disk. Returned is what does that, and waits for the disk.
    pub(super) fn hand_over(&self) -> Option<impl FnOnce() + Send + 'static> {
        let engine = Arc::clone(&self.0.as_ref()?.engine);
        Some(move || takeover::hand_over(&engine))
    }

    /// Tells the other nodes that this one ends.
    pub(super) async fn leave(&mut self) {
        if let Some(nodes) = self.0.as_mut().and_then(|open| open.nodes.take()) {
            nodes.leave().await;
        }
    }

    /// The node among others, if there are any.
    pub(super) fn nodes(&self) -> Option<Arc<Nodes>> {
        Some(Arc::clone(self.0.as_ref()?.nodes.as_ref()?.nodes()))
    }

    /// Writes what waits to be written, and lets go of the disk, whoever still holds the cache. Waits for the disk.
    pub(super) fn close(self) {
        if let Some(open) = self.0 {
            open.engine.join_nodes(None);
            open.engine.close();
        }
    }

    /// Who purges, so that no lock is held meanwhile.
    pub(super) fn purger(&self, topology: &Topology) -> Result<Purger, PurgeError> {
        let open = self.0.as_ref().ok_or(PurgeError::NoCdn)?;
        let queries = queries(topology);
        Ok(Purger { engine: Arc::clone(&open.engine), queries })
    }
}

/// Why another node is not answered.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The file names none.
    #[error("the file has no `[cdn] nodes`")]
    NoNodes,
    /// It is no message of a node.
    #[error("this is no message of a node")]
    Message,
    /// What it says could not be written where it survives.
    #[error(transparent)]
    Cdn(#[from] cdn::Error),
}

pub(super) async fn exchange(nodes: Option<Arc<Nodes>>, message: &[u8]) -> Result<Vec<u8>, ExchangeError> {
    let nodes = nodes.ok_or(ExchangeError::NoNodes)?;
    if message.is_empty() {
        return Ok(nodes.describe(Moment::now()).write());
    }
    let message = Message::read(message).ok_or(ExchangeError::Message)?;
    // It waits for the disk.
    let answering = tokio::task::spawn_blocking(move || nodes.answer(&message, Moment::now()));
    match answering.await {
        Ok(answer) => Ok(answer?.write()),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Purges what is kept.
pub(super) struct Purger {
    engine: Arc<Engine>,
    /// What routes make of a query: a URL is purged under each key that it may have.
    queries: Vec<QueryPolicy>,
}

impl Purger {
    /// Purges, and returns the purge's number once it is on the disk.
    pub(super) fn purge(&self, purge: &Purge, mode: Mode) -> Result<u64, PurgeError> {
        let prefix;
        let target = match purge {
            Purge::Url(url) => return self.purge_url(url, mode),
            Purge::Prefix(url) => {
                prefix = key_of(url, &QueryPolicy::All)?;
                Target::Prefix(&prefix)
            }
            Purge::Tag(tag) => Target::Tag(tag),
            Purge::All => Target::Everything,
        };
        Ok(self.engine.purge(target, mode)?)
    }

    fn purge_url(&self, url: &str, mode: Mode) -> Result<u64, PurgeError> {
        let keys: Result<BTreeSet<Vec<u8>>, PurgeError> =
            self.queries.iter().map(|query| key_of(url, query)).collect();
        // All of them, also where one cannot be written.
        let mut purged = Ok(0);
        for key in keys? {
            purged = purged.and(self.engine.purge(Target::Key(&key), mode));
        }
        Ok(purged?)
    }

    /// Frees the memory of what is purged; one at a time. Looks at all that is kept.
    pub(super) fn tend(&self) {
        if let Err(error) = self.engine.tend() {
            tracing::warn!(target: "topology", %error, "purges that are about nothing any more are still remembered");
        }
    }
}

fn folder(topology: &Topology, dir: &Path) -> PathBuf {
    dir.join(&topology.node.data).join("cdn")
}

fn tell_unforgotten(error: &cdn::Error) {
    tracing::error!(target: "topology", %error, "a cache that is gone may come back with what it had: remove its folder");
}

/// What of the disk is not for responses: the log of purges, and what file systems round up.
fn beside(disk_bytes: u64) -> u64 {
    (disk_bytes / 64).clamp(64 << 10, 8 << 20).min(disk_bytes)
}

/// All that routes make of a query; as it stands, in any case.
fn queries(topology: &Topology) -> Vec<QueryPolicy> {
    let mut queries = vec![QueryPolicy::All];
    let routes =
        topology.site.values().flat_map(|site| site.route.values()).flat_map(notation::OneOrMany::as_slice);
    for cache in routes.filter_map(|route| route.cache.as_ref()) {
        let query = cdn::CacheConfig::of(cache).query_policy();
        if !queries.contains(&query) {
            queries.push(query);
        }
    }
    queries
}

/// A URL as responses are kept under: its path and query as they stand, its host in one form.
fn key_of(url: &str, queries: &QueryPolicy) -> Result<Vec<u8>, PurgeError> {
    let bad = || PurgeError::Url(url.to_owned());
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if !is_http || host.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad());
    }
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let path = edge::protocol::normalized_path(path.as_bytes());
    let target = cdn::key::Target {
        scheme: scheme.as_bytes(),
        host: host.as_bytes(),
        path: &path,
        query: query.as_bytes(),
    };
    let mut bytes = Vec::new();
    cdn::key::write_key(&target, queries, &mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdn::rules::Stored;
    use cdn::store::{Body, Object};
    use std::time::SystemTime;

    #[test]
    fn a_url_is_found_as_it_is_kept() {
        let key = |url: &str| key_of(url, &QueryPolicy::All).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(key("HTTP://Shop.test:80/a/../b?c=d#e").unwrap(), "http://shop.test/b?c=d");
        assert_eq!(key("https://shop.test").unwrap(), "https://shop.test/");
        for bad in ["", "shop.test/a", "ftp://shop.test/", "http:///a", "http://shop.test/a b", "not a url"] {
            assert!(matches!(key(bad), Err(PurgeError::Url(_))), "{bad}");
        }
    }

    #[test]
    fn what_is_kept_on_the_disk_while_another_process_purges_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cdn");
        let disk = DiskConfig::behind(64 << 20, folder.clone(), 64 << 20);
        let wanted = EngineConfig { disk: Some(disk), ..EngineConfig::of_memory(1 << 20) };
        let open = || takeover::open_engine(&wanted, &folder, None).unwrap();
        let before = open();
        before.put(response(&before));
        let after = open();
        after.purge(Target::Everything, Mode::Hard).unwrap();
        drop((before, after));
        // It is forgotten once.
        let next = open();
        assert_eq!(next.figures().disk.objects, 0);
        next.put(response(&next));
        drop(next);
        assert_eq!(open().figures().disk.objects, 1);
    }

    fn topology(text: &str) -> Topology {
        crate::file::parse(text, Path::new("nines.toml")).unwrap().topology
    }

    fn response(engine: &Engine) -> Object {
        let stored = Stored {
            status: 200,
            lines: [].into(),
            unsent: [].into(),
            requested: SystemTime::UNIX_EPOCH,
            received: SystemTime::UNIX_EPOCH,
            initial_age: 0,
            lifetime: 60,
            stale_while_revalidate: 0,
            stale_if_error: 0,
            must_revalidate: false,
            no_cache: false,
            vary: [].into(),
            tags: [].into(),
            length: None,
            range: None,
            not_stored: None,
        };
        Object::new(engine.key(b"http://shop.test/"), stored, Body::copy_of(b"body"), 0)
    }

    #[test]
    fn a_cache_that_the_file_no_longer_names_comes_back_empty() {
        let home = tempfile::tempdir().unwrap();
        let with = topology("[cdn]\nmemory = \"8MiB\"\ndisk = \"8MiB\"\n");
        let (without, registry) = (topology(""), Registry::new());
        let open = |topology: &Topology| CdnPart::open(topology, home.path(), &registry, None).unwrap();
        let keep = |part: &CdnPart| {
            let engine = &part.0.as_ref().unwrap().engine;
            engine.put(response(engine));
            engine.flush();
            assert_eq!(engine.figures().disk.objects, 1);
        };
        let objects = |part: &CdnPart| part.0.as_ref().unwrap().engine.figures().disk.objects;
        // A restart with the same file finds it; one after a start without a cache does not.
        let first = open(&with);
        keep(&first);
        first.close();
        let second = open(&with);
        assert_eq!(objects(&second), 1);
        second.close();
        open(&without).close();
        CdnPart::forget_unused(&without, home.path());
        let mut third = open(&with);
        assert_eq!(objects(&third), 0);
        keep(&third);
        // A reload that takes it away, while a core holds it still.
        let held = Arc::clone(&third.0.as_ref().unwrap().engine);
        let gone = third.prepare(&without, home.path(), &registry).unwrap();
        third.commit(gone).unwrap().close();
        let PreparedCdn::Added(fourth) = third.prepare(&with, home.path(), &registry).unwrap() else {
            panic!("it is new")
        };
        assert_eq!(objects(&fourth), 0);
        keep(&fourth);
        drop(held);
    }
}
