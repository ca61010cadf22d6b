//! The edge as a part of a node: the only file that knows how it is started, changed and asked.

use super::listen::{self, Inherited};
use super::{ReloadError, StartError, pools};
use crate::config::Topology;
use crate::file::Checked;
use balance::Pool;
use cores::Address;
use edge::{
    AccessLogTarget, CacheExplainer, DnsAnswers, Edge, EdgeConfig, EdgeParts, EdgeStatus, Explanation, Query,
    QueryError, SignError, SignWish, SignedUrl, SiteCacheStatus,
};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::Registry;
use thiserror::Error;

/// The stores that routes name.
pub(super) type Pushes = HashMap<String, Arc<push::Assets>>;

/// What routes serve that is kept here.
#[derive(Default)]
pub(super) struct Kept {
    /// What was pushed; `None` where only the file is known.
    pub(super) pushes: Option<Pushes>,
    /// Responses of pools.
    pub(super) cdn: Option<edge::Cdn>,
}

/// The edge, if the file names one.
#[derive(Default)]
pub(super) struct EdgePart(Option<Edge>);

/// A change of the edge that is known to work.
pub(super) enum PreparedEdge {
    /// There was none and there is none.
    Absent,
    /// It is not in the file any more.
    Removed,
    /// It is new, and serves already.
    Added(Edge),
    /// It stays.
    Changed(Box<edge::Prepared>),
}

impl PreparedEdge {
    /// Undoes a change that is not made after all.
    pub(super) async fn discard(self) {
        if let Self::Added(edge) = self {
            edge.drain(Duration::ZERO).await;
        }
    }
}

/// Why a request cannot be explained.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The file names no edge, so that no request arrives.
    #[error("the file has no `[edge]`")]
    NoEdge,
    /// It is no request of HTTP.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl EdgePart {
    /// Starts the edge; it serves at once.
    pub(super) fn start(
        topology: &Topology,
        dir: &Path,
        pools: HashMap<String, Arc<Pool>>,
        kept: Kept,
        dns: Arc<dyn DnsAnswers>,
        registry: &Registry,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let Some(mut parts) = parts(topology, dir, pools, kept, Some(dns)) else { return Ok(Self(None)) };
        let open = inherited.edge_addresses();
        keep_ports(&mut parts.config, &open);
        let listeners = std::mem::take(&mut inherited.edge);
        Ok(Self(Some(Edge::start(parts, registry.clone(), listeners)?)))
    }

    /// Everything of a reload that may fail.
    pub(super) fn prepare(
        &self,
        topology: &Topology,
        dir: &Path,
        pools: HashMap<String, Arc<Pool>>,
        kept: Kept,
        dns: Arc<dyn DnsAnswers>,
        registry: &Registry,
    ) -> Result<PreparedEdge, ReloadError> {
        match (&self.0, parts(topology, dir, pools, kept, Some(dns))) {
            (None, None) => Ok(PreparedEdge::Absent),
            (Some(_), None) => Ok(PreparedEdge::Removed),
            (None, Some(parts)) => Ok(PreparedEdge::Added(Edge::start(parts, registry.clone(), Vec::new())?)),
            (Some(edge), Some(mut parts)) => {
                let open = listen::distinct_addresses(&self.listeners().unwrap_or_default());
                keep_ports(&mut parts.config, &open);
                Ok(PreparedEdge::Changed(Box::new(edge.prepare(parts)?)))
            }
        }
    }

    /// Applies a change. An edge that goes comes back, to be drained.
    pub(super) fn commit(&mut self, prepared: PreparedEdge) -> Option<Self> {
        match prepared {
            PreparedEdge::Absent => {}
            PreparedEdge::Removed => return Some(std::mem::take(self)),
            PreparedEdge::Added(edge) => self.0 = Some(edge),
            PreparedEdge::Changed(prepared) => {
                if let Some(edge) = &self.0 {
                    edge.commit(*prepared);
                }
            }
        }
        None
    }

    /// Copies of the listening sockets, to be handed over.
    pub(super) fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        self.0.as_ref().map_or_else(|| Ok(Vec::new()), Edge::listeners)
    }

    /// Leaves what comes to a process that has taken over.
    pub(super) fn hand_over(&self) {
        if let Some(edge) = &self.0 {
            edge.hand_over();
        }
    }

    /// Takes no new connection.
    pub(super) fn stop_accepting(&self) {
        if let Some(edge) = &self.0 {
            edge.stop_accepting();
        }
    }

    /// Waits for what is under way, at most `deadline`. `true` when all of it ended by itself.
    pub(super) async fn drain(self, deadline: Duration) -> bool {
        match self.0 {
            Some(edge) => edge.drain(deadline).await,
            None => true,
        }
    }

    /// What there is to see of it, if there is one.
    pub(super) fn status(&self) -> Option<EdgeStatus> {
        self.0.as_ref().map(Edge::status)
    }

    /// What was counted of the cache by site.
    pub(super) fn caching(&self, misses: usize) -> Vec<SiteCacheStatus> {
        self.0.as_ref().map(|edge| edge.caching(misses)).unwrap_or_default()
    }

    /// Who says what the cache would do with a request.
    pub(super) fn cache_explainer(&self) -> Result<CacheExplainer, ExplainError> {
        Ok(self.0.as_ref().ok_or(ExplainError::NoEdge)?.cache_explainer())
    }

    pub(super) fn explain(&self, query: &Query) -> Result<Explanation, ExplainError> {
        Ok(self.0.as_ref().ok_or(ExplainError::NoEdge)?.explain(query)?)
    }
}

