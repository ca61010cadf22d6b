//! Records one after the other, each checked: how files are written that grow, and what nodes say to each other.
//!
//! A record is the length of its payload (u32), the CRC-32 of that (u32), and the CRC-32 of these eight bytes; then the payload. Numbers
//! are little-endian.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

pub(crate) const HEAD_BYTES: usize = 12;

/// Adds a record.
pub(crate) fn write(payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let crc = crc32fast::hash(&head[..8]);
    head[8..].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

/// What stands at the beginning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'b> {
    /// A payload, and what follows.
    Payload(&'b [u8], &'b [u8]),
    /// A record that was not finished, or nothing.
    End,
    /// No record.
    Damaged,
}

/// Reads the first record, whose payload is as long as it may be.
pub(crate) fn next(bytes: &[u8], lengths: RangeInclusive<usize>) -> Next<'_> {
    let Some((head, after)) = bytes.split_at_checked(HEAD_BYTES) else { return Next::End };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (len, crc) = (number(0) as usize, number(4));
    // A length that is wrong would make a whole record look like one that was not finished.
    if crc32fast::hash(&head[..8]) != number(8) || !lengths.contains(&len) {
        return Next::Damaged;
    }
    let Some((payload, rest)) = after.split_at_checked(len) else { return Next::End };
    if crc32fast::hash(payload) == crc { Next::Payload(payload, rest) } else { Next::Damaged }
}

/// A file that grows by records, and is written anew now and then.
pub(crate) struct Growing {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// A write has failed, and how much of it is in the file is not known: it is written anew before the next.
    is_broken: bool,
}

impl Growing {
    /// Goes on with a file of which `bytes` can be read; where there is more, it is to be replaced first.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { path: path.into(), file, bytes, is_broken: false })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(crate) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("an earlier write has failed"));
        }
        self.file.write_all(records).inspect_err(|_| self.is_broken = true)?;
        self.bytes += records.len() as u64;
        Ok(())
    }

    /// Waits until all is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// A handle that can be waited for without holding up others.
    pub(crate) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts a new file in place of the old one, on the disk by the time that this returns.
    pub(crate) fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Where it fails half way, nobody knows which file the name leads to.
        self.is_broken = true;
        let new = self.path.with_extension("new");
        fs::write(&new, bytes)?;
        let file = File::options().append(true).open(&new)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        *self =
            Self { path: std::mem::take(&mut self.path), file, bytes: bytes.len() as u64, is_broken: false };
        Ok(())
    }
}
