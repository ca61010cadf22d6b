//! Records in files of ours, and how files of ours are replaced.

use crate::protocol::Name;
use crate::zone::Record;
use domain::base::iana::Rtype;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a zone's file is called: its name, with what other characters may mean elsewhere written as `%2F`.
pub(crate) fn file_name(apex: &Name) -> String {
    let mut name = String::new();
    for character in apex.to_string().bytes() {
        match character {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(character)),
            b'.' if !name.is_empty() => name.push('.'),
            other => write!(name, "%{other:02X}").expect("a string takes all"),
        }
    }
    // The longest names are longer than names of files may be; a digest tells them apart.
    if name.len() > 200 {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
        name.truncate(150);
        name.push('~');
        for octet in &digest.as_ref()[..16] {
            write!(name, "{octet:02x}").expect("a string takes all");
        }
    }
    name
}

/// Appends a record.
pub(crate) fn write_record(out: &mut Vec<u8>, record: &Record) {
    out.push(record.owner.len() as u8);
    out.extend_from_slice(&record.owner);
    out.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    out.extend_from_slice(&record.ttl.to_be_bytes());
    out.extend_from_slice(&(record.data.len() as u16).to_be_bytes());
    out.extend_from_slice(&record.data);
}

/// The first record, and what follows it.
pub(crate) fn read_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (owner_len, rest) = bytes.split_first()?;
    let (owner, rest) = rest.split_at_checked(usize::from(*owner_len))?;
    let (head, rest) = rest.split_first_chunk::<8>()?;
    let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[6], head[7]])))?;
    let rtype = Rtype::from_int(u16::from_be_bytes([head[0], head[1]]));
    let ttl = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
    Some((Record { owner: owner.into(), rtype, ttl, data: data.into() }, rest))
}

/// Makes the folder of a file, for its owner alone.
pub(crate) fn make_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A file that belongs to another one. No zone's own file is called so, whatever the zone is: [`file_name`].
pub(crate) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push("~");
    beside.push(what);
    beside.into()
}

/// Writes a file in the place of another: after a crash either is there, whole.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    make_folder_of(path)?;
    // Two processes may write at once while one takes over from the other.
    let beside = &beside(path, &format!("{}.new", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
        write(&mut file)?;
        file.sync_all()?;
        std::fs::rename(beside, path)?;
        sync_folder_of(path)
    })();
    if written.is_err() {
        // What is left of it is of no use; if it cannot be removed either, it stays.
        drop(std::fs::remove_file(beside));
    }
    written
}

/// Lets the names in the folder of a file outlive a crash.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_s_file_stays_in_its_folder() {
        let name = |text: &str| file_name(&text.parse().expect("a name"));
        assert_eq!(name("Shop.Test"), "shop.test");
        assert_eq!(name("."), "%2E");
        assert_eq!(name("a/b.test"), "a%2Fb.test");
        let long = |last: &str| name(&format!("{0}.{0}.{0}.{last}", "/".repeat(60)));
        assert!(long("a").len() <= 200 && long("a") != long("b"));
    }
}
