//! A folder that is open, and what is opened below it.
//!
//! The kernel resolves names: with RESOLVE_BENEATH no `..`, no absolute symlink and no other leads above the folder
//! (openat2(2)); with RESOLVE_NO_MAGICLINKS no entry of /proc leads elsewhere. Symlinks that stay below are followed.

use crate::reading::OpenFile;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, fstatfs, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tries of a name while somebody renames folders above it, which the kernel answers by "again".
const RENAMES_MAX: usize = 16;

/// File systems without a disk, by their magic numbers (statfs(2)): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether a look may wait for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It must not: what the kernel does not have in memory is [`Failure::Cold`].
    None,
    /// It may.
    Any,
}

/// Why something was not opened.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Only a disk could say: ask again with [`Patience::Any`].
    Cold,
    /// It is not there, not below the folder, or neither file nor folder.
    Missing,
    /// The file system forbids it to us.
    Forbidden,
    /// There are no descriptors or no memory left, or a name does not come to rest: later it may work.
    Busy(io::Error),
    /// The disk, or a file system on the net, failed.
    Disk(io::Error),
}

/// Folders that were opened so far.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct Folder {
    id: u64,
    fd: OwnedFd,
    device: u64,
    inode: u64,
    in_memory: bool,
}

/// Something below a folder.
#[derive(Debug)]
pub(crate) enum Entry {
    File(FoundFile),
    Folder(OwnedFd),
}

/// A regular file, open, and what it says of itself.
#[derive(Debug, Clone)]
pub(crate) struct FoundFile {
    pub(crate) file: OpenFile,
    pub(crate) stat: Stat,
}

impl FoundFile {
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

impl Folder {
    /// Opens the folder at this path.
    pub(crate) fn at(path: &Path, patience: Patience) -> Result<Self, Errno> {
        let resolve = match patience {
            Patience::None => ResolveFlags::CACHED,
            Patience::Any => ResolveFlags::empty(),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat2(CWD, path, flags, Mode::empty(), resolve)?;
        let stat = fstat(&fd)?;
        let in_memory = IN_MEMORY.contains(&(fstatfs(&fd)?.f_type as u64));
        let id = OPENED.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, fd, device: stat.st_dev, inode: stat.st_ino, in_memory })
    }

    /// A number that no other folder of this process has, nor the same one opened again.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether both are one folder.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether it may be entered, and the kernel can look names up as we want it to.
    pub(crate) fn try_out(&self) -> Result<(), Errno> {
        self.open(b".", OFlags::PATH | OFlags::CLOEXEC, Patience::Any).map(drop)
    }

    /// Opens the file or folder of this name, which is relative; empty is the folder itself.
    pub(crate) fn entry(&self, name: &[u8], patience: Patience) -> Result<Entry, Failure> {
        let name = if name.is_empty() { b"." } else { name };
        // O_NONBLOCK: a FIFO is opened without waiting for its writer, and then not served.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open(name, flags, patience).map_err(|error| failure(error, patience))?;
        let stat = fstat(&fd).map_err(|error| failure(error, Patience::Any))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let in_memory = self.in_memory && stat.st_dev == self.device;
                Ok(Entry::File(FoundFile { file: OpenFile::new(File::from(fd), in_memory), stat }))
            }
            FileType::Directory => Ok(Entry::Folder(fd)),
            _ => Err(Failure::Missing),
        }
    }

    /// What a name leads to, without opening it.
    pub(crate) fn stat(&self, name: &[u8]) -> Result<Stat, Errno> {
        fstat(self.open(name, OFlags::PATH | OFlags::CLOEXEC, Patience::Any)?)
    }

    fn open(&self, name: &[u8], flags: OFlags, patience: Patience) -> Result<OwnedFd, Errno> {
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // What is only in memory needs no disk, though tmpfs would say "again" to every name that it has not.
        let waits = patience == Patience::Any || self.in_memory;
        if !waits {
            resolve |= ResolveFlags::CACHED;
        }
        for _ in 1..RENAMES_MAX {
            match openat2(&self.fd, name, flags, Mode::empty(), resolve) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if waits => {}
                other => return other,
            }
        }
        openat2(&self.fd, name, flags, Mode::empty(), resolve)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What an error of the kernel means to us.
fn failure(error: Errno, patience: Patience) -> Failure {
    match error {
        // EINVAL: before Linux 5.12 the kernel cannot be asked for what is in memory only.
        Errno::AGAIN | Errno::INVAL if patience == Patience::None => Failure::Cold,
        // EXDEV: a symlink out of the folder. ENXIO, ENODEV: sockets and devices nobody stands behind.
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::LOOP
        | Errno::XDEV
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::NODEV
        | Errno::INVAL => Failure::Missing,
        Errno::ACCESS | Errno::PERM => Failure::Forbidden,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR => {
            Failure::Busy(error.into())
        }
        error => Failure::Disk(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_kernel_is_what_a_client_should_hear() {
        for error in [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV, Errno::NAMETOOLONG, Errno::NXIO]
        {
            assert!(matches!(failure(error, Patience::Any), Failure::Missing), "{error}");
        }
        assert!(matches!(failure(Errno::ACCESS, Patience::Any), Failure::Forbidden));
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN] {
            assert!(matches!(failure(error, Patience::Any), Failure::Busy(_)), "{error}");
        }
        assert!(matches!(failure(Errno::IO, Patience::Any), Failure::Disk(_)));
    }

    #[test]
    fn what_is_not_in_memory_is_cold_to_who_must_not_wait() {
        for error in [Errno::AGAIN, Errno::INVAL] {
            assert!(matches!(failure(error, Patience::None), Failure::Cold), "{error}");
        }
        assert!(matches!(failure(Errno::NOENT, Patience::None), Failure::Missing));
    }
}
