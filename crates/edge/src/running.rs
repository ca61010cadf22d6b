//! The edge as the topology sees it: started, changed without a stop, handed over, drained.

use crate::arrival::Door;
use crate::config::{AccessLogTarget, EdgeConfig, SiteConfig};
use crate::core::{Snapshot, TlsDoor};
use crate::error::Error;
use crate::events::EdgeEvents;
use crate::explain::{Explanation, Query, QueryError, explain_snapshot};
use crate::gate;
use crate::http3;
use crate::listener::{COMMANDS_MAX, Command, CoreParts, run};
use crate::protocol::RequestLimits;
use crate::sites::{SiteParts, Sites};
use acme::{Acme, AcmeContext, Stapler, StaplerContext};
use admission::{Access, Networks, Trust};
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
use telemetry::{AccessLog, Registry};
use tls::Tickets;
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

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 4096;

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

/// The sockets of an address.
struct Listening {
    door: Door,
    sockets: Vec<TcpListener>,
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

/// Who orders certificates from now on.
enum Ordering {
    /// Nobody, or somebody who begins now.
    Anew(Option<Arc<Acme>>),
    /// Who did before, with what the file says now.
    Changed(Arc<Acme>, acme::Prepared),
}

impl Ordering {
    fn acme(&self) -> Option<&Arc<Acme>> {
        match self {
            Self::Anew(acme) => acme.as_ref(),
            Self::Changed(acme, _) => Some(acme),
        }
    }
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
        let had_inherited = !inherited.is_empty();
        let mut by_address: BTreeMap<SocketAddr, Vec<TcpListener>> = BTreeMap::new();
        for listener in inherited {
            if let Ok(address) = listener.local_addr() {
                by_address.entry(address).or_default().push(listener);
            }
        }
        let mut listeners = BTreeMap::new();
        for (door, address) in doors(&parts.config) {
            let sockets = match by_address.remove(&address) {
                Some(sockets) => one_each(address, sockets, cores)?,
                None => open(address, cores)?,
            };
            // Port 0 asks the kernel for a port; it is known by what it became.
            let opened_at = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(address);
            listeners.insert(opened_at, Listening { door, sockets });
        }
        let is_takeover = !listeners.is_empty() && had_inherited;
        let quic: Result<Vec<_>, Error> = (parts.config.http3.iter())
            .map(|address| Ok((*address, open_quic(*address, cores, is_takeover)?)))
            .collect();
        let quic = quic?;
        let admission = gate::Shared::new(&registry);
        let ordering = start_ordering(&parts, &registry, None)?;
        let snapshot = compile(parts, &registry, &admission, ordering.acme(), None)?;
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
        let acme = start_ordering(&parts, &self.registry, self.acme().as_ref())?;
        let snapshot = compile(parts, &self.registry, &self.admission, acme.acme(), Some(&before))?;
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
        self.remove_quic(prepared.quic_closed);
        self.add_quic(prepared.quic_opened);
    }

