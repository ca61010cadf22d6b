//! The edge as the topology sees it: started, changed without a stop, handed over, drained.

use crate::config::{AccessLogTarget, EdgeConfig, SiteConfig};
use crate::core::Snapshot;
use crate::error::Error;
use crate::events::EdgeEvents;
use crate::explain::{Explanation, Query, QueryError, explain_snapshot};
use crate::listener::{COMMANDS_MAX, Command, CoreParts, run};
use crate::protocol::RequestLimits;
use crate::sites::Sites;
use balance::Pool;
use notation::Named;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use telemetry::{AccessLog, Registry};
use tokio::sync::{mpsc, oneshot, watch};

/// What an edge is made of.
pub struct EdgeParts {
    /// `[edge]`.
    pub config: EdgeConfig,
    /// `[site.HOST]`, by host.
    pub sites: Named<SiteConfig>,
    /// The pools that routes name.
    pub pools: HashMap<String, Arc<Pool>>,
}

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 4096;

/// A running edge.
pub struct Edge {
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    cores: Vec<CoreHandle>,
    /// The sockets of each address, one a core.
    listeners: Mutex<BTreeMap<SocketAddr, Vec<TcpListener>>>,
    open: Arc<AtomicUsize>,
}

struct CoreHandle {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

/// A change that can no longer fail.
pub struct Prepared {
    snapshot: Snapshot,
    opened: BTreeMap<SocketAddr, Vec<TcpListener>>,
    closed: Vec<SocketAddr>,
}

/// What there is to see of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeStatus {
    /// Where it listens.
    pub listeners: Vec<SocketAddr>,
    /// Cores that serve.
    pub cores: usize,
    /// Client connections open.
    pub connections: usize,
    /// The hosts of its sites.
    pub sites: Vec<String>,
}

impl Edge {
    /// Opens the listeners, except where `inherited` has sockets of a nines before us, and serves at once.
    ///
    /// # Errors
    /// When an address cannot be listened on, the access log cannot be opened, or a thread cannot be made.
    pub fn start(parts: EdgeParts, registry: Registry, inherited: Vec<TcpListener>) -> Result<Self, Error> {
        let cores = parts.config.cores.map_or_else(sys::cores, |cores| cores as usize);
        let mut by_address: BTreeMap<SocketAddr, Vec<TcpListener>> = BTreeMap::new();
        for listener in inherited {
            if let Ok(address) = listener.local_addr() {
                by_address.entry(address).or_default().push(listener);
            }
        }
        let mut listeners = BTreeMap::new();
        for address in &parts.config.http {
            let sockets = match by_address.remove(address) {
                Some(sockets) => one_each(*address, sockets, cores)?,
                None => open(*address, cores)?,
            };
            // Port 0 asks the kernel for a port; it is known by what it became.
            let opened_at = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(*address);
            listeners.insert(opened_at, sockets);
        }
        let snapshot = compile(parts, &registry, None)?;
        let events = Arc::new(EdgeEvents::new(&registry));
        let open_connections = Arc::new(AtomicUsize::new(0));
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let mut edge = Self {
            registry,
            snapshots,
            cores: Vec::new(),
            listeners: Mutex::new(BTreeMap::new()),
            open: open_connections.clone(),
        };
        for index in 0..cores {
            let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
            let parts = CoreParts {
                snapshots: receiver.clone(),
                commands: command_receiver,
                events: events.clone(),
                open_everywhere: open_connections.clone(),
                cores,
            };
            let thread = std::thread::Builder::new()
                .name(format!("edge-{index}"))
                .spawn(move || {
                    if let Err(error) = run(parts) {
                        tracing::error!(target: "edge", %error, "a core has no runtime");
                    }
                })
                .map_err(Error::Core)?;
            edge.cores.push(CoreHandle { commands, thread });
        }
        edge.add_listeners(listeners);
        Ok(edge)
    }

    /// Does everything of a change that may fail, and nothing that shows.
    ///
    /// # Errors
    /// As [`Edge::start`]; and when the number of cores would change.
    pub fn prepare(&self, parts: EdgeParts) -> Result<Prepared, Error> {
        if parts.config.cores.is_some_and(|cores| cores as usize != self.cores.len()) {
            return Err(Error::CoresChanged);
        }
        let present: Vec<SocketAddr> = self.lock().keys().copied().collect();
        let mut opened = BTreeMap::new();
        for address in parts.config.http.iter().filter(|address| !present.contains(address)) {
            opened.insert(*address, open(*address, self.cores.len())?);
        }
        let closed = present.into_iter().filter(|address| !parts.config.http.contains(address)).collect();
        let before = self.snapshots.borrow().clone();
        let snapshot = compile(parts, &self.registry, Some(&before))?;
        Ok(Prepared { snapshot, opened, closed })
    }

    /// Makes a prepared change. Connections stay; each request is decided by what was before or by what is now.
    pub fn commit(&self, prepared: Prepared) {
        if let Some(access_log) = &prepared.snapshot.access_log {
            // A log file that was moved away is begun anew; one that cannot be, goes on where it is.
            if let Err(error) = access_log.reopen() {
                tracing::warn!(target: "edge", %error, "the access log could not be reopened");
            }
        }
        self.snapshots.send_replace(Arc::new(prepared.snapshot));
        self.add_listeners(prepared.opened);
        self.remove_listeners(prepared.closed);
    }

