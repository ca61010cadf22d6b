//! The zones of a file, loaded: those whose text has not changed since the last time are taken from there.

use crate::changes::unsigned;
use crate::config::{DnsConfig, ZoneConfig};
use crate::dnssec::signing::config::SignConfig;
use crate::dnssec::signing::{self, SignedZone};
use crate::error::Error;
use crate::policy::{LatencyConfig, PlaceConfig, Places, PoolHealth, Pools, Route, StepName};
use crate::protocol::Name;
use crate::resolver;
use crate::zone::references::References;
use crate::zone::{Fault, Faults, Loaded, Zone, ZoneBuilder};
use crate::zones::Zones;
use crate::{secondary, update};
use notation::Named;
use std::collections::BTreeMap;
use std::fs::{Metadata, metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What is told of one zone's references to others, at most.
const WARNINGS_MAX: usize = 50;
/// Beyond that, clients are sent where nobody is for longer than it takes to notice.
const ROUTE_TTL_SLOW: Duration = Duration::from_secs(60);
/// What the faults of `records` name as their source.
const RECORDS: &str = "`records`";
/// A file that was written so shortly before it was read may have been written again since, at the same time by the
/// clock of its file system: it is read anew.
const UNSETTLED: Duration = Duration::from_millis(50);

/// The zones of a file, each as it was loaded. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ZoneSet {
    zones: BTreeMap<String, Arc<LoadedZone>>,
    places: Arc<LoadedPlaces>,
    /// What the resolver's files say, if there is one.
    resolver: Option<Arc<resolver::Files>>,
    /// Shared with every set that was loaded after this one.
    pools: Pools,
    /// Those that are signed here, once they are.
    signed: BTreeMap<String, Arc<SignedZone>>,
}

/// Places with what they were made of.
#[derive(Debug, Default)]
struct LoadedPlaces {
    place: Named<PlaceConfig>,
    latency: Vec<LatencyConfig>,
    geo: Option<(PathBuf, Stamp)>,
    places: Arc<Places>,
}

/// One zone with what it was made of.
#[derive(Debug)]
struct LoadedZone {
    config: ZoneConfig,
    zone: Arc<Zone>,
    warnings: Faults,
    /// What leads to names that may be in other zones.
    references: References,
    /// What its routes, if it has any, were made with.
    places: Option<Arc<LoadedPlaces>>,
    /// The files that were read.
    files: Vec<(PathBuf, Stamp)>,
}

/// What tells whether a file is still the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    is_settled: bool,
}

/// Something about a zone's text, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFault {
    /// The zone, as the file names it.
    pub zone: String,
    /// Where it is.
    pub place: Place,
    /// What it is; lower case, no full stop.
    pub message: String,
}

/// A place in a zone's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Of the zone as a whole.
    Zone,
    /// Of no zone: it is about the geo database.
    Geo,
    /// Of no zone: it is about a file that the resolver uses.
    Resolver,
    /// The item of `records` with this number, from 0.
    Record(usize),
    /// In a zone file. Line and column are 0 where it is about the file as a whole, or the line.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// The column in octets, from 1.
        column: u32,
    },
}

impl ZoneSet {
    /// Reads the zones of a file; `dir` is the folder that paths start from. A zone that is in `before` with the same text
    /// is taken from there. This reads files, and so is not for a core.
    ///
    /// # Errors
    /// Everything that is wrong with any zone.
    pub fn load(config: &DnsConfig, dir: &Path, before: &Self) -> Result<Self, Vec<ZoneFault>> {
        let mut zones = BTreeMap::new();
        let mut faults = Vec::new();
        let places = if before.places.is_still(config, dir) {
            Arc::clone(&before.places)
        } else {
            Arc::new(LoadedPlaces::load(config, dir).map_err(|fault| vec![fault])?)
        };
        let pools = before.pools.clone();
        let services = config.services.as_ref().map(crate::services::ServicesConfig::zone);
        let services = services.iter().map(|(name, zone)| (name, zone));
        for (name, config) in config.zone.iter().chain(services) {
            if let Some(zone) = before.zones.get(name.as_str()).filter(|zone| zone.is_still(config, &places))
            {
                zones.insert(name.to_string(), zone.clone());
                continue;
            }
            match LoadedZone::load(name, config, dir, &places, &pools) {
                Ok(zone) => drop(zones.insert(name.to_string(), Arc::new(zone))),
                Err(found) => faults.extend(found),
            }
        }
        let fault = |message: String| ZoneFault { zone: String::new(), place: Place::Resolver, message };
        let resolver = config.resolver.as_ref().map(|config| resolver::Files::load(config, dir));
        match resolver.transpose() {
            Ok(resolver) if faults.is_empty() => {
                Ok(Self { zones, places, pools, resolver: resolver.map(Arc::new), signed: BTreeMap::new() })
            }
            Ok(_) => Err(faults),
            Err(error) => {
                faults.push(fault(error.to_string()));
                Err(faults)
            }
        }
    }