    /// Copies of all listening sockets, for a nines that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        self.lock().values().flat_map(|listening| &listening.sockets).map(TcpListener::try_clone).collect()
    }

    /// Stops accepting; open connections go on. A nines that has taken over goes on accepting on the sockets.
    pub fn stop_accepting(&self) {
        let addresses = self.lock().keys().copied().collect();
        self.remove_listeners(addresses);
        // Packets of a connection reach the socket that the kernel chooses: a nines that has taken over gets them all.
        let spoken = self.quic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.remove_quic(spoken);
    }

    /// Finishes what is under way, at most until the deadline, and ends the cores. `false`: connections were
    /// cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        self.stop_accepting();
        if let Some(acme) = self.acme() {
            acme.stop().await;
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

    fn remove_quic(&self, addresses: Vec<SocketAddr>) {
        if addresses.is_empty() {
            return;
        }
        for core in &self.cores {
            core.tell(Command::UnlistenQuic(addresses.clone()));
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

/// Where the file wants to be reached, and how.
fn doors(config: &EdgeConfig) -> impl Iterator<Item = (Door, SocketAddr)> + '_ {
    let http = config.http.iter().map(|address| (Door::Http, *address));
    http.chain(config.https.iter().map(|address| (Door::Https, *address)))
}

fn copies(sockets: &[TcpListener]) -> io::Result<Vec<TcpListener>> {
    sockets.iter().map(TcpListener::try_clone).collect()
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

/// What waits in the kernel of what clients send by UDP.
const UDP_BUFFER_BYTES: usize = 4 << 20;

/// Sockets for HTTP/3, one a core. A nines that is taken over holds the address as well, until it lets go.
fn open_quic(address: SocketAddr, cores: usize, is_takeover: bool) -> Result<Vec<UdpSocket>, Error> {
    let fails = |source: io::Error| Error::Listen { address, source };
    if !is_takeover {
        sys::is_taken_udp(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::Taken {
                address,
                holder: sys::listening_process_udp(address)
                    .map(|process| format!("{} (pid {})", process.name, process.pid)),
            },
            _ => fails(source),
        })?;
    }
    (0..cores).map(|_| sys::listen_udp(address, UDP_BUFFER_BYTES).map_err(fails)).collect()
}

fn compile(
    parts: EdgeParts,
    registry: &Registry,
    admission: &gate::Shared,
    acme: Option<&Arc<Acme>>,
    before: Option<&Snapshot>,
) -> Result<Snapshot, Error> {
    let EdgeParts { config, sites, pools, dir, data } = parts;
    let access_log = match before {
        Some(before) if before.config.access_log == config.access_log => before.access_log.clone(),
        _ => open_access_log(&config.access_log)?,
    };
    let limits = RequestLimits {
        head_bytes_max: config.limit.head.as_usize(),
        fields_max: config.limit.headers as usize,
    };
    let tls = match config.https.is_empty() {
        true => None,
        false => Some(load_tls(&config, &sites, dir.clone(), data, registry, acme, before)?),
    };
    let has_access = config.allow.is_some() || !config.deny.is_empty();
    let access = has_access.then(|| Access::load(config.allow.as_deref(), &config.deny, &dir)).transpose()?;
    let has_proxies = !config.proxy_protocol.is_empty();
    let proxies = has_proxies.then(|| Networks::load(&config.proxy_protocol, &dir)).transpose()?;
    let trust = Trust::load(&config.trust_forwarded, &dir)?;
    let with = SiteParts { pools: &pools, edge: &config, dir: &dir, admission, registry };
    let sites = Sites::compile(&sites, &with)?;
    let quic = tls.as_ref().map(|tls: &TlsDoor| http3::config(&config, &tls.server)).transpose()?.flatten();
    let alt_svc_line = http3::alt_svc_line(&config);
    let acme = acme.map(|acme| acme.lookups());
    Ok(Snapshot { acme, quic, alt_svc_line, config, sites, limits, access_log, tls, access, proxies, trust })
}

/// Begins to order the certificates that sites want, or goes on with what the file says now.
fn start_ordering(
    parts: &EdgeParts,
    registry: &Registry,
    before: Option<&Arc<Acme>>,
) -> Result<Ordering, Error> {
    let wanted = parts.sites.iter().filter(|(_, site)| site.wants_acme());
    let names: Vec<String> = wanted.map(|(name, _)| name.to_string()).collect();
    let Some(config) = parts.config.acme.as_ref().filter(|_| !names.is_empty()) else {
        return Ok(Ordering::Anew(None));
    };
    if let Some(acme) = before {
        return Ok(Ordering::Changed(acme.clone(), acme.prepare(config, names)?));
    }
    let mut context = AcmeContext::new(parts.dir.clone(), parts.data.clone(), registry.clone());
    context.stapler = Some(Arc::new(Stapler::start(StaplerContext::new(registry.clone()))));
    Ok(Ordering::Anew(Some(Arc::new(Acme::start(context, config, names)?))))
}

/// The certificates of the sites that have one. Tickets go on being good over a change.
fn load_tls(
    config: &EdgeConfig,
    sites: &Named<SiteConfig>,
    dir: PathBuf,
    data: PathBuf,
    registry: &Registry,
    acme: Option<&Arc<Acme>>,
    before: Option<&Snapshot>,
) -> Result<TlsDoor, Error> {
    let tickets = match before.and_then(|before| before.tls.as_ref()) {
        Some(before) => before.tickets.reload(&config.tls.tickets, &dir)?,
        None => Tickets::load(&config.tls.tickets, &dir, tls::system_time())?,
    };
    let context = tls::ServerContext {
        listener: "edge".into(),
        dir,
        data,
        alpn: [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).to_vec(),
        versions: config.tls.versions.clone(),
        tickets: tickets.clone(),
        challenges: acme.map(|acme| acme.lookups() as Arc<dyn tls::Challenges>),
        issued: acme.map(|acme| acme.lookups() as Arc<dyn tls::Issued>),
        time: tls::system_time(),
        registry: registry.clone(),
    };
    let with_tls = sites.iter().filter_map(|(name, site)| Some((name.as_str(), site.tls.as_ref()?)));
    Ok(TlsDoor { server: tls::Server::load(context, with_tls)?, tickets })
}

/// Files are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A thread that looks for files that have changed: certificates are read anew, away from the cores.
struct Watcher {
    end: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn start(snapshots: watch::Receiver<Arc<Snapshot>>) -> io::Result<Self> {
        let (end, ended) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("edge-files".into()).spawn(move || {
            while ended.recv_timeout(LOOK_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let snapshot = snapshots.borrow().clone();
                snapshot.refresh();
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "edge", "the watch over files ended by a panic");
        }
    }
}

pub(crate) fn compile_offline(parts: &EdgeParts) -> Result<Snapshot, Error> {
    let mut silent = EdgeParts {
        config: parts.config.clone(),
        sites: parts.sites.clone(),
        pools: parts.pools.clone(),
        dir: parts.dir.clone(),
        data: parts.data.clone(),
    };
    silent.config.access_log = AccessLogTarget::Off;
    // What is said of a request does not depend on certificates, which may not be on this machine.
    silent.config.https.clear();
    silent.config.http3.clear();
    silent.config.acme = None;
    let registry = Registry::new();
    compile(silent, &registry, &gate::Shared::new(&registry), None, None)
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
