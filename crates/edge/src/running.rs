//! The edge as the topology sees it: started, changed without a stop, handed over, drained.

use crate::arrival::Door;
use crate::cached::{CacheExplainer, Cdn, SiteCacheStatus};
use crate::config::{EdgeConfig, SiteConfig};
use crate::core::{Core, CoreParts, Snapshot};
use crate::dns_answer::DnsAnswers;
use crate::error::Error;
use crate::events::EdgeEvents;
use crate::explain::{Explanation, Query, QueryError, explain_snapshot};
use crate::gate;
use crate::loading::{Ordering, Origins, compile, stapler, start_ordering};
use crate::sites::Site;
use acme::{Acme, Stapler};
use balance::Pool;
use cores::{Address, Cores, Socket, Watcher};
use notation::Named;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{self, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use telemetry::Registry;
use tokio::sync::watch;

/// What an edge is made of.
pub struct EdgeParts {
    /// `[edge]`.
    pub config: EdgeConfig,
    /// `[site.HOST]`, by host.
    pub sites: Named<SiteConfig>,
    /// The pools that routes name.
    pub pools: HashMap<String, Arc<Pool>>,
    /// The stores that routes name. Absent where the file alone is explained: what is in them does not matter then.
    pub pushes: Option<HashMap<String, Arc<push::Assets>>>,
    /// The folder that paths of the file start from.
    pub dir: PathBuf,
    /// The node's data folder, where certificates of its own are kept.
    pub data: PathBuf,
    /// Where routes with `cache` keep responses; there is no such route without it.
    pub cdn: Option<Cdn>,
    /// Who answers queries of DNS that come over HTTP, for routes with `dns = true`.
    pub dns: Option<Arc<dyn DnsAnswers>>,
}

impl EdgeParts {
    /// Where the file wants to be reached, and how.
    fn doors(&self) -> Vec<(Address, Door)> {
        let http = self.config.http.iter().map(|at| (Address::tcp(*at), Door::Http));
        let https = self.config.https.iter().map(|at| (Address::tcp(*at), Door::Https));
        let http3 = self.config.http3.iter().map(|at| (Address::udp(*at), Door::Http3));
        http.chain(https).chain(http3).collect()
    }
}

/// A running edge.
pub struct Edge {
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    cores: Cores<Door>,
    open: Arc<AtomicUsize>,
    /// Who orders certificates, if any are to be ordered.
    acme: Mutex<Option<Arc<Acme>>>,
    /// What is known of clients, which outlives each file.
    admission: Arc<gate::Shared>,
    /// Looks for changed files until it is dropped.
    _watcher: Watcher,
}

/// A change that can no longer fail.
pub struct Prepared {
    snapshot: Snapshot,
    sockets: cores::Prepared<Door>,
    acme: Ordering,
}

/// What there is to see of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeStatus {
    /// Where it listens: by TCP first, then by UDP.
    pub listeners: Vec<ListenerStatus>,
    /// Cores that serve.
    pub cores: usize,
    /// Client connections open.
    pub connections: usize,
    /// The hosts of its sites.
    pub sites: Vec<String>,
}

/// A listener as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// What it speaks: `http`, `https` or `http3`.
    pub protocol: String,
    /// Where it listens, with the port that the kernel chose where the file says 0.
    pub address: SocketAddr,
}

impl From<(Address, Door)> for ListenerStatus {
    fn from((address, door): (Address, Door)) -> Self {
        let protocol = match door {
            Door::Http => "http",
            Door::Https => "https",
            Door::Http3 => "http3",
        };
        Self { protocol: protocol.into(), address: address.at }
    }
}

impl Edge {
    /// Opens the listeners, except where `inherited` has sockets of a nines before us, and serves at once. That one may
    /// go on with HTTP/3 until it hands over. To be called within the runtime that will order certificates and fetch
    /// OCSP responses, if there are such to get.
    ///
    /// # Errors
    /// When an address cannot be listened on, the access log cannot be opened, or a thread cannot be made.
    pub fn start(parts: EdgeParts, registry: Registry, inherited: Vec<TcpListener>) -> Result<Self, Error> {
        let count = parts.config.cores.map_or_else(sys::cores, |cores| cores as usize);
        let doors = parts.doors();
        // What cannot be loaded is told before anybody is let in.
        let admission = gate::Shared::new(&registry);
        let stapler = stapler(&parts, &registry, None);
        let ordering = start_ordering(&parts, &registry, stapler.clone(), None)?;
        let acme = ordering.acme().cloned();
        let origins = Origins { acme: acme.as_ref(), stapler };
        let snapshot = compile(parts, &registry, &admission, origins, None)?;
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let watched = receiver.clone();
        let look = move || {
            let snapshot = watched.borrow().clone();
            snapshot.refresh();
        };
        let watcher = Watcher::start("edge-files", look).map_err(cores::Error::Core)?;
        let open = Arc::new(AtomicUsize::new(0));
        let core_parts = CoreParts {
            snapshots: receiver,
            events: Arc::new(EdgeEvents::new(&registry)),
            admission: admission.clone(),
            open_everywhere: open.clone(),
            cores: count,
        };
        let cores = Cores::start("edge", count, move || Core::new(core_parts.clone()))?;
        cores.commit(cores.prepare(&doors, inherited.into_iter().map(Socket::Tcp).collect())?);
        Ok(Self { registry, snapshots, cores, open, acme: Mutex::new(acme), admission, _watcher: watcher })
    }

