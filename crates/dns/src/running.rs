//! DNS as the topology sees it: started, changed without a stop, handed over, drained.

use crate::config::DnsConfig;
use crate::core::{Core, Door};
use crate::error::Error;
use crate::loading::ZoneSet;
use crate::over_http::Answers;
use crate::snapshot::{Live, Snapshot};
use cores::{Address, Cores, Socket, Watcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;
use tls::EdgeTls;
use tokio::sync::watch;

/// What DNS is made of.
#[derive(Clone)]
pub struct DnsParts {
    /// `[dns]`.
    pub config: DnsConfig,
    /// Its zones, loaded.
    pub zones: ZoneSet,
    /// What cookies for clients are made with: nodes that have the same know each other's.
    pub cookie_key: [u8; 16],
    /// The folder that paths start from.
    pub dir: PathBuf,
    /// The node's data folder, where certificates of its own are kept.
    pub data: PathBuf,
    /// What holds wherever TLS ends, of `[edge.tls]`.
    pub tls: EdgeTls,
}

impl DnsParts {
    fn doors(&self) -> Vec<(Address, Door)> {
        let plain = self.config.plain_listeners().map(|address| (address, Door::Plain));
        plain.chain(self.config.tls_listeners().map(|address| (address, Door::Tls))).collect()
    }
}

impl DnsConfig {
    /// Where this is listened for: each address over UDP and TCP, and those of TLS.
    pub fn listeners(&self) -> impl Iterator<Item = Address> {
        self.plain_listeners().chain(self.tls_listeners())
    }

    fn tls_listeners(&self) -> impl Iterator<Item = Address> {
        self.dot.0.iter().map(|at| Address::tcp(*at))
    }

    fn plain_listeners(&self) -> impl Iterator<Item = Address> {
        self.listen.0.iter().flat_map(|at| [Address::udp(*at), Address::tcp(*at)])
    }
}

/// A running DNS.
pub struct Dns {
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    zones: std::sync::Mutex<ZoneSet>,
    cores: Cores<Door>,
    /// Looks for changed certificates until it is dropped.
    _watcher: Watcher,
}

/// A change that can no longer fail.
pub struct Prepared {
    snapshot: Snapshot,
    zones: ZoneSet,
    sockets: cores::Prepared<Door>,
}

/// A zone as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ZoneStatus {
    /// Its name.
    pub name: String,
    /// The serial number of its SOA.
    pub serial: u32,
    /// How many records it has.
    pub records: usize,
    /// How many names, those included that only have names below them.
    pub names: usize,
    /// Octets in memory.
    pub bytes: usize,
}

impl Dns {
    /// Opens the listeners, except where `inherited` has sockets of a nines before us, and serves at once.
    ///
    /// # Errors
    /// When an address cannot be listened on, or a thread cannot be made.
    pub fn start(parts: &DnsParts, registry: Registry, inherited: Vec<Socket>) -> Result<Self, Error> {
        let live = Arc::new(Live::new(&parts.config.limit, &registry));
        let snapshot = Arc::new(Snapshot::new(parts, live, &registry, None)?);
        snapshot.apply();
        let (snapshots, receiver) = watch::channel(snapshot);
        let watched = receiver.clone();
        let look = move || {
            let snapshot = watched.borrow().clone();
            if let Some(tls) = &snapshot.tls {
                tls.refresh();
            }
        };
        let watcher = Watcher::start("dns-files", look).map_err(cores::Error::Core)?;
        let count = parts.config.cores.map_or_else(sys::cores, |cores| cores as usize);
        let cores = Cores::start("dns", count, move || Core::new(receiver.clone()))?;
        cores.commit(cores.prepare(&parts.doors(), inherited)?);
        Ok(Self { registry, snapshots, zones: parts.zones.clone().into(), cores, _watcher: watcher })
    }

    /// Does everything of a change that may fail, and nothing that shows.
    ///
    /// # Errors
    /// As [`Dns::start`]; and when the number of cores would change.
    pub fn prepare(&self, parts: &DnsParts) -> Result<Prepared, Error> {
        if parts.config.cores.is_some_and(|cores| cores as usize != self.cores.count()) {
            return Err(Error::CoresChanged);
        }
        let before = self.snapshots.borrow().clone();
        let snapshot = Snapshot::new(parts, before.live.clone(), &self.registry, Some(&before))?;
        let sockets = self.cores.prepare(&parts.doors(), Vec::new())?;
        Ok(Prepared { snapshot, zones: parts.zones.clone(), sockets })
    }

    /// Makes a prepared change. Connections stay as they are; each query is answered by one state of the zones.
    pub fn commit(&self, prepared: Prepared) {
        prepared.snapshot.apply();
        if let Some(log) = &prepared.snapshot.log {
            log.reopen();
        }
        self.snapshots.send_replace(Arc::new(prepared.snapshot));
        *self.zones.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = prepared.zones;
        self.cores.commit(prepared.sockets);
    }

    /// The zones that are served, as they were loaded.
    pub fn zones(&self) -> ZoneSet {
        self.zones.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Where queries arrive, with the ports that the kernel chose where the file says 0.
    pub fn addresses(&self) -> Vec<Address> {
        self.cores.listening().into_iter().map(|(address, _)| address).collect()
    }

    /// Copies of all sockets, for a nines that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<Socket>> {
        self.cores.sockets()
    }

    /// Who answers messages that come by other ways.
    pub fn answers(&self) -> Answers {
        Answers::new(self.snapshots.subscribe())
    }

    /// Takes nothing new; connections go on.
    pub fn stop_accepting(&self) {
        self.cores.stop_listening(|_| true);
    }

    /// Answers what is under way, at most until the deadline, and ends the cores. `false`: connections were cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        let is_drained = self.cores.drain(deadline).await;
        if let Some(log) = &self.snapshots.borrow().log {
            log.flush();
        }
        is_drained
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.snapshots.borrow().live.gate.inflight()
    }

    /// The zones, by name.
    pub fn status(&self) -> Vec<ZoneStatus> {
        let zones = self.zones();
        let statuses = zones.iter().map(|(name, zone)| {
            let figures = zone.figures();
            ZoneStatus {
                name: name.to_owned(),
                serial: figures.serial,
                records: figures.records,
                names: figures.names,
                bytes: figures.bytes,
            }
        });
        statuses.collect()
    }
}
