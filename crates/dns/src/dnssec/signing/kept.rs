//! Signatures that outlive a restart, in a file beside a zone's keys: without it all of a zone would be signed again at each start.
//!
//! A signature is found by a digest of what it signs, so that whatever has changed meanwhile has none, and nothing else must fit. The file
//! as a whole has a checksum: one that is damaged is none, and costs time alone. Beside the signatures stands of what they were made and
//! the serial number they were served with: where both are still so, the zone is the same as before, and is called so.
//!
//! A mark, the serial number (4 octets), when the first signature ends (4), a digest of what it was made of (32), the entries by their
//! digests, and a checksum (32). An entry: digest (16), end (4), begin (4), tag (2), algorithm (1), signature (64, with either algorithm).

use super::canonical::Shared;
use super::key::Key;
use super::plan::{Plan, canonical};
use crate::records_file::replace;
use crate::zone::Zone;
use crate::zone::node::{Node, RECORD_HEAD_BYTES, RrSet};
use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};
use domain::base::iana::Rtype;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

const MAGIC: &[u8] = b"nines signatures 1\n";
const HEAD_BYTES: usize = MAGIC.len() + 8 + SHA256_OUTPUT_LEN;
/// More than chance, or somebody who has this file's folder not, makes alike.
const DIGEST_BYTES: usize = 16;
/// End, begin, tag, algorithm.
const TIMES_BYTES: usize = 11;
const SIGNATURE_BYTES: usize = 64;
const ENTRY_BYTES: usize = DIGEST_BYTES + TIMES_BYTES + SIGNATURE_BYTES;
/// Where of an RRSIG's data the end of its fixed fields is, and where its times begin.
const FIXED_BYTES: usize = 18;
const TIMES_AT: usize = 8;
/// Entries that begin with the same bits, about.
const BUCKET_BITS: u32 = 3;

type Entry = [u8; ENTRY_BYTES];

/// Of what a zone was made: its records and routes, its keys, and how it is signed.
pub(super) type Origin = [u8; SHA256_OUTPUT_LEN];

/// The signatures of a zone, as they were kept.
pub(crate) struct Kept {
    pub(super) serial: u32,
    pub(super) first_end: u32,
    pub(super) origin: Origin,
    bytes: Vec<u8>,
    /// Where entries begin whose digests begin with these bits, and how many bits that are.
    starts: Vec<u32>,
    shift: u32,
}

/// A digest of what a zone is made of.
pub(super) fn origin(source: &Zone, plan: &Plan) -> Origin {
    let mut context = Context::new(&SHA256);
    // When it is signed, and what it is called, are no part of it.
    let how = Plan { serial: 0, now: 0, ..plan.clone() };
    context.update(format!("{how:?}").as_bytes());
    source.digest(&mut context);
    let mut origin = [0; SHA256_OUTPUT_LEN];
    origin.copy_from_slice(context.finish().as_ref());
    origin
}

fn digest_of(canonical: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&digest(&SHA256, canonical).as_ref()[..DIGEST_BYTES]);
    short
}

impl Kept {
    /// What was kept, if it is there and whole.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Self::parse(bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(mut bytes: Vec<u8>) -> io::Result<Self> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is broken");
        let (content, sum) = bytes.split_last_chunk::<SHA256_OUTPUT_LEN>().ok_or_else(broken)?;
        if digest(&SHA256, content).as_ref() != sum || !content.starts_with(MAGIC) {
            return Err(broken());
        }
        let entries = content.get(HEAD_BYTES..).filter(|entries| entries.len() % ENTRY_BYTES == 0);
        let count = entries.ok_or_else(broken)?.len() / ENTRY_BYTES;
        let number = |at: usize| content[at..].first_chunk().map_or(0, |number| u32::from_be_bytes(*number));
        let (serial, first_end) = (number(MAGIC.len()), number(MAGIC.len() + 4));
        let mut origin = [0; SHA256_OUTPUT_LEN];
        origin.copy_from_slice(&content[MAGIC.len() + 8..HEAD_BYTES]);
        let length = content.len();
        bytes.truncate(length);
        let bits = (usize::BITS - count.leading_zeros()).saturating_sub(BUCKET_BITS).clamp(1, 24);
        let mut kept = Self { serial, first_end, origin, bytes, starts: Vec::new(), shift: 32 - bits };
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (nth, entry) in kept.entries().iter().enumerate() {
            while starts.len() <= kept.bucket(entry) {
                starts.push(nth as u32);
            }
        }
        starts.resize((1 << bits) + 1, count as u32);
        kept.starts = starts;
        Ok(kept)
    }

    fn entries(&self) -> &[Entry] {
        self.bytes[HEAD_BYTES..].as_chunks().0
    }

    fn bucket(&self, digest: &[u8]) -> usize {
        digest.first_chunk().map_or(0, |bits| u32::from_be_bytes(*bits) >> self.shift) as usize
    }

    /// The data of the RRSIG of an RRset in canonical form by this key, if it can stay; `labels` as [`Plan::sign`] takes them.
    pub(crate) fn fresh(
        &self,
        plan: &Plan,
        key: &Key,
        (shared, labels): (&Shared<'_>, u8),
        signer: &[u8],
        canonical: &[u8],
    ) -> Option<Vec<u8>> {
        let digest = digest_of(canonical);
        let bucket = self.bucket(&digest);
        let (start, end) = (*self.starts.get(bucket)?, *self.starts.get(bucket + 1)?);
        let entries = self.entries().get(start as usize..end as usize)?;
        entries.iter().filter(|entry| entry.starts_with(&digest)).find_map(|entry| {
            let (times, signature) = entry[DIGEST_BYTES..].split_at(TIMES_BYTES);
            let mut data = Vec::with_capacity(FIXED_BYTES + signer.len() + SIGNATURE_BYTES);
            data.extend_from_slice(&shared.rtype.to_int().to_be_bytes());
            data.extend_from_slice(&[times[TIMES_BYTES - 1], labels]);
            data.extend_from_slice(&shared.ttl.to_be_bytes());
            data.extend_from_slice(&times[..TIMES_BYTES - 1]);
            data.extend_from_slice(signer);
            data.extend_from_slice(signature);
            plan.is_fresh(key, &data).then_some(data)
        })
    }
}