    /// Copies of all listening sockets, for a nines that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        self.lock().values().flatten().map(TcpListener::try_clone).collect()
    }

    /// Stops accepting; open connections go on. A nines that has taken over goes on accepting on the sockets.
    pub fn stop_accepting(&self) {
        let addresses = self.lock().keys().copied().collect();
        self.remove_listeners(addresses);
    }

    /// Finishes what is under way, at most until the deadline, and ends the cores. `false`: connections were
    /// cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        self.stop_accepting();
        let mut waiting = Vec::new();
        for core in &self.cores {
            let (done, drained) = oneshot::channel();
            if core.commands.send(Command::Drain { deadline, done }).await.is_ok() {
                waiting.push(drained);
            }
        }
        let mut all = true;
        for drained in waiting {
            all &= drained.await.unwrap_or(false);
        }
        for core in self.cores {
            drop(core.commands);
            // The thread has nothing left to do but to free its connections.
            if core.thread.join().is_err() {
                tracing::error!(target: "edge", "a core ended by a panic");
            }
        }
        if let Some(access_log) = &self.snapshots.borrow().access_log {
            access_log.flush();
        }
        all
    }

    /// What would be done with a request, and why, by the live state of the pools.
    ///
    /// # Errors
    /// When the query is no URL of ours.
    pub fn explain(&self, query: &Query) -> Result<Explanation, QueryError> {
        explain_snapshot(&self.snapshots.borrow().clone(), query)
    }

    /// What there is to see.
    pub fn status(&self) -> EdgeStatus {
        let mut sites: Vec<String> =
            self.snapshots.borrow().sites.all().map(|site| site.name.clone()).collect();
        sites.sort();
        EdgeStatus {
            listeners: self.lock().keys().copied().collect(),
            cores: self.cores.len(),
            connections: self.open.load(Ordering::Relaxed),
            sites,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Vec<TcpListener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives each core its share of the sockets, in one command. An inherited set may be larger than there are
    /// cores: all of them are served, since the kernel spreads connections over all of them.
    fn add_listeners(&self, listeners: BTreeMap<SocketAddr, Vec<TcpListener>>) {
        let mut shares: Vec<Vec<TcpListener>> = self.cores.iter().map(|_| Vec::new()).collect();
        for (address, sockets) in listeners {
            for (index, socket) in sockets.iter().enumerate() {
                match socket.try_clone() {
                    Ok(socket) => shares[index % self.cores.len()].push(socket),
                    Err(error) => {
                        tracing::error!(target: "edge", %address, %error, "a socket cannot be shared");
                    }
                }
            }
            self.lock().insert(address, sockets);
        }
        for (core, share) in self.cores.iter().zip(shares).filter(|(_, share)| !share.is_empty()) {
            core.tell(Command::Listen(share));
        }
    }

    fn remove_listeners(&self, addresses: Vec<SocketAddr>) {
        if addresses.is_empty() {
            return;
        }
        for core in &self.cores {
            core.tell(Command::Unlisten(addresses.clone()));
        }
        let mut listeners = self.lock();
        for address in addresses {
            listeners.remove(&address);
        }
    }
}

impl CoreHandle {
    fn tell(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::error!(target: "edge", "a core does not listen to commands");
        }
    }
}

/// Sockets that were left behind, and more beside them until each core has one.
fn one_each(
    address: SocketAddr,
    mut sockets: Vec<TcpListener>,
    cores: usize,
) -> Result<Vec<TcpListener>, Error> {
    while sockets.len() < cores {
        let socket = sys::listen_tcp(address, BACKLOG).map_err(|source| Error::Listen { address, source })?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn open(address: SocketAddr, cores: usize) -> Result<Vec<TcpListener>, Error> {
    let taken = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = sys::listening_process(address)
                .map(|process| format!("{} (pid {})", process.name, process.pid));
            Error::Taken { address, holder }
        }
        _ => Error::Listen { address, source },
    };
    sys::is_taken(address).map_err(taken)?;
    let first = sys::listen_tcp(address, BACKLOG).map_err(taken)?;
    let opened_at = first.local_addr().map_err(taken)?;
    let mut sockets = vec![first];
    for _ in 1..cores {
        sockets.push(sys::listen_tcp(opened_at, BACKLOG).map_err(taken)?);
    }
    Ok(sockets)
}

fn compile(parts: EdgeParts, registry: &Registry, before: Option<&Snapshot>) -> Result<Snapshot, Error> {
    let EdgeParts { config, sites, pools } = parts;
    let access_log = match before {
        Some(before) if before.config.access_log == config.access_log => before.access_log.clone(),
        _ => open_access_log(&config.access_log)?,
    };
    let limits = RequestLimits {
        head_bytes_max: config.limit.head.as_usize(),
        fields_max: config.limit.headers as usize,
    };
    let sites = Sites::compile(&sites, &pools, config.limit.body.get(), registry)?;
    Ok(Snapshot { config, sites, limits, access_log })
}

pub(crate) fn compile_offline(parts: &EdgeParts) -> Result<Snapshot, Error> {
    let mut silent =
        EdgeParts { config: parts.config.clone(), sites: parts.sites.clone(), pools: parts.pools.clone() };
    silent.config.access_log = AccessLogTarget::Off;
    compile(silent, &Registry::new(), None)
}

fn open_access_log(target: &AccessLogTarget) -> Result<Option<AccessLog>, Error> {
    let target = match target {
        AccessLogTarget::Off => return Ok(None),
        AccessLogTarget::Stdout => telemetry::Target::Stdout,
        AccessLogTarget::Stderr => telemetry::Target::Stderr,
        AccessLogTarget::File(path) => telemetry::Target::File(path.clone()),
    };
    let path = match &target {
        telemetry::Target::File(path) => path.display().to_string(),
        _ => String::new(),
    };
    AccessLog::open(target).map(Some).map_err(|source| Error::AccessLog { path, source })
}
