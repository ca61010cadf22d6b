//! What has changed, on disk before it is acknowledged. Differences are appended, each with a checksum, one for all updates that
//! were made together; a crash may tear the last, which then was not acknowledged.
//!
//! A file: a mark, the fingerprint of the zone file that all of it is over, and entries: length (4 octets), its complement (4), checksum (8), and
//! a difference.
//! When it has grown, one entry takes the place of all.

use crate::protocol::Name;
use crate::records_file::{beside, file_name, make_folder_of, read_record, replace, write_record};
use crate::transfer::Difference;
use crate::zone::{Record, Zone};
use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What such a file begins with.
const MAGIC: &[u8] = b"nines journal 1\n";
const HEAD_BYTES: usize = MAGIC.len() + SHA256_OUTPUT_LEN;
/// Length, its complement, and checksum.
const ENTRY_HEAD_BYTES: usize = 16;
/// From this size on it is made shorter, if it is four times as large as its one entry would be.
const COMPACT_BYTES: u64 = 1 << 20;

/// Tells zone files apart.
pub(crate) type Fingerprint = [u8; SHA256_OUTPUT_LEN];

/// A journal that is written to, by this process alone.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    /// How long it was when it was made shorter last.
    compacted: u64,
    /// It could not be brought back to what was acknowledged: nothing more is written.
    is_broken: bool,
    _lock: File,
}

/// What a journal has.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) base: Option<Fingerprint>,
    pub(crate) differences: Vec<Difference>,
    /// Octets that are whole.
    length: u64,
}

impl Entries {
    /// These, over a zone file.
    pub(crate) fn over(base: Fingerprint, differences: Vec<Difference>) -> Self {
        Self { base: Some(base), differences, length: 0 }
    }
}

/// Where the journal of the zone with this apex is.
pub(crate) fn path(data: &Path, apex: &Name) -> PathBuf {
    data.join("updates").join(file_name(apex))
}

/// What tells whether a zone file has the same records as another.
pub(crate) fn fingerprint(zone: &Zone) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    let mut bytes = Vec::new();
    for record in zone.records() {
        bytes.clear();
        write_record(&mut bytes, &record);
        context.update(&bytes);
    }
    let mut all = [0; SHA256_OUTPUT_LEN];
    all.copy_from_slice(context.finish().as_ref());
    all
}

/// Reads a journal. What is torn at its end was not acknowledged, and is left out; anything else that is wrong is an error.
pub(crate) fn read(path: &Path) -> io::Result<Entries> {
    match fs::read(path) {
        Ok(bytes) => parse(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::default()),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> io::Result<Entries> {
    let broken = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some((head, mut rest)) = bytes.split_at_checked(HEAD_BYTES) else {
        return Err(broken("its beginning is missing".to_owned()));
    };
    let base = head.strip_prefix(MAGIC).and_then(|base| base.try_into().ok());
    let base = base.ok_or_else(|| broken("it is no journal".to_owned()))?;
    let mut entries = Entries { base: Some(base), differences: Vec::new(), length: HEAD_BYTES as u64 };
    while let Some((head, after)) = rest.split_at_checked(ENTRY_HEAD_BYTES) {
        // What is torn is the end: nothing was written after it, but for what a file system fills up with.
        let is_end = |next: &[u8]| next.iter().all(|octet| *octet == 0);
        let fault = || broken(format!("the entry at octet {} is broken", entries.length));
        let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = number(0) as usize;
        if number(4) != !number(0) {
            if is_end(after) {
                break;
            }
            return Err(fault());
        }
        let Some((payload, next)) = after.split_at_checked(length) else { break };
        let difference = (checksum(payload) == head[8..]).then(|| read_difference(payload)).flatten();
        let Some(difference) = difference else {
            if is_end(next) {
                break;
            }
            return Err(fault());
        };
        entries.differences.push(difference);
        entries.length += (ENTRY_HEAD_BYTES + length) as u64;
        rest = next;
    }
    Ok(entries)
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest(&SHA256, payload).as_ref()[..8]);
    sum
}

fn write_difference(out: &mut Vec<u8>, difference: &Difference) {
    write_record(out, &difference.old_soa);
    write_record(out, &difference.new_soa);
    out.extend_from_slice(&(difference.removed.len() as u32).to_be_bytes());
    for record in difference.removed.iter().chain(&difference.added) {
        write_record(out, record);
    }
}

fn read_difference(payload: &[u8]) -> Option<Difference> {
    let (old_soa, rest) = read_record(payload)?;
    let (new_soa, rest) = read_record(rest)?;
    let (removed_count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, after) = read_record(rest)?;
        records.push(record);
        rest = after;
    }
    let removed = u32::from_be_bytes(*removed_count) as usize;
    let added = records.get(removed..)?.to_vec();
    records.truncate(removed);
    let serial = |soa: &Record| crate::transfer::soa_number(&soa.data, 0);
    let (from, to) = (serial(&old_soa)?, serial(&new_soa)?);
    Some(Difference { from, to, old_soa, new_soa, removed: records, added })
}

