//! Zones on disk: whole and checked, or not there. A file is written beside the one before it and renamed, so that a crash leaves either.

use crate::protocol::Name;
use crate::records_file::{read_record, write_record};
use crate::zone::{Zone, ZoneBuilder};
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What such a file begins with.
const MAGIC: &[u8] = b"nines zone 1\n";

/// A zone that was kept, and when it was confirmed last, in seconds since 1970.
pub(crate) struct Stored {
    pub(crate) zone: Zone,
    pub(crate) confirmed: u64,
}

/// Where the zone of this apex is kept.
pub(crate) fn path(data: &Path, apex: &Name) -> PathBuf {
    data.join("secondary").join(crate::records_file::file_name(apex))
}

/// The zone that was kept, if it is there and whole.
pub(crate) fn load(path: &Path, apex: &Name) -> io::Result<Option<Stored>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is broken");
    let confirmed = fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (content, sum) = bytes.split_last_chunk::<SHA256_OUTPUT_LEN>().ok_or_else(broken)?;
    if digest(&SHA256, content).as_ref() != sum {
        return Err(broken());
    }
    let mut rest = content.strip_prefix(MAGIC).ok_or_else(broken)?;
    let mut builder = ZoneBuilder::new(apex.clone());
    builder.source(&path.display().to_string());
    while !rest.is_empty() {
        let (record, after) = read_record(rest).ok_or_else(broken)?;
        rest = after;
        let owner = Name::from_wire(&record.owner).map_err(|_| broken())?;
        builder.record(&owner, record.rtype, record.ttl, &record.data);
    }
    let zone =
        builder.finish().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?.zone;
    Ok(Some(Stored { zone, confirmed }))
}

/// Keeps a zone that was confirmed just now.
pub(crate) fn save(path: &Path, zone: &Zone) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    for record in zone.records() {
        write_record(&mut bytes, &record);
    }
    let sum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(sum.as_ref());
    crate::records_file::replace(path, |file| file.write_all(&bytes))
}

/// The zone that is kept was confirmed again.
pub(crate) fn confirm(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.set_modified(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        let mut builder = ZoneBuilder::new("example.org".parse().expect("a name"));
        builder
            .lines("zone", ["@ 60 SOA ns a 7 1 1 1 1", "@ 60 NS ns", "ns 60 A 192.0.2.1", "*.x 1 MX 1 ns"]);
        builder.finish().expect("a good zone").zone
    }

    #[test]
    fn a_zone_is_there_again_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let apex: Name = "example.org".parse().expect("a name");
        let path = path(dir.path(), &apex);
        assert!(load(&path, &apex).expect("it may be missing").is_none());
        save(&path, &zone()).expect("there is room");
        let stored = load(&path, &apex).expect("it can be read").expect("it is there");
        assert_eq!(stored.zone.records().collect::<Vec<_>>(), zone().records().collect::<Vec<_>>());
        assert!(stored.confirmed > 1_700_000_000);
        confirm(&path).expect("it is there");
        let bytes = fs::read(&path).expect("it can be read");
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            fs::write(&path, &broken).expect("it can be written");
            assert!(load(&path, &apex).is_err(), "octet {at}");
            fs::write(&path, &bytes[..at]).expect("it can be written");
            assert!(load(&path, &apex).is_err(), "cut at {at}");
        }
    }
}
