//! DNS as the topology sees it: started, changed without a stop, handed over, drained.

use crate::changes::{Keeper, served};
use crate::config::DnsConfig;
use crate::core::Core;
use crate::error::Error;
use crate::loading::ZoneSet;
use crate::publishing::Publisher;
use crate::snapshot::{Live, Snapshot};
use crate::tsig::Keys;
use crate::update::content_on_disk;
use crate::zone::Zone;
use cores::{Address, Cores, Socket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;

/// What DNS is made of.
#[derive(Clone)]
pub struct DnsParts {
    /// `[dns]`.
    pub config: DnsConfig,
    /// Its zones, loaded.
    pub zones: ZoneSet,
    /// What cookies for clients are made with: nodes that have the same know each other's.
    pub cookie_key: [u8; 16],
    /// The keys that the file names, with their secrets.
    pub keys: Keys,
    /// The folder for what of zones must outlive a restart; it is made when something is kept.
    pub data: PathBuf,
}

impl DnsParts {
    fn doors(&self) -> Vec<(Address, ())> {
        self.config.listeners().map(|address| (address, ())).collect()
    }
}

impl DnsConfig {
    /// Where this is listened for: each address over UDP and TCP.
    pub fn listeners(&self) -> impl Iterator<Item = Address> {
        self.listen.0.iter().flat_map(|at| [Address::udp(*at), Address::tcp(*at)])
    }
}

/// A running DNS.
pub struct Dns {
    registry: Registry,
    publisher: Publisher,
    cores: Cores<()>,
    keeper: Keeper,
}

/// A change that can no longer fail.
pub struct Prepared {
    snapshot: Snapshot,
    zones: ZoneSet,
    sockets: cores::Prepared<()>,
    /// Zones with their journals over them.
    contents: Vec<Arc<Zone>>,
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
    /// Whether it comes from its own file, from another server, or is changed by updates.
    #[serde(default)]
    pub source: ZoneSource,
    /// Whether nothing is known of it (any more): all that is asked of it fails.
    #[serde(default)]
    pub withdrawn: bool,
}

/// Of what a zone is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZoneSource {
    /// A file, or records of the topology's own.
    #[default]
    File,
    /// That, and what updates have changed.
    Updates,
    /// A transfer from another server.
    Transfer,
}

impl ZoneSource {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Updates => "file and updates",
            Self::Transfer => "transfer",
        }
    }
}

impl Dns {
    /// Opens the listeners, except where `inherited` has sockets of a nines before us, and serves at once.
    ///
    /// # Errors
    /// When an address cannot be listened on, or a thread cannot be made.
    pub fn start(parts: &DnsParts, registry: Registry, inherited: Vec<Socket>) -> Result<Self, Error> {
        let live = Arc::new(Live::new(&parts.config.limit, &registry));
        let snapshot = Snapshot::new(parts, live, &registry);
        let publisher = Publisher::new(snapshot, parts.zones.clone(), registry.clone());
        let receiver = publisher.subscribe();
        for zone in parts.zones.updated() {
            publisher.replace(&content(&parts.data, zone)?);
        }
        let keeper = Keeper::start(publisher.clone(), parts.data.clone()).map_err(Error::Keeper)?;
        let count = parts.config.cores.map_or_else(sys::cores, |cores| cores as usize);
        let cores = Cores::start("dns", count, move || Core::new(receiver.clone()))?;
        cores.commit(cores.prepare(&parts.doors(), inherited)?);
        Ok(Self { registry, publisher, cores, keeper })
    }

    /// Does everything of a change that may fail, and nothing that shows.
    ///
    /// # Errors
    /// As [`Dns::start`]; and when the number of cores would change.
    pub fn prepare(&self, parts: &DnsParts) -> Result<Prepared, Error> {
        if parts.config.cores.is_some_and(|cores| cores as usize != self.cores.count()) {
            return Err(Error::CoresChanged);
        }
        let live = self.publisher.snapshot().live.clone();
        let snapshot = Snapshot::new(parts, live, &self.registry);
        let sockets = self.cores.prepare(&parts.doors(), Vec::new())?;
        // What is served already was checked, and has its own way to a new file.
        let now = self.zones();
        let changed =
            parts.zones.updated().filter(|zone| now.updated().all(|known| !Arc::ptr_eq(known, zone)));
        let contents = changed.map(|zone| content(&parts.data, zone)).collect::<Result<_, _>>()?;
        Ok(Prepared { snapshot, zones: parts.zones.clone(), sockets, contents })
    }

    /// Makes a prepared change. Connections stay as they are; each query is answered by one state of the zones.
    pub fn commit(&self, prepared: Prepared) {
        self.publisher.commit(prepared.snapshot, prepared.zones, &prepared.contents);
        self.cores.commit(prepared.sockets);
    }

    /// The zones that are served, as they were loaded.
    pub fn zones(&self) -> ZoneSet {
        self.publisher.loaded()
    }

    /// Replaces zones while they are served.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Where queries arrive, with the ports that the kernel chose where the file says 0.
    pub fn addresses(&self) -> Vec<Address> {
        self.cores.listening().into_iter().map(|(address, ())| address).collect()
    }

    /// Copies of all sockets, for a nines that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<Socket>> {
        self.cores.sockets()
    }

    /// Takes nothing new; connections go on.
    pub fn stop_accepting(&self) {
        self.cores.stop_listening(|_| true);
        // Whoever takes over is to have what is on disk for itself.
        self.keeper.end();
    }

    /// Answers what is under way, at most until the deadline, and ends the cores. `false`: connections were cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        let is_done = self.cores.drain(deadline).await;
        self.keeper.stop().await;
        is_done
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.publisher.snapshot().live.gate.inflight()
    }

    /// The zones, by name.
    pub fn status(&self) -> Vec<ZoneStatus> {
        let (zones, served) = (self.zones(), self.publisher.snapshot());
        let statuses = zones.iter().map(|(name, zone)| {
            let zone = served.zones.get(zone.apex()).unwrap_or(zone);
            let figures = zone.figures();
            let rules = served.rules.of(zone.apex());
            let source = match rules {
                Some(rules) if rules.secondary.is_some() => ZoneSource::Transfer,
                Some(rules) if rules.update.is_some() => ZoneSource::Updates,
                _ => ZoneSource::File,
            };
            ZoneStatus {
                name: name.to_owned(),
                serial: figures.serial,
                records: figures.records,
                names: figures.names,
                bytes: figures.bytes,
                source,
                withdrawn: zone.is_withdrawn(),
            }
        });
        statuses.collect()
    }
}

/// A zone that is updated, as it is served at first.
fn content(data: &Path, zone: &Arc<Zone>) -> Result<Arc<Zone>, Error> {
    let unusable = |cause| Error::Journal { zone: zone.apex().to_string(), cause };
    content_on_disk(data, zone).map(served).map_err(unusable)
}
