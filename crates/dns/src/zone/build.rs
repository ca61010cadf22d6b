//! A zone is built from records in any order: they are collected, checked, and laid out.

use super::fault::{Fault, Faults};
use super::interned::{NONE, Names};
use super::{Zone, check, layout, text};
use crate::error::Error;
use crate::policy::{self, Route};
use crate::protocol::{Name, NameError};
use domain::base::iana::Rtype;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Data, or names, of a zone: with what records have around them, offsets of 32 bits reach all of it.
const COLLECTED_BYTES_MAX: usize = 1 << 30;
pub(super) const TOO_LARGE: &str = "the zone is too large (1 GiB of data, or of names)";

/// What the text of a zone may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files that include each other.
    pub include_depth_max: usize,
    /// Files that are included, counted each time.
    pub includes_max: usize,
    /// Records that one `$GENERATE` makes: a network of 16 bits.
    pub generated_max: usize,
    /// Records of the zone.
    pub records_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { include_depth_max: 10, includes_max: 1000, generated_max: 65536, records_max: 100_000_000 }
    }
}

/// Collects the records of a zone.
///
///     # fn main() -> Result<(), dns::Error> {
///     let mut builder = dns::ZoneBuilder::new("example.org".parse()?);
///     builder.lines("nines.toml", ["@ 1h SOA ns1 admin 1 1d 2h 4w 5m", "@ 1h NS ns1", "ns1 1h A 192.0.2.1"]);
///     let loaded = builder.finish()?;
///     assert_eq!(loaded.zone.figures().records, 3);
///     # Ok(())
///     # }
pub struct ZoneBuilder {
    pub(super) names: Names,
    pub(super) records: Vec<Record>,
    /// The data of all records.
    pub(super) rdata: Vec<u8>,
    /// What answers for the addresses of these names.
    pub(super) routes: Vec<(u32, Arc<policy::Kind>)>,
    /// Where the records came from: from which record on, and the source.
    sources: Vec<(u32, Arc<str>)>,
    /// The files among them.
    pub(super) files: Vec<PathBuf>,
    pub(super) errors: Faults,
    pub(super) warnings: Faults,
    /// The signatures among the records are made here, and those of routes too.
    pub(super) is_signed_here: bool,
    limits: Limits,
    /// Files that were included.
    includes: usize,
}

/// A record that was collected.
pub(super) struct Record {
    /// The record of the same name that came before.
    pub(super) older: u32,
    pub(super) rdata: u32,
    pub(super) ttl: u32,
    pub(super) line: u32,
    pub(super) rtype: Rtype,
    pub(super) len: u16,
}

/// A zone that was built, and what looks like a mistake in it.
#[derive(Debug)]
pub struct Loaded {
    /// The zone.
    pub zone: Zone,
    /// Records that were left out or changed, and data that nobody will see.
    pub warnings: Faults,
}

impl ZoneBuilder {
    /// Begins the zone of this name.
    pub fn new(apex: Name) -> Self {
        Self {
            names: Names::new(apex),
            records: Vec::new(),
            routes: Vec::new(),
            rdata: Vec::new(),
            sources: Vec::new(),
            files: Vec::new(),
            errors: Faults::default(),
            warnings: Faults::default(),
            is_signed_here: false,
            limits: Limits::default(),
            includes: 0,
        }
    }

    /// Sets what the text may ask for.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds the records of a zone file (RFC 1035 §5). `$INCLUDE` is relative to the folder of the file it stands in.
    pub fn file(&mut self, path: &Path) {
        text::read_file(self, path);
    }

    /// Adds the records of a text in the format of zone files; faults name it as `source`. It includes no files.
    pub fn text(&mut self, source: &str, text: &[u8]) {
        text::read_text(self, source, text);
    }

    /// Adds records that are written one a line.
    pub fn lines<Line: AsRef<str>>(&mut self, source: &str, lines: impl IntoIterator<Item = Line>) {
        let mut text = String::new();
        for line in lines {
            text.push_str(line.as_ref());
            text.push('\n');
        }
        self.text(source, text.as_bytes());
    }

    /// Puts a route over the addresses of a name, which then is there, whether or not it has records. The name is relative to the
    /// zone; `@` is its apex.
    pub fn route(&mut self, name: &str, route: Route) {
        let apex = self.names.apex().clone();
        let found = match policy::name_in(name, &apex).map(|name| self.names.intern(&name)) {
            Ok(Some(id)) if self.routes.iter().any(|(other, _)| *other == id) => {
                Err("there are two".to_owned())
            }
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(format!("it is not in {apex}")),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(id) => self.routes.push((id, Arc::new(route.0))),
            Err(why) => self.error(NONE, format!("route {name}: {why}")),
        }
    }