    /// Signs the zones that are to be. `data` is the folder for what outlives a restart, with keys in a folder for each zone; they are
    /// made if there are none. What was signed `before` is taken over as far as it can be. This takes its time, and so is not for a core.
    ///
    /// # Errors
    /// When keys cannot be read, made or kept, or what is kept of a zone makes none that can be signed.
    pub fn sign(&mut self, data: &Path, now: SystemTime, before: &Self) -> Result<(), Error> {
        let folder = data.join("keys");
        for (name, loaded) in &self.zones {
            let Some(config) = loaded.config.sign.config() else { continue };
            let known = before.signed.get(name);
            let zone_before = before.zones.get(name);
            // What is made of more than its text has its own way to a new one.
            let is_kept = zone_before.is_some_and(|before| loaded.is_kept() && loaded.is_kept_as(before));
            let is_same = is_kept || zone_before.is_some_and(|zone| Arc::ptr_eq(zone, loaded));
            let signed = match known.filter(|zone| is_same && zone.is_of(&config, &folder)) {
                Some(zone) => {
                    zone.step(now)?;
                    Arc::clone(zone)
                }
                None => {
                    let source = match known.filter(|_| is_kept) {
                        Some(known) => known.source(),
                        None => loaded.content(data, &config)?,
                    };
                    Arc::new(SignedZone::new(config, &folder, source, known.map(|zone| &**zone), now)?)
                }
            };
            signed.set_copied(loaded.config.transfer.is_some());
            self.signed.insert(name.clone(), signed);
        }
        Ok(())
    }

    /// The zones that are signed here.
    pub(crate) fn signed(&self) -> impl Iterator<Item = (&str, &Arc<SignedZone>)> {
        self.signed.iter().map(|(name, zone)| (name.as_str(), zone))
    }

    /// The zone of this apex, if it is signed here.
    pub(crate) fn signed_at(&self, apex: &Name) -> Option<&Arc<SignedZone>> {
        let (name, _) = self.zones.iter().find(|(_, zone)| zone.zone.apex() == apex)?;
        self.signed.get(name)
    }

    /// Lets routes of this set, and of every set before and after it, see these pools, by name, and no others.
    pub fn bind<'p>(&self, pools: impl IntoIterator<Item = (&'p str, Arc<dyn PoolHealth>)>) {
        self.pools.bind(pools);
    }

    /// What looks like a mistake in any of them.
    pub fn warnings(&self) -> Vec<ZoneFault> {
        let all = self.zones.iter();
        let mut found: Vec<ZoneFault> =
            all.flat_map(|(name, zone)| placed(name, &zone.config, zone.warnings.iter())).collect();
        let zones = Zones::new(self.zones.values().map(|zone| Arc::clone(&zone.zone)));
        for (name, zone) in &self.zones {
            let outward: Vec<Fault> = zone.references.judge_among(&zones).take(WARNINGS_MAX).collect();
            found.extend(placed(name, &zone.config, outward.iter()));
        }
        found
    }

    /// What the resolver's files say.
    pub(crate) fn resolver(&self) -> Option<&Arc<resolver::Files>> {
        self.resolver.as_ref()
    }

    /// The names of zones that are in both, and are not the same.
    pub fn changed_since<'s>(&'s self, before: &'s Self) -> impl Iterator<Item = &'s str> {
        let both = self.zones.iter().filter_map(|(name, zone)| Some((name, zone, before.zones.get(name)?)));
        both.filter(|(_, zone, before)| !Arc::ptr_eq(zone, before)).map(|(name, ..)| name.as_str())
    }

    /// Whether the zone of this apex is in both, and is the same.
    pub(crate) fn is_same_in(&self, other: &Self, apex: &Name) -> bool {
        let find = |set: &Self| set.zones.values().find(|zone| zone.zone.apex() == apex).cloned();
        find(self).zip(find(other)).is_some_and(|(one, other)| Arc::ptr_eq(&one, &other))
    }

    /// What is signed of the content of a zone: of one from elsewhere not what its own signer has made.
    pub(crate) fn signable(&self, content: &Arc<Zone>) -> Arc<Zone> {
        let loaded = self.zones.values().find(|zone| zone.zone.apex() == content.apex());
        let is_from_elsewhere = loaded.is_some_and(|zone| zone.config.secondary.is_some());
        if is_from_elsewhere { unsigned(content) } else { Arc::clone(content) }
    }

    /// The zone of this apex as its text has it.
    pub(crate) fn text_of(&self, apex: &Name) -> Option<&Arc<Zone>> {
        self.zones.values().map(|zone| &zone.zone).find(|zone| zone.apex() == apex)
    }

    /// Whether what is served of the zone of this apex is made of more than its text in both, and of the same.
    pub(crate) fn is_kept_in(&self, other: &Self, apex: &Name) -> bool {
        let find = |set: &Self| set.zones.values().find(|zone| zone.zone.apex() == apex).cloned();
        find(self).zip(find(other)).is_some_and(|(one, other)| one.is_kept() && one.is_kept_as(&other))
    }

    /// Whether what is served of the zone of this apex is made of more than its text.
    pub(crate) fn is_kept(&self, apex: &Name) -> bool {
        self.zones.values().any(|zone| zone.is_kept() && zone.zone.apex() == apex)
    }

    /// The zones that have a journal over them, as they were loaded.
    pub(crate) fn updated(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.values().filter(|zone| !zone.config.update.is_empty()).map(|zone| &zone.zone)
    }

    /// The zones by the names that the file gives them; those that are signed here with their signatures.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Arc<Zone>)> {
        self.zones.iter().map(|(name, zone)| {
            let signed = self.signed.get(name).map(|signed| signed.zone());
            (name.as_str(), signed.unwrap_or_else(|| Arc::clone(&zone.zone)))
        })
    }

    /// The snapshot that queries are answered from.
    pub fn zones(&self) -> Zones {
        Zones::new(self.iter().map(|(_, zone)| zone))
    }
}

