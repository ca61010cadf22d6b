//! Purges on the disk: a file that grows by one record a purge, and is written anew where most of it no longer matters.
//!
//! After eight bytes that name the format, each record is: the length of its payload (u32), the CRC-32 of that (u32), and the CRC-32 of
//! these eight bytes; then the payload, which is the purge's number (u64), what it is about (u8), its mode (u8), and the name
//! of its target. Numbers are little-endian.
//! A record that the file ends within was never acknowledged, and is cut off. Anything else that is wrong means that purges are missing.

use super::table::Table;
use super::{Found, Mode, TARGET_BYTES_MAX, Target};
use crate::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FORMAT: &[u8; 8] = b"9purges1";
const HEAD_BYTES: usize = 12;
const FIXED_BYTES: usize = 10;
/// The log is written anew only if it is longer than this.
const REWRITE_BYTES_MIN: u64 = 256 << 10;
/// No log has lost so many purges: what was asked for before is below the number that is this much higher.
const LOST_MAX: u64 = 1 << 40;
/// What a remembered purge takes, about.
const RECORD_BYTES: u64 = 64;

pub(super) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// A write has failed, and how much of it is in the file is not known: it is written anew before the next.
    is_broken: bool,
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) purges: Vec<Purge>,
    pub(super) sequence: u64,
    pub(super) found: Found,
    /// Up to here it can be read.
    pub(super) bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Purge {
    pub(super) sequence: u64,
    pub(super) mode: Mode,
    kind: Kind,
    name: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Everything,
    Key,
    Prefix,
    Tag,
    /// No purge: only a number, above which those that follow are.
    Number,
}

impl Purge {
    pub(super) fn target(&self) -> Target<'_> {
        match self.kind {
            Kind::Key => Target::Key(&self.name),
            Kind::Prefix => Target::Prefix(&self.name),
            Kind::Tag => std::str::from_utf8(&self.name).map_or(Target::Everything, Target::Tag),
            Kind::Everything | Kind::Number => Target::Everything,
        }
    }
}

impl Log {
    /// Opens a log, and says what it has: all purges, and the number of the last.
    pub(super) fn open(path: &Path) -> Result<(Self, Table, u64, Found), Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(failed(source)),
        };
        let replayed = replay(&bytes);
        let (mut table, mut sequence) = (Table::default(), replayed.sequence);
        for purge in &replayed.purges {
            table.enter(purge.sequence, purge.target(), purge.mode);
        }
        if replayed.found == Found::Damaged {
            sequence += LOST_MAX;
            table.enter(sequence, Target::Everything, Mode::Hard);
        }
        let file = File::options().create(true).append(true).open(path).map_err(failed)?;
        let mut log = Self { path: path.into(), file, bytes: replayed.bytes as u64, is_broken: false };
        if replayed.bytes < bytes.len() || bytes.is_empty() {
            log.replace(&written_anew(&table, sequence))?;
        }
        Ok((log, table, sequence, replayed.found))
    }

    pub(super) fn append(&mut self, sequence: u64, target: Target<'_>, mode: Mode) -> Result<(), Error> {
        if self.is_broken {
            return Err(Error::PurgeLog { source: io::Error::other("an earlier write has failed") });
        }
        let record = record(sequence, kind(target), mode, target.name());
        self.file.write_all(&record).map_err(|source| {
            self.is_broken = true;
            failed(source)
        })?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// A handle that can be waited for without holding up others.
    pub(super) fn file(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(failed)
    }

    /// Whether most of it no longer matters, or it cannot go on as it is.
    pub(super) fn is_due(&self, remembered: u64) -> bool {
        self.is_broken || self.bytes > REWRITE_BYTES_MIN.max(4 * remembered * RECORD_BYTES)
    }

    /// Puts a new file in place of the old one, on the disk by the time that this returns.
    pub(super) fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let new = self.path.with_extension("new");
        let write = || -> io::Result<File> {
            fs::write(&new, bytes)?;
            let file = File::options().append(true).open(&new)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok(file)
        };
        self.file = write().map_err(failed)?;
        self.bytes = bytes.len() as u64;
        self.is_broken = false;
        Ok(())
    }
}