    /// Puts what answers in another zone over the addresses of a name of this one.
    pub(crate) fn route_of(&mut self, name: &Name, kind: Arc<policy::Kind>) {
        if let Some(id) = self.names.intern(name) {
            self.routes.push((id, kind));
        }
    }

    /// The routes that were put over names so far.
    pub(crate) fn placed_routes(&self) -> impl Iterator<Item = (Name, &Arc<policy::Kind>)> {
        self.routes.iter().filter_map(|(id, kind)| {
            let wire = [self.names.relative(*id), self.names.apex().as_wire()].concat();
            Some((Name::from_wire(&wire).ok()?, kind))
        })
    }

    /// Checks the records and lays them out.
    pub fn finish(mut self) -> Result<Loaded, Error> {
        let checked = check::check(&mut self);
        if !self.errors.is_empty() {
            return Err(Error::Zone { zone: self.names.apex().to_string(), faults: self.errors });
        }
        layout::lay_out(self, &checked)
    }

    /// The files that were read so far, those that others include among them.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Where records come from now.
    pub(super) fn source_now(&self) -> Arc<str> {
        self.sources.last().map_or_else(|| Arc::from("zone"), |(_, source)| Arc::clone(source))
    }

    /// The records that follow are of this source.
    pub(super) fn begin_source(&mut self, source: &Arc<str>) {
        self.sources.push((self.records.len() as u32, Arc::clone(source)));
    }

    /// Adds a record; its data is in wire form, uncompressed. Says what is wrong if it cannot be taken.
    pub(super) fn add(
        &mut self,
        owner: u32,
        rtype: Rtype,
        ttl: u32,
        line: u32,
        rdata: &[u8],
    ) -> Result<(), String> {
        if self.records.len() >= self.limits.records_max {
            return Err(format!("the zone has more than {} records", self.limits.records_max));
        }
        if self.is_too_large() {
            return Err(TOO_LARGE.to_owned());
        }
        let record = Record {
            older: self.names.newest(owner),
            rdata: self.rdata.len() as u32,
            ttl,
            line,
            rtype,
            len: rdata.len() as u16,
        };
        self.names.set_newest(owner, self.records.len() as u32);
        self.records.push(record);
        self.rdata.extend_from_slice(rdata);
        Ok(())
    }

    /// Whether offsets could soon be too small for what was collected.
    pub(super) fn is_too_large(&self) -> bool {
        self.rdata.len().max(self.names.bytes()) > COLLECTED_BYTES_MAX
    }

    /// One file more is included. Says whether that is allowed.
    pub(super) fn count_include(&mut self) -> bool {
        self.includes += 1;
        self.includes <= self.limits.includes_max
    }

    /// The records of a name, the newest first.
    pub(super) fn newest_first(&self, name: u32) -> impl Iterator<Item = u32> {
        let mut next = self.names.newest(name);
        std::iter::from_fn(move || {
            let at = next;
            next = self.records.get(at as usize)?.older;
            Some(at)
        })
    }

    pub(super) fn data_of(&self, record: &Record) -> &[u8] {
        &self.rdata[record.rdata as usize..][..usize::from(record.len)]
    }

    /// The name of this number, as people write it.
    pub(super) fn name_of(&self, id: u32) -> String {
        let wire = [self.names.relative(id), self.names.apex().as_wire()].concat();
        Name::from_wire(&wire).map_or_else(|_: NameError| String::new(), |name| name.to_string())
    }

    /// A fault at a record, or about the zone as a whole (`NONE`).
    pub(super) fn fault(&self, record: u32, message: String) -> Fault {
        let place = self.records.get(record as usize).map(|found| found.line);
        let after = self.sources.partition_point(|(first, _)| *first <= record);
        let source = match after {
            0 => Arc::from("zone"),
            _ => Arc::clone(&self.sources[if record == NONE { 0 } else { after - 1 }].1),
        };
        Fault { source, line: place.unwrap_or(0), column: 0, message }
    }

    pub(super) fn error(&mut self, record: u32, message: String) {
        let fault = self.fault(record, message);
        self.errors.add(|| fault);
    }

    pub(super) fn warn(&mut self, record: u32, message: String) {
        let fault = self.fault(record, message);
        self.warnings.add(|| fault);
    }
}