    /// Does everything of a change that may fail, and nothing that shows.
    ///
    /// # Errors
    /// As [`Edge::start`]; and when the number of cores would change.
    pub fn prepare(&self, parts: EdgeParts) -> Result<Prepared, Error> {
        if parts.config.cores.is_some_and(|cores| cores as usize != self.cores.count()) {
            return Err(Error::CoresChanged);
        }
        let doors = parts.doors();
        let before = self.snapshots.borrow().clone();
        let stapler = stapler(&parts, &self.registry, Some(&before));
        let acme = start_ordering(&parts, &self.registry, stapler.clone(), self.acme().as_ref())?;
        let origins = Origins { acme: acme.acme(), stapler };
        let snapshot = compile(parts, &self.registry, &self.admission, origins, Some(&before))?;
        // What is open may be met by clients: nothing may fail after it.
        let sockets = self.cores.prepare(&doors, Vec::new())?;
        Ok(Prepared { snapshot, sockets, acme })
    }

    /// Makes a prepared change. Connections stay; each request is decided by what was before or by what is now.
    pub fn commit(&self, prepared: Prepared) {
        if let Some(access_log) = &prepared.snapshot.access_log {
            // A log file that was moved away is begun anew; one that cannot be, goes on where it is.
            if let Err(error) = access_log.reopen() {
                tracing::warn!(target: "edge", %error, "the access log could not be reopened");
            }
        }
        let acme = prepared.acme.acme().cloned();
        if let Ordering::Changed(acme, change) = prepared.acme {
            acme.commit(change);
        }
        // Who orders no more ends when it is let go of.
        *self.acme.lock().unwrap_or_else(PoisonError::into_inner) = acme;
        let now = Arc::new(prepared.snapshot);
        let before = self.snapshots.send_replace(now.clone());
        Stapler::retire(before.stapler.as_ref(), now.stapler.as_ref());
        self.cores.commit(prepared.sockets);
    }

    /// Copies of all listening sockets, for a nines that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        let is_tcp = |socket| match socket {
            Socket::Tcp(listener) => Some(listener),
            Socket::Udp(_) => None,
        };
        Ok(self.cores.sockets()?.into_iter().filter_map(is_tcp).collect())
    }

    /// Stops accepting; open connections go on.
    pub fn stop_accepting(&self) {
        // A socket of HTTP/3 has its connections with it: it is taken from the cores when they drain.
        self.cores.stop_listening(|door| *door != Door::Http3);
    }

    /// Lets a nines that has taken over accept on the sockets. Open connections go on, but for those of HTTP/3: their
    /// packets reach the socket that the kernel chooses, which is one of the new nines from now on.
    pub fn hand_over(&self) {
        self.cores.stop_listening(|_| true);
    }

    /// Finishes what is under way, at most until the deadline, and ends the cores. `false`: connections were
    /// cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        self.stop_accepting();
        if let Some(acme) = self.acme() {
            acme.stop().await;
        }
        let stapler = self.snapshots.borrow().stapler.clone();
        if let Some(stapler) = stapler {
            stapler.stop().await;
        }
        let is_drained = self.cores.drain(deadline).await;
        if let Some(access_log) = &self.snapshots.borrow().access_log {
            access_log.flush();
        }
        is_drained
    }

    /// What would be done with a request, and why, by the live state of the pools.
    ///
    /// # Errors
    /// When the query is no URL of ours.
    pub fn explain(&self, query: &Query) -> Result<Explanation, QueryError> {
        explain_snapshot(&self.snapshots.borrow().clone(), query)
    }

    /// What was counted of the cache by site, with at most so many of the URLs that each has missed most.
    pub fn caching(&self, misses: usize) -> Vec<SiteCacheStatus> {
        let snapshot = self.snapshots.borrow().clone();
        let of = |site: &Arc<Site>| Some(site.cache_events.as_ref()?.status(&site.name, misses));
        let mut sites: Vec<SiteCacheStatus> = snapshot.sites.all().filter_map(of).collect();
        sites.sort_by(|one, other| one.site.cmp(&other.site));
        sites
    }

    /// Who says what the cache would do with a request.
    pub fn cache_explainer(&self) -> CacheExplainer {
        CacheExplainer(self.snapshots.borrow().clone())
    }

    /// What there is to see.
    pub fn status(&self) -> EdgeStatus {
        let mut sites: Vec<String> =
            self.snapshots.borrow().sites.all().map(|site| site.name.clone()).collect();
        sites.sort();
        EdgeStatus {
            listeners: self.cores.listening().into_iter().map(ListenerStatus::from).collect(),
            cores: self.cores.count(),
            connections: self.open.load(atomic::Ordering::Relaxed),
            sites,
        }
    }

    fn acme(&self) -> Option<Arc<Acme>> {
        self.acme.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