/// A log of what still matters.
pub(super) fn written_anew(table: &Table, sequence: u64) -> Vec<u8> {
    let mut bytes = FORMAT.to_vec();
    bytes.extend_from_slice(&record(sequence, Kind::Number, Mode::Hard, &[]));
    for (sequence, target, mode) in table.all() {
        bytes.extend_from_slice(&record(sequence, kind(target), mode, target.name()));
    }
    bytes
}

fn failed(source: io::Error) -> Error {
    Error::PurgeLog { source }
}

fn kind(target: Target<'_>) -> Kind {
    match target {
        Target::Everything => Kind::Everything,
        Target::Key(_) => Kind::Key,
        Target::Prefix(_) => Kind::Prefix,
        Target::Tag(_) => Kind::Tag,
    }
}

fn record(sequence: u64, kind: Kind, mode: Mode, name: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(FIXED_BYTES + name.len());
    payload.extend_from_slice(&sequence.to_le_bytes());
    payload.extend_from_slice(&[kind as u8, mode as u8]);
    payload.extend_from_slice(name);
    let mut record = (payload.len() as u32).to_le_bytes().to_vec();
    record.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    record.extend_from_slice(&crc32fast::hash(&record).to_le_bytes());
    record.extend_from_slice(&payload);
    record
}

/// Reads a log, up to where it ends or cannot be read.
pub(super) fn replay(bytes: &[u8]) -> Replayed {
    let mut replayed = Replayed { purges: Vec::new(), sequence: 0, found: Found::Nothing, bytes: 0 };
    if bytes.is_empty() {
        return replayed;
    }
    replayed.found = Found::Damaged;
    let Some(mut rest) = bytes.strip_prefix(FORMAT) else { return replayed };
    replayed.bytes = FORMAT.len();
    while let Some((head, after)) = rest.split_at_checked(HEAD_BYTES) {
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (len, crc) = (number(0) as usize, number(4));
        // A length that is wrong would make a whole record look like one that was not finished.
        if crc32fast::hash(&head[..8]) != number(8)
            || !(FIXED_BYTES..=FIXED_BYTES + TARGET_BYTES_MAX).contains(&len)
        {
            return replayed;
        }
        let Some((payload, after)) = after.split_at_checked(len) else { break };
        let Some(purge) = (crc32fast::hash(payload) == crc).then(|| read(payload)).flatten() else {
            return replayed;
        };
        replayed.sequence = replayed.sequence.max(purge.sequence);
        if purge.kind != Kind::Number {
            replayed.purges.push(purge);
        }
        replayed.bytes += HEAD_BYTES + len;
        rest = after;
    }
    replayed.found = Found::Whole;
    replayed
}

fn read(payload: &[u8]) -> Option<Purge> {
    let (sequence, rest) = payload.split_first_chunk::<8>()?;
    let (&[kind, mode], name) = rest.split_first_chunk::<2>()?;
    let kinds = [Kind::Everything, Kind::Key, Kind::Prefix, Kind::Tag, Kind::Number];
    let kind = kinds.into_iter().find(|known| *known as u8 == kind)?;
    let mode = [Mode::Hard, Mode::Soft].into_iter().find(|known| *known as u8 == mode)?;
    if kind == Kind::Tag && std::str::from_utf8(name).is_err() {
        return None;
    }
    Some(Purge { sequence: u64::from_le_bytes(*sequence), mode, kind, name: name.into() })
}

/// Reads any bytes as a log; what is read of it and written anew is read again as the same. For the fuzz target.
pub(crate) fn check_any(bytes: &[u8]) {
    let replayed = replay(bytes);
    assert!(replayed.bytes <= bytes.len());
    let mut table = Table::default();
    replayed.purges.iter().for_each(|purge| table.enter(purge.sequence, purge.target(), purge.mode));
    let again = replay(&written_anew(&table, replayed.sequence));
    assert_eq!((again.found, again.sequence), (Found::Whole, replayed.sequence));
    let mut other = Table::default();
    again.purges.iter().for_each(|purge| other.enter(purge.sequence, purge.target(), purge.mode));
    assert_eq!(table.all(), other.all());
}
