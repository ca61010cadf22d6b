//! The edge as the topology sees it: started, changed without a stop, handed over, drained.

use crate::arrival::Door;
use crate::config::{EdgeConfig, SiteConfig};
use crate::core::Snapshot;
use crate::doors::{Listening, copies, doors, one_each, open, open_quic};
use crate::error::Error;
use crate::events::EdgeEvents;
use crate::explain::{Explanation, Query, QueryError, explain_snapshot};
use crate::gate;
use crate::listener::{COMMANDS_MAX, Command, CoreParts, run};
use crate::loading::{Ordering, Origins, Watcher, compile, stapler, start_ordering};
use acme::Acme;
use balance::Pool;
use notation::Named;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{self, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use telemetry::Registry;
use tokio::sync::{mpsc, oneshot, watch};

/// What an edge is made of.
pub struct EdgeParts {
    /// `[edge]`.
    pub config: EdgeConfig,
    /// `[site.HOST]`, by host.
    pub sites: Named<SiteConfig>,
    /// The pools that routes name.
    pub pools: HashMap<String, Arc<Pool>>,
    /// The folder that paths of the file start from.
    pub dir: PathBuf,
    /// The node's data folder, where certificates of its own are kept.
    pub data: PathBuf,
}

/// A running edge.
pub struct Edge {
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    cores: Vec<CoreHandle>,
    /// The sockets of each address, one a core.
    listeners: Mutex<BTreeMap<SocketAddr, Listening>>,
    open: Arc<AtomicUsize>,
    /// Where HTTP/3 is spoken.
    quic: Mutex<Vec<SocketAddr>>,
    /// Who orders certificates, if any are to be ordered.
    acme: Mutex<Option<Arc<Acme>>>,
    /// What is known of clients, which outlives each file.
    admission: Arc<gate::Shared>,
    /// Looks for changed files until it is dropped.
    _watcher: Watcher,
}

struct CoreHandle {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

/// A change that can no longer fail.
pub struct Prepared {
    snapshot: Snapshot,
    opened: BTreeMap<SocketAddr, Listening>,
    closed: Vec<SocketAddr>,
    /// For HTTP/3: the sockets of each new address, and the addresses that go.
    quic_opened: Vec<(SocketAddr, Vec<UdpSocket>)>,
    quic_closed: Vec<SocketAddr>,
    acme: Ordering,
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
    /// Opens the listeners, except where `inherited` has sockets of a nines before us, and serves at once. To be
    /// called within the runtime that will order certificates and fetch OCSP responses, if there are such to get.
    ///
    /// # Errors
    /// When an address cannot be listened on, the access log cannot be opened, or a thread cannot be made.
    pub fn start(parts: EdgeParts, registry: Registry, inherited: Vec<TcpListener>) -> Result<Self, Error> {
        let cores = parts.config.cores.map_or_else(sys::cores, |cores| cores as usize);
        let config = parts.config.clone();
        // What cannot be loaded is told before anybody is let in.
        let admission = gate::Shared::new(&registry);
        let stapler = stapler(&parts, &registry, None);
        let ordering = start_ordering(&parts, &registry, stapler.clone(), None)?;
        let origins = Origins { acme: ordering.acme(), stapler };
        let snapshot = compile(parts, &registry, &admission, origins, None)?;
        let had_inherited = !inherited.is_empty();
        let mut by_address: BTreeMap<SocketAddr, Vec<TcpListener>> = BTreeMap::new();
        for listener in inherited {
            if let Ok(address) = listener.local_addr() {
                by_address.entry(address).or_default().push(listener);
            }
        }
        let mut listeners = BTreeMap::new();
        for (door, address) in doors(&config) {
            let sockets = match by_address.remove(&address) {
                Some(sockets) => one_each(address, sockets, cores)?,
                None => open(address, cores)?,
            };
            // Port 0 asks the kernel for a port; it is known by what it became.
            let opened_at = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(address);
            listeners.insert(opened_at, Listening { door, sockets });
        }
        let is_takeover = !listeners.is_empty() && had_inherited;
        let quic: Result<Vec<_>, Error> = (config.http3.iter())
            .map(|address| Ok((*address, open_quic(*address, cores, is_takeover)?)))
            .collect();
        let quic = quic?;
        let events = Arc::new(EdgeEvents::new(&registry));
        let open_connections = Arc::new(AtomicUsize::new(0));
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let watcher = Watcher::start(receiver.clone()).map_err(Error::Core)?;
        let mut edge = Self {
            registry,
            snapshots,
            cores: Vec::new(),
            listeners: Mutex::new(BTreeMap::new()),
            open: open_connections.clone(),
            quic: Mutex::default(),
            acme: Mutex::new(ordering.acme().cloned()),
            admission: admission.clone(),
            _watcher: watcher,
        };
        for index in 0..cores {
            let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
            let parts = CoreParts {
                snapshots: receiver.clone(),
                commands: command_receiver,
                events: events.clone(),
                admission: admission.clone(),
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
        edge.add_quic(quic);
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
        let wanted: Vec<(Door, SocketAddr)> = doors(&parts.config).collect();
        let present: Vec<(Door, SocketAddr)> =
            self.lock().iter().map(|(address, listening)| (listening.door, *address)).collect();
        let mut opened = BTreeMap::new();
        for (door, address) in wanted.iter().filter(|door| !present.contains(door)) {
            // An address that changes its door keeps its sockets, and who waits in them.
            let copies = self.lock().get(address).map(|listening| copies(&listening.sockets));
            let sockets = match copies {
                Some(copies) => copies.map_err(|source| Error::Listen { address: *address, source })?,
                None => open(*address, self.cores.len())?,
            };
            opened.insert(*address, Listening { door: *door, sockets });
        }
        let closed =
            present.into_iter().filter(|door| !wanted.contains(door)).map(|(_, address)| address).collect();
        let quic_wanted = parts.config.http3.clone();
        let before = self.snapshots.borrow().clone();
        let stapler = stapler(&parts, &self.registry, Some(&before));
        let acme = start_ordering(&parts, &self.registry, stapler.clone(), self.acme().as_ref())?;
        let origins = Origins { acme: acme.acme(), stapler };
        let snapshot = compile(parts, &self.registry, &self.admission, origins, Some(&before))?;
        let spoken = self.quic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (stay, quic_closed) =
            spoken.into_iter().partition::<Vec<_>, _>(|address| quic_wanted.contains(address));
        let mut quic_opened = Vec::new();
        for address in quic_wanted.into_iter().filter(|address| !stay.contains(address)) {
            quic_opened.push((address, open_quic(address, self.cores.len(), false)?));
        }
        Ok(Prepared { snapshot, opened, closed, quic_opened, quic_closed, acme })
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
        self.snapshots.send_replace(Arc::new(prepared.snapshot));
        self.remove_listeners(prepared.closed);
        self.add_listeners(prepared.opened);
        self.remove_quic(&prepared.quic_closed);
        self.add_quic(prepared.quic_opened);
    }

    /// Copies of all listening sockets, for a nines that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        self.lock().values().flat_map(|listening| &listening.sockets).map(TcpListener::try_clone).collect()
    }

    /// Stops accepting; open connections go on.
    pub fn stop_accepting(&self) {
        let addresses = self.lock().keys().copied().collect();
        self.remove_listeners(addresses);
    }

    /// Lets a nines that has taken over accept on the sockets. Open connections go on, but for those of HTTP/3.
    pub fn hand_over(&self) {
        self.stop_accepting();
        // Packets of a connection reach the socket that the kernel chooses: a nines that has taken over gets them all.
        let spoken = self.quic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.remove_quic(&spoken);
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
            connections: self.open.load(atomic::Ordering::Relaxed),
            sites,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Listening>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives each core its share of the sockets, in one command. An inherited set may be larger than there are
    /// cores: all of them are served, since the kernel spreads connections over all of them.
    fn add_listeners(&self, listeners: BTreeMap<SocketAddr, Listening>) {
        let mut shares: Vec<Vec<(Door, TcpListener)>> = self.cores.iter().map(|_| Vec::new()).collect();
        for (address, listening) in listeners {
            for (index, socket) in listening.sockets.iter().enumerate() {
                match socket.try_clone() {
                    Ok(socket) => shares[index % self.cores.len()].push((listening.door, socket)),
                    Err(error) => {
                        tracing::error!(target: "edge", %address, %error, "a socket cannot be shared");
                    }
                }
            }
            self.lock().insert(address, listening);
        }
        for (core, share) in self.cores.iter().zip(shares).filter(|(_, share)| !share.is_empty()) {
            core.tell(Command::Listen(share));
        }
    }

    fn acme(&self) -> Option<Arc<Acme>> {
        self.acme.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add_quic(&self, opened: Vec<(SocketAddr, Vec<UdpSocket>)>) {
        for (address, sockets) in opened {
            self.quic.lock().unwrap_or_else(PoisonError::into_inner).push(address);
            for (core, socket) in self.cores.iter().zip(sockets) {
                core.tell(Command::ListenQuic(vec![socket]));
            }
        }
    }

    fn remove_quic(&self, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return;
        }
        for core in &self.cores {
            core.tell(Command::UnlistenQuic(addresses.to_vec()));
        }
        self.quic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|address| !addresses.contains(address));
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