impl LoadedPlaces {
    fn load(config: &DnsConfig, dir: &Path) -> Result<Self, ZoneFault> {
        let now = SystemTime::now();
        // Before it is read: what is written meanwhile makes it another file.
        let stamped = |path: &PathBuf| {
            let stamp =
                metadata(dir.join(path)).map_or_else(|_| Stamp::unsettled(), |found| Stamp::of(&found, now));
            (dir.join(path), stamp)
        };
        let geo = config.geo.as_ref().map(stamped);
        let fault = |message: String| ZoneFault { zone: String::new(), place: Place::Geo, message };
        let places = Places::load(config.places(), dir).map_err(|error| fault(error.to_string()))?;
        let (place, latency) = (config.place.clone(), config.latency.clone());
        Ok(Self { place, latency, geo, places: Arc::new(places) })
    }

    /// Whether the places would be the same if they were loaded again.
    fn is_still(&self, config: &DnsConfig, dir: &Path) -> bool {
        let is_same_file = match (&self.geo, &config.geo) {
            (Some((path, stamp)), Some(geo)) => *path == dir.join(geo) && is_still(path, stamp),
            (None, None) => true,
            _ => false,
        };
        is_same_file && self.place == config.place && self.latency == config.latency
    }
}

impl LoadedZone {
    fn load(
        name: &str,
        config: &ZoneConfig,
        dir: &Path,
        places: &Arc<LoadedPlaces>,
        pools: &Pools,
    ) -> Result<Self, Vec<ZoneFault>> {
        let apex: Name = name.parse().map_err(|error| {
            vec![ZoneFault { zone: name.into(), place: Place::Zone, message: format!("no name: {error}") }]
        })?;
        let now = SystemTime::now();
        if config.secondary.is_some() {
            let (zone, warnings) = (Arc::new(Zone::withdrawn(apex)), Faults::default());
            return Ok(Self {
                config: config.clone(),
                zone,
                warnings,
                references: References::default(),
                places: None,
                files: Vec::new(),
            });
        }
        let mut builder = ZoneBuilder::new(apex.clone());
        if let Some(file) = &config.file {
            // In this folder a file is called as it is in the file that names it.
            builder.file(&if dir == Path::new(".") { file.clone() } else { dir.join(file) });
        }
        if !config.records.is_empty() {
            let ttl = format!("$TTL {}", config.ttl.get().as_secs());
            let lines =
                std::iter::once(ttl.as_str()).chain(config.records.iter().map(notation::Name::as_str));
            builder.lines(RECORDS, lines);
        }
        for (at, route) in &config.route {
            let fault = |error| {
                let message = format!("route {at}: {error}");
                vec![ZoneFault { zone: name.into(), place: Place::Zone, message }]
            };
            builder.route(at, Route::new(route, &apex, &places.places, pools).map_err(fault)?);
        }
        let paths: Vec<PathBuf> = builder.files().to_vec();
        let references = References::of(&mut builder);
        match builder.finish() {
            Ok(Loaded { zone, mut warnings }) => {
                let references = references.judge(&zone, &mut warnings);
                slow_routes(config, &mut warnings);
                if let Some(Err(error)) =
                    config.sign.config().map(|how| signing::check(&zone, &how, config.transfer.is_some()))
                {
                    return Err(vec![ZoneFault {
                        zone: name.into(),
                        place: Place::Zone,
                        message: why(error),
                    }]);
                }
                let stamped =
                    |path: PathBuf| metadata(&path).ok().map(|found| (path, Stamp::of(&found, now)));
                let files: Option<Vec<_>> = paths.into_iter().map(stamped).collect();
                // A file that is gone by now is another one when it is back.
                let gone = || vec![(PathBuf::new(), Stamp::unsettled())];
                Ok(Self {
                    config: config.clone(),
                    zone: Arc::new(zone),
                    warnings,
                    references,
                    places: (!config.route.is_empty()).then(|| Arc::clone(places)),
                    files: files.unwrap_or_else(gone),
                })
            }
            Err(Error::Zone { faults, .. }) => Err(placed(name, config, faults.iter()).collect()),
            Err(error) => {
                Err(vec![ZoneFault { zone: name.into(), place: Place::Zone, message: error.to_string() }])
            }
        }
    }

