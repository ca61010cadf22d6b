//! Purges on the disk: a file that grows by one record a purge, and is written anew where most of it no longer matters.
//!
//! After eight bytes that name the format come [`frames`], whose payload is the purge's number (u64, little-endian) and the purge, or
//! the number and two bytes that say that it is no purge: only a number, above which those that follow are.
//! A record that the file ends within was never acknowledged, and is cut off. Anything else that is wrong means that purges are missing.

use super::entry::{self, Entry};
use super::table::Table;
use super::{Found, Mode, TARGET_BYTES_MAX, Target};
use crate::Error;
use crate::frames::{self, HEAD_BYTES, Next};
use crate::growing::{FileSystem, Growing};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

const FORMAT: &[u8; 8] = b"9purges1";
const FIXED_BYTES: usize = 8 + entry::FIXED_BYTES;
/// In place of a purge.
const NUMBER: [u8; 2] = [4, 0];
/// No log has lost so many purges: what was asked for before is below the number that is this much higher.
const LOST_MAX: u64 = 1 << 40;

pub(super) struct Log {
    file: Growing,
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) purges: Vec<(u64, Entry)>,
    pub(super) sequence: u64,
    pub(super) found: Found,
    /// Up to here it can be read.
    pub(super) bytes: usize,
}

impl Replayed {
    fn table(&self) -> Table {
        let mut table = Table::default();
        for (sequence, entry) in &self.purges {
            table.enter(*sequence, entry.target(), entry.mode());
        }
        table
    }
}

impl Log {
    /// Opens a log, and says what it has: all purges, and the number of the last.
    pub(super) fn open(
        file_system: Arc<dyn FileSystem>,
        path: &Path,
    ) -> Result<(Self, Table, u64, Found), Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(failed(source)),
        };
        let replayed = replay(&bytes);
        let (mut table, mut sequence) = (replayed.table(), replayed.sequence);
        if replayed.found == Found::Damaged {
            sequence += LOST_MAX;
            table.enter(sequence, Target::Everything, Mode::Hard);
        }
        let log = Self { file: Growing::open(file_system, path, replayed.bytes as u64).map_err(failed)? };
        if replayed.bytes < bytes.len() || bytes.is_empty() {
            log.rewrite(|| written_anew(&table, sequence))?;
        }
        Ok((log, table, sequence, replayed.found))
    }

    /// Adds a purge, without waiting for the disk.
    pub(super) fn append(&self, sequence: u64, target: Target<'_>, mode: Mode) -> Result<(), Error> {
        let mut bytes = Vec::new();
        write_record(sequence, target, mode, &mut bytes);
        self.file.append(&bytes).map_err(failed)
    }

    /// Waits until all is on the disk. Where that is not known, it has to be written anew.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync().map_err(failed)
    }

    /// Whether it has doubled since all that matters was written, or cannot go on as it is.
    pub(super) fn is_due(&self) -> bool {
        self.file.is_due()
    }

    /// See [`Growing::rewrite`].
    pub(super) fn rewrite(&self, all: impl FnOnce() -> Vec<u8>) -> Result<(), Error> {
        self.file.rewrite(all).map_err(failed)
    }
}

/// A log of what still matters.
pub(super) fn written_anew(table: &Table, sequence: u64) -> Vec<u8> {
    let mut bytes = FORMAT.to_vec();
    frames::write(&[&sequence.to_le_bytes()[..], &NUMBER].concat(), &mut bytes);
    for (sequence, target, mode) in table.all() {
        write_record(sequence, target, mode, &mut bytes);
    }
    bytes
}

fn failed(source: io::Error) -> Error {
    Error::PurgeLog { source }
}

fn write_record(sequence: u64, target: Target<'_>, mode: Mode, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(FIXED_BYTES + target.name().len());
    payload.extend_from_slice(&sequence.to_le_bytes());
    entry::write(target, mode, &mut payload);
    frames::write(&payload, out);
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
    loop {
        let payload = match frames::next(rest, FIXED_BYTES..=FIXED_BYTES + TARGET_BYTES_MAX) {
            Next::Payload(payload, after) => {
                rest = after;
                payload
            }
            Next::Damaged => return replayed,
            Next::End => break,
        };
        let Some((sequence, entry)) = payload.split_first_chunk::<8>() else { return replayed };
        let sequence = u64::from_le_bytes(*sequence);
        if entry != NUMBER {
            let Some(entry) = Entry::read(entry) else { return replayed };
            replayed.purges.push((sequence, entry));
        }
        replayed.sequence = replayed.sequence.max(sequence);
        replayed.bytes += HEAD_BYTES + payload.len();
    }
    replayed.found = Found::Whole;
    replayed
}

/// Reads any bytes as a log; what is read of it and written anew is read again as the same. For the fuzz target.
pub(crate) fn check_any(bytes: &[u8]) {
    let replayed = replay(bytes);
    assert!(replayed.bytes <= bytes.len());
    let table = replayed.table();
    let again = replay(&written_anew(&table, replayed.sequence));
    assert_eq!((again.found, again.sequence), (Found::Whole, replayed.sequence));
    assert_eq!(table.all(), again.table().all());
}