/// Keeps the signatures of a zone in the place of those that were kept before. Those of routes are made anew: they are few.
pub(super) fn write(path: &Path, zone: &Zone, first_end: u32, origin: &Origin) -> io::Result<()> {
    let mut entries: Vec<Entry> = Vec::with_capacity(zone.figures().records / 2);
    for (_, node) in zone.nodes() {
        for rrset in node.rrsets().filter(|rrset| rrset.rtype != Rtype::RRSIG) {
            add(zone, node, rrset, &mut entries);
        }
    }
    entries.sort_unstable();
    replace(path, |file| {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&zone.figures().serial.to_be_bytes());
        head.extend_from_slice(&first_end.to_be_bytes());
        head.extend_from_slice(origin);
        let mut sum = Context::new(&SHA256);
        for part in [&head[..], entries.as_flattened()] {
            sum.update(part);
            file.write_all(part)?;
        }
        file.write_all(sum.finish().as_ref())
    })
}

/// The signatures of an RRset.
fn add(zone: &Zone, node: Node<'_>, rrset: RrSet<'_>, entries: &mut Vec<Entry>) {
    let Some(signatures) = node.signatures(rrset.rtype) else { return };
    let owner = [node.relative_name(), zone.apex().as_wire()].concat();
    let datas = rrset.starts().map(|start| {
        let mut data = Vec::new();
        zone.uncompress(rrset, start, &mut data);
        data
    });
    let shared = Shared { owner: &owner, rtype: rrset.rtype, ttl: rrset.ttl() };
    let digest = digest_of(&canonical(&shared, datas.collect()));
    for data in signatures.wires().map(|record| &record[RECORD_HEAD_BYTES..]) {
        let (Some(fixed), Some(signature)) =
            (data.first_chunk::<FIXED_BYTES>(), data.last_chunk::<SIGNATURE_BYTES>())
        else {
            continue;
        };
        let mut entry = [0; ENTRY_BYTES];
        let (head, rest) = entry.split_at_mut(DIGEST_BYTES);
        head.copy_from_slice(&digest);
        rest[..TIMES_BYTES - 1].copy_from_slice(&fixed[TIMES_AT..]);
        rest[TIMES_BYTES - 1] = fixed[2];
        rest[TIMES_BYTES..].copy_from_slice(signature);
        entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_octets_with_the_right_checksum_are_signatures_or_broken(
            octets in proptest::collection::vec(any::<u8>(), 0..2000),
            is_marked: bool,
            entries in 0usize..9,
        ) {
            let mut bytes = if is_marked { MAGIC.to_vec() } else { Vec::new() };
            bytes.extend_from_slice(&octets);
            if octets.len() > 1500 {
                bytes.truncate(HEAD_BYTES + entries * ENTRY_BYTES);
            }
            let sum = digest(&SHA256, &bytes);
            bytes.extend_from_slice(sum.as_ref());
            if let Ok(kept) = Kept::parse(bytes) {
                let starts = &kept.starts;
                prop_assert!(starts.windows(2).all(|pair| pair[0] <= pair[1]));
                prop_assert_eq!(starts.last().copied(), Some(kept.entries().len() as u32));
                for entry in kept.entries() {
                    prop_assert!(kept.bucket(entry) + 1 < starts.len());
                }
            }
        }
    }
}