    /// Whether what is served is made of more than the text.
    fn is_kept(&self) -> bool {
        self.config.secondary.is_some() || !self.config.update.is_empty()
    }

    /// Whether it is made of more than its text, or not, in the same way as another one.
    fn is_kept_as(&self, other: &Self) -> bool {
        let kind = |zone: &Self| (zone.config.secondary.is_some(), zone.config.update.is_empty());
        kind(self) == kind(other)
    }

    /// What is signed: its text, with what updates have changed of it; or what has come from elsewhere.
    fn content(&self, data: &Path, config: &SignConfig) -> Result<Arc<Zone>, Error> {
        let is_copied = self.config.transfer.is_some();
        if self.config.secondary.is_some() {
            return Ok(secondary::signable(data, self.zone.apex(), config, is_copied));
        }
        if self.config.update.is_empty() {
            return Ok(Arc::clone(&self.zone));
        }
        let content = update::content_on_disk(data, &self.zone)
            .map_err(|cause| Error::Journal { zone: self.zone.apex().to_string(), cause })?;
        signing::check(&content, config, is_copied)?;
        Ok(content)
    }

    /// Whether the zone would be the same if it were loaded again.
    fn is_still(&self, config: &ZoneConfig, places: &Arc<LoadedPlaces>) -> bool {
        self.config == *config
            && self.places.as_ref().is_none_or(|own| Arc::ptr_eq(own, places))
            && self.files.iter().all(|(path, stamp)| is_still(path, stamp))
    }
}

/// Routes that follow health, but not for those who have asked already.
fn slow_routes(config: &ZoneConfig, warnings: &mut Faults) {
    for (name, route) in &config.route {
        let follows = route.choose.contains(&StepName::Healthy) && route.pools().next().is_some();
        if follows && route.ttl.get() > ROUTE_TTL_SLOW {
            let message = format!(
                "route {name}: answers are kept for {}, and for so long clients go on to what is down",
                route.ttl
            );
            warnings.add(|| Fault { source: "zone".into(), line: 0, column: 0, message });
        }
    }
}

/// Without the zone's name, which is said in any case.
fn why(error: Error) -> String {
    match error {
        Error::Signing { why, .. } => format!("it cannot be signed: {why}"),
        error => error.to_string(),
    }
}

/// Whether a file is the one that was read.
fn is_still(path: &Path, stamp: &Stamp) -> bool {
    stamp.is_settled && metadata(path).is_ok_and(|found| *stamp == Stamp::of(&found, SystemTime::now()))
}

impl Stamp {
    /// Of a file that was read after `read`.
    fn of(found: &Metadata, read: SystemTime) -> Self {
        let is_settled = found.modified().is_ok_and(|modified| modified + UNSETTLED < read);
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            is_settled,
        }
    }

    fn unsettled() -> Self {
        Self { device: 0, inode: 0, bytes: 0, modified: (0, 0), changed: (0, 0), is_settled: false }
    }
}

/// Faults with their places in the file.
fn placed<'f>(
    name: &'f str,
    config: &'f ZoneConfig,
    faults: impl Iterator<Item = &'f crate::zone::Fault> + 'f,
) -> impl Iterator<Item = ZoneFault> + 'f {
    faults.map(move |fault| {
        let place = match (&*fault.source, fault.line) {
            (RECORDS, line) => record_at(config, line).map_or(Place::Zone, Place::Record),
            ("zone", 0) => Place::Zone,
            (path, line) => Place::File { path: path.into(), line, column: fault.column },
        };
        ZoneFault { zone: name.to_owned(), place, message: fault.message.clone() }
    })
}

/// The item of `records` that a line of their text is in. The text begins with a line of ours.
fn record_at(config: &ZoneConfig, line: u32) -> Option<usize> {
    let mut after = 1;
    for (nth, record) in config.records.iter().enumerate() {
        after += 1 + record.matches('\n').count();
        if line > 1 && line as usize <= after {
            return Some(nth);
        }
    }
    None
}
