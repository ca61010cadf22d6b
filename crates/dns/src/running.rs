//! DNS as the topology sees it: started, changed without a stop, handed over, drained.

use crate::changes::Keeper;
use crate::config::DnsConfig;
use crate::core::{Core, Door};
use crate::dnssec::SigningStatus;
use crate::dnssec::signing::resigning;
use crate::error::Error;
use crate::explanation::{Explained, Question};
use crate::listener::draw;
use crate::loading::ZoneSet;
use crate::over_http::Answers;
use crate::protocol::Name;
use crate::publishing::Publisher;
use crate::resolver::ResolverStatus;
use crate::snapshot::{Live, Snapshot};
use crate::tsig::Keys;
use crate::update::content_on_disk;
use crate::zone::Zone;
use cores::{Address, Cores, Socket, Watcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;
use tls::EdgeTls;

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
    /// The folder that paths start from.
    pub dir: PathBuf,
    /// The folder for what of zones must outlive a restart; it is made when something is kept.
    pub data: PathBuf,
    /// The node's data folder, where certificates of its own are kept.
    pub node_data: PathBuf,
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
    publisher: Publisher,
    /// Signs zones again when it is time.
    signing: Option<tokio::task::JoinHandle<()>>,
    cores: Cores<Door>,
    keeper: Keeper,
    /// Looks for changed certificates and lists until it is dropped.
    _watcher: Watcher,
}

/// A change that can no longer fail.
pub struct Prepared {
    snapshot: Snapshot,
    zones: ZoneSet,
    sockets: cores::Prepared<Door>,
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
    /// If it is signed here, how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<SigningStatus>,
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
        let snapshot = Snapshot::new(parts, live, &registry, None)?;
        let publisher = Publisher::new(snapshot, parts.zones.clone(), registry.clone());
        let receiver = publisher.subscribe();
        let watched = publisher.clone();
        let look = move || {
            watched.snapshot().refresh();
        };
        let watcher = Watcher::start("dns-files", look).map_err(cores::Error::Core)?;
        // What is signed was signed with all that was kept of it.
        for zone in parts.zones.updated().filter(|zone| parts.zones.signed_at(zone.apex()).is_none()) {
            publisher.replace(&content(&parts.data, zone)?);
        }
        let keeper = Keeper::start(publisher.clone(), parts.data.clone()).map_err(Error::Keeper)?;
        let count = parts.config.cores.map_or_else(sys::cores, |cores| cores as usize);
        let cores = Cores::start("dns", count, move || Core::new(receiver.clone()))?;
        cores.commit(cores.prepare(&parts.doors(), inherited)?);
        let signing = resigning::start(&publisher, &registry);
        Ok(Self { registry, publisher, signing, cores, keeper, _watcher: watcher })
    }

    /// Does everything of a change that may fail, and nothing that shows.
    ///
    /// # Errors
    /// As [`Dns::start`]; and when the number of cores would change.
    pub fn prepare(&self, parts: &DnsParts) -> Result<Prepared, Error> {
        if parts.config.cores.is_some_and(|cores| cores as usize != self.cores.count()) {
            return Err(Error::CoresChanged);
        }
        let before = self.publisher.snapshot();
        let snapshot = Snapshot::new(parts, before.live.clone(), &self.registry, Some(&before))?;
        let sockets = self.cores.prepare(&parts.doors(), Vec::new())?;
        // What is served already was checked, and has its own way to a new file.
        let now = self.zones();
        let changed =
            parts.zones.updated().filter(|zone| now.updated().all(|known| !Arc::ptr_eq(known, zone)));
        let mut contents = Vec::new();
        for zone in changed {
            let content = content(&parts.data, zone)?;
            match parts.zones.signed_at(zone.apex()) {
                Some(signed) => signed.check(&content)?,
                None => contents.push(content),
            }
        }
        Ok(Prepared { snapshot, zones: parts.zones.clone(), sockets, contents })
    }

    /// Makes a prepared change. Connections stay as they are; each query is answered by one state of the zones.
    pub fn commit(&self, prepared: Prepared) {
        if let Some(log) = &prepared.snapshot.log {
            log.reopen();
        }
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
        Answers::new(self.publisher.subscribe())
    }

    /// Takes nothing new; connections go on.
    pub fn stop_accepting(&self) {
        self.cores.stop_listening(|_| true);
        if let Some(signing) = &self.signing {
            signing.abort();
        }
        // Whoever takes over is to have what is on disk for itself.
        self.keeper.end();
    }

    /// Answers what is under way, at most until the deadline, and ends the cores. `false`: connections were cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        if let Some(signing) = self.signing {
            signing.abort();
            // It was ended: that is all there is to hear.
            let _ = signing.await;
        }
        let is_drained = self.cores.drain(deadline).await;
        self.keeper.stop().await;
        let zones = self.publisher.loaded();
        // A runtime that ends before it is done leaves what was kept before.
        let _ = tokio::task::spawn_blocking(move || keep_signatures(&zones)).await;
        if let Some(log) = &self.publisher.snapshot().log {
            log.end();
        }
        is_drained
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.publisher.snapshot().live.gate.inflight()
    }

    /// What would be answered to a question at this moment, and why.
    pub fn explain(&self, question: &Question) -> Explained {
        self.publisher.snapshot().zones.explain(question, draw())
    }

    /// The resolver, if there is one.
    pub fn resolver(&self) -> Option<ResolverStatus> {
        self.publisher.snapshot().resolver.as_ref().map(|resolver| resolver.status())
    }

    /// Lets the resolver forget what it keeps of a name, and with `below` of all names below it; how many answers that were. `None`:
    /// there is no resolver.
    pub fn flush(&self, name: &Name, below: bool) -> Option<u64> {
        self.publisher.snapshot().resolver.as_ref().map(|resolver| resolver.flush(name, below))
    }

    /// The zones, by name.
    pub fn status(&self) -> Vec<ZoneStatus> {
        let (zones, served) = (self.zones(), self.publisher.snapshot());
        let statuses = zones.iter().map(|(name, zone)| {
            let signing = zones.signed_at(zone.apex()).map(|signed| signed.status());
            let zone = served.zones.get(zone.apex()).unwrap_or(&zone);
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
                signing,
                source,
                withdrawn: zone.is_withdrawn(),
            }
        });
        statuses.collect()
    }
}

/// For the next start.
fn keep_signatures(zones: &ZoneSet) {
    for (zone, signed) in zones.signed() {
        if let Err(error) = signed.keep(true) {
            tracing::warn!(target: "dns", zone, %error, "signatures cannot be kept for the next start");
        }
    }
}

/// A zone that is updated, as it is served at first.
fn content(data: &Path, zone: &Arc<Zone>) -> Result<Arc<Zone>, Error> {
    let unusable = |cause| Error::Journal { zone: zone.apex().to_string(), cause };
    content_on_disk(data, zone).map_err(unusable)
}