/// Whether everything that the file wants to listen on is free.
pub(super) fn check_free(topology: &Topology) -> Result<(), StartError> {
    if let Some(config) = &topology.edge {
        config.listeners().try_for_each(listen::check_free)?;
        let mut http3 = config.http3.iter().copied().map(Address::udp);
        http3.try_for_each(cores::check_free).map_err(edge::Error::from)?;
    }
    Ok(())
}

fn parts(
    topology: &Topology,
    dir: &Path,
    pools: HashMap<String, Arc<Pool>>,
    kept: Kept,
    dns: Option<Arc<dyn DnsAnswers>>,
) -> Option<EdgeParts> {
    let mut config = topology.edge.clone()?;
    if let AccessLogTarget::File(path) = &mut config.access_log {
        *path = dir.join(&*path);
    }
    let data = dir.join(&topology.node.data);
    let (sites, Kept { pushes, cdn }) = (topology.site.clone(), kept);
    Some(EdgeParts { config, sites, pools, pushes, dir: dir.to_owned(), data, cdn, dns })
}

/// Port 0 asks the kernel for a port once: a reload and a takeover keep the one it gave.
fn keep_ports(config: &mut EdgeConfig, open: &[SocketAddr]) {
    let wanted: Vec<SocketAddr> = config.listeners().collect();
    let mut given: Vec<SocketAddr> =
        open.iter().filter(|address| !wanted.contains(address)).copied().collect();
    for address in config.listeners_mut().filter(|address| address.port() == 0) {
        if let Some(nth) = given.iter().position(|open| open.ip() == address.ip()) {
            *address = given.remove(nth);
        }
    }
}

/// What [`super::Running::explain`] would say of a file that does not run: endpoints of pools are those
/// that the file itself names.
pub fn explain_file(checked: &Checked, query: &Query) -> Result<Explanation, ExplainError> {
    let parts = parts(&checked.topology, checked.dir(), pools::silent(checked), Kept::default(), None);
    Ok(edge::explain(&parts.ok_or(ExplainError::NoEdge)?, query)?)
}

/// Signs a URL by the keys of a file. `None`: the file names no edge.
///
/// # Errors
/// The URL is none that a route with keys answers, or the wish does not say enough.
pub fn sign_url(checked: &Checked, wish: &SignWish, now: SystemTime) -> Result<Option<SignedUrl>, SignError> {
    let parts = parts(&checked.topology, checked.dir(), pools::silent(checked), Kept::default(), None);
    parts.map(|parts| edge::sign(&parts, wish, now)).transpose()
}