fn entry(difference: &Difference) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    write_difference(&mut payload, difference);
    let length = u32::try_from(payload.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let complement = (!length).to_be_bytes();
    Ok([&length.to_be_bytes()[..], &complement, &checksum(&payload), &payload].concat())
}

impl Journal {
    /// Opens a journal to write to it, and reads it. `Ok(None)`: another process still has it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<(Self, Entries)>> {
        make_folder_of(path)?;
        let lock_path = beside(path, "lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let entries = read(path)?;
        if entries.base.is_none() {
            // It is made whole, so that one without its beginning is never a journal.
            replace(path, |file| file.write_all(&[MAGIC, &[0; SHA256_OUTPUT_LEN]].concat()))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = entries.length.max(HEAD_BYTES as u64);
        if file.metadata()?.len() > length {
            tracing::warn!(target: "dns", path = %path.display(), "the end of a journal is torn: what was not acknowledged is cut off");
            file.set_len(length)?;
            file.sync_all()?;
        }
        let path = path.to_owned();
        Ok(Some((Self { path, file, length, compacted: length, is_broken: false, _lock: lock }, entries)))
    }

    /// Appends a difference. Once this returns it outlives a crash.
    pub(crate) fn append(&mut self, difference: &Difference) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("it could not be repaired"));
        }
        let bytes = entry(difference)?;
        let written = self.file.write_all_at(&bytes, self.length).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What is not acknowledged must not be there after a restart.
            let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
            self.is_broken = cut.is_err();
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Whether it has grown so much that it is worth to be made shorter.
    pub(crate) fn is_long(&self) -> bool {
        self.length > COMPACT_BYTES && self.length > 4 * self.compacted
    }

    /// Puts one difference, from this zone file, in the place of all.
    pub(crate) fn rewrite(&mut self, base: &Fingerprint, difference: Option<&Difference>) -> io::Result<()> {
        let mut bytes = [MAGIC, base].concat();
        if let Some(difference) = difference {
            bytes.extend_from_slice(&entry(difference)?);
        }
        let replaced = replace(&self.path, |file| file.write_all(&bytes))
            .and_then(|()| OpenOptions::new().read(true).write(true).open(&self.path));
        match replaced {
            Ok(file) => self.file = file,
            Err(error) => {
                // It may be in the place of the other one all the same: what was appended to that would be gone after a restart.
                self.is_broken |= !self.is_in_place();
                return Err(error);
            }
        }
        self.length = bytes.len() as u64;
        self.compacted = self.length;
        Ok(())
    }

    /// Whether what is written to is what a restart will read.
    fn is_in_place(&self) -> bool {
        let (own, there) = (self.file.metadata(), fs::metadata(&self.path));
        own.is_ok_and(|own| there.is_ok_and(|there| (own.dev(), own.ino()) == (there.dev(), there.ino())))
    }
}
