//! Layer 4 as the topology sees it: started, changed without a stop, handed over, drained.

use crate::config::{TcpConfig, UdpConfig};
use crate::core::{Core, Door};
use crate::error::{Error, ExplainError};
use crate::explain::{Explanation, Question, explain_snapshot};
use crate::snapshot::Snapshot;
use acme::Stapler;
use balance::Pool;
use cores::{Address, Cores, Socket, Watcher};
use notation::Named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use telemetry::Registry;
use tls::EdgeTls;
use tokio::sync::watch;

/// What layer 4 is made of.
#[derive(Clone)]
pub struct Layer4Parts {
    /// `[tcp.NAME]`.
    pub tcp: Named<TcpConfig>,
    /// `[udp.NAME]`.
    pub udp: Named<UdpConfig>,
    /// What holds wherever TLS ends, of `[edge.tls]`.
    pub tls: EdgeTls,
    /// The pools that they name.
    pub pools: HashMap<String, Arc<Pool>>,
    /// The folder that paths of the file start from.
    pub dir: PathBuf,
    /// The node's data folder, where certificates of its own are kept.
    pub data: PathBuf,
}

impl Layer4Parts {
    /// Whether the file names no listener.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }

    fn doors(&self) -> Vec<(Address, Door)> {
        let tcp = self.tcp.iter().flat_map(|(name, config)| {
            config.listen.0.iter().map(move |at| (Address::tcp(*at), Door::Tcp(name.as_str().into())))
        });
        let udp = self.udp.iter().flat_map(|(name, config)| {
            config.listen.0.iter().map(move |at| (Address::udp(*at), Door::Udp(name.as_str().into())))
        });
        tcp.chain(udp).collect()
    }
}

/// A running layer 4.
pub struct Layer4 {
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    cores: Cores<Door>,
    /// Looks for changed files until it is dropped.
    _watcher: Watcher,
}

/// A change that can no longer fail.
pub struct Prepared {
    snapshot: Snapshot,
    sockets: cores::Prepared<Door>,
}

/// A listener as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerStatus {
    /// What it speaks: `tcp` or `udp`.
    pub protocol: String,
    /// Its name in the file.
    pub name: String,
    /// Where it listens, with the ports that the kernel chose where the file says 0.
    pub addresses: Vec<SocketAddr>,
    /// Connections open, or sessions.
    pub open: usize,
    /// Where its clients are sent: `pool db`, `a.test to pool db`.
    pub leads_to: Vec<String>,
}

impl Layer4 {
    /// Opens the listeners, except where `inherited` has sockets of a nines before us, and serves at once. `count` is the
    /// number of cores. To be called within the runtime that will fetch OCSP responses, if there are such to get.
    ///
    /// # Errors
    /// When an address cannot be listened on, a file cannot be used, or a thread cannot be made.
    pub fn start(
        parts: &Layer4Parts,
        count: usize,
        registry: Registry,
        inherited: Vec<Socket>,
    ) -> Result<Self, Error> {
        let snapshot = Arc::new(Snapshot::compile(parts, &registry, None)?);
        let (snapshots, receiver) = watch::channel(snapshot);
        let watched = receiver.clone();
        let look = move || {
            let snapshot = watched.borrow().clone();
            snapshot.refresh();
        };
        let watcher = Watcher::start("layer4-files", look).map_err(cores::Error::Core)?;
        let cores = Cores::start("layer4", count, move || Core::new(receiver.clone()))?;
        cores.commit(cores.prepare(&parts.doors(), inherited)?);
        Ok(Self { registry, snapshots, cores, _watcher: watcher })
    }

    /// Does everything of a change that may fail, and nothing that shows.
    ///
    /// # Errors
    /// As [`Layer4::start`].
    pub fn prepare(&self, parts: &Layer4Parts) -> Result<Prepared, Error> {
        let before = self.snapshots.borrow().clone();
        let snapshot = Snapshot::compile(parts, &self.registry, Some(&before))?;
        let sockets = self.cores.prepare(&parts.doors(), Vec::new())?;
        Ok(Prepared { snapshot, sockets })
    }

    /// Makes a prepared change. Connections and sessions stay as they are.
    pub fn commit(&self, prepared: Prepared) {
        prepared.snapshot.apply_limits();
        let now = Arc::new(prepared.snapshot);
        let before = self.snapshots.send_replace(now.clone());
        Stapler::retire(before.stapler.as_ref(), now.stapler.as_ref());
        self.cores.commit(prepared.sockets);
    }

    /// Copies of all sockets, for a nines that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<Socket>> {
        self.cores.sockets()
    }

    /// Takes nothing new; connections and sessions go on.
    pub fn stop_accepting(&self) {
        self.cores.stop_listening(|_| true);
    }

    /// Finishes what is under way, at most until the deadline, and ends the cores. `false`: something was cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        let stapler = self.snapshots.borrow().stapler.clone();
        if let Some(stapler) = stapler {
            stapler.stop().await;
        }
        self.cores.drain(deadline).await
    }

    /// Connections that are open, without sessions of UDP.
    pub fn connections(&self) -> usize {
        self.snapshots.borrow().tcp.values().map(|part| part.live.open.load(Ordering::Relaxed)).sum()
    }

    /// What there is to see, by kind and name.
    pub fn status(&self) -> Vec<ListenerStatus> {
        let snapshot = self.snapshots.borrow().clone();
        let listening = self.cores.listening();
        let at = |door: &Door| {
            let addresses = listening.iter().filter(|(_, held)| held == door);
            addresses.map(|(address, _)| address.at).collect()
        };
        let mut tcp: Vec<_> = snapshot.tcp.values().collect();
        tcp.sort_by_key(|part| part.name.clone());
        let mut udp: Vec<_> = snapshot.udp.values().collect();
        udp.sort_by_key(|part| part.name.clone());
        let tcp = tcp.into_iter().map(|part| ListenerStatus {
            protocol: "tcp".into(),
            name: part.name.to_string(),
            addresses: at(&Door::Tcp(part.name.clone())),
            open: part.live.open.load(Ordering::Relaxed),
            leads_to: {
                let named = part.config.sni.iter().map(|(name, pool)| format!("{name} to pool {pool}"));
                named.chain(part.config.pool.iter().map(|pool| format!("pool {pool}"))).collect()
            },
        });
        let udp = udp.into_iter().map(|part| ListenerStatus {
            protocol: "udp".into(),
            name: part.name.to_string(),
            addresses: at(&Door::Udp(part.name.clone())),
            open: part.live.open.load(Ordering::Relaxed),
            leads_to: vec![format!("pool {}", part.pool.name())],
        });
        tcp.chain(udp).collect()
    }

    /// What would be done with a connection or a datagram, and why, by the live state of the pools.
    ///
    /// # Errors
    /// When there is no such listener.
    pub fn explain(&self, question: &Question) -> Result<Explanation, ExplainError> {
        explain_snapshot(&self.snapshots.borrow().clone(), question)
    }
}
