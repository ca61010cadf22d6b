//! An open file, and reading it without waiting for a disk.

use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

/// A regular file that is open for reading. A clone is the same open file; it may go to another thread.
///
/// A file may be changed while it is sent. What was promised is its size when it was opened: one that grows is sent
/// up to there. One that shrinks can not be sent as promised: both ways of reading answer
/// [`io::ErrorKind::UnexpectedEof`], and sendfile returns 0. The caller then must end the connection (HTTP/1.1) or
/// reset the stream (HTTP/2 and 3), which tells the client that the answer is not whole; padding would hand it wrong
/// bytes.
#[derive(Debug, Clone)]
pub struct OpenFile {
    file: Arc<File>,
    /// Its file system has no disk, so that reading never waits; it need not know RWF_NOWAIT either, as tmpfs does not.
    in_memory: bool,
    /// What is kept of it, once it has been read as a whole.
    content: Option<Arc<Content>>,
}

/// A small file's bytes, for as long as it is known that they are still what they were.
#[derive(Debug)]
struct Content {
    size: usize,
    bytes: OnceLock<Box<[u8]>>,
}

/// What reading without waiting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadNow {
    /// So many bytes were read, at least one unless none were asked for.
    Read(usize),
    /// They are not in memory, or the file system cannot say (network file systems): let a thread that may wait
    /// [`OpenFile::read_blocking`]. The kernel reads ahead, so that what follows is likely in memory after that.
    WouldBlock,
}

impl OpenFile {
    pub(crate) fn new(file: File, in_memory: bool) -> Self {
        Self { file: Arc::new(file), in_memory, content: None }
    }

    /// A file that somebody else has opened, on a disk.
    pub fn of(file: Arc<File>) -> Self {
        Self { file, in_memory: false, content: None }
    }

    /// Keeps the bytes once all are read: for who knows when they have changed.
    pub(crate) fn keep_content(&mut self, size: u64) {
        let size = size as usize;
        self.content = Some(Arc::new(Content { size, bytes: OnceLock::new() }));
    }

    #[cfg(test)]
    pub(crate) fn keeps_content(&self) -> bool {
        self.content.is_some()
    }

    /// Reads at `offset` what is in memory, up to the length of `buf`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before `offset`; what the disk says.
    pub fn read_now(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadNow> {
        let Some(content) = &self.content else { return self.read_file_now(offset, buf) };
        if let Some(bytes) = content.bytes.get() {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let read = buf.len().min(bytes.len() - from);
            buf[..read].copy_from_slice(&bytes[from..from + read]);
            return if read == 0 && !buf.is_empty() { Err(shrunk()) } else { Ok(ReadNow::Read(read)) };
        }
        let read = self.read_file_now(offset, buf)?;
        if offset == 0 && read == ReadNow::Read(content.size) {
            content.bytes.get_or_init(|| buf[..content.size].into());
        }
        Ok(read)
    }

    fn read_file_now(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadNow> {
        if self.in_memory {
            return self.read_blocking(offset, buf).map(ReadNow::Read);
        }
        if buf.is_empty() {
            return Ok(ReadNow::Read(0));
        }
        loop {
            match rustix::io::preadv2(
                &*self.file,
                &mut [IoSliceMut::new(buf)],
                offset,
                ReadWriteFlags::NOWAIT,
            ) {
                Ok(0) => return Err(shrunk()),
                Ok(bytes) => return Ok(ReadNow::Read(bytes)),
                Err(Errno::INTR) => {}
                // EINVAL and ENOSYS: a kernel that does not know the flag (before 4.14) or the call (4.6).
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    return Ok(ReadNow::WouldBlock);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads at `offset`, up to the length of `buf`, waiting for the disk: for a thread that may.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before `offset`; what the disk says.
    pub fn read_blocking(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, offset) {
                Ok(0) if !buf.is_empty() => return Err(shrunk()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Whether `len` bytes at `offset` seem to be in memory, so that sendfile would not wait. The first and the last
    /// of them are looked at; to be surer, ask for pieces of some 256 KiB.
    pub fn is_cached(&self, offset: u64, len: u64) -> bool {
        let is_there = |at| matches!(self.read_now(at, &mut [0]), Ok(ReadNow::Read(1)));
        self.in_memory || len == 0 || (is_there(offset) && is_there(offset + len - 1))
    }
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has shrunk while it was sent")
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn file(bytes: &[u8]) -> (File, OpenFile) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let open = OpenFile::new(file.try_clone().unwrap(), false);
        (file, open)
    }

    /// Reads all, as a caller does.
    fn read_all(open: &OpenFile, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let read = match open.read_now(offset, buf)? {
                ReadNow::Read(bytes) => bytes,
                ReadNow::WouldBlock => open.read_blocking(offset, buf)?,
            };
            offset += read as u64;
            buf = &mut buf[read..];
        }
        Ok(())
    }

    #[test]
    fn both_ways_of_reading_give_the_same_bytes() {
        let bytes: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
        let (_, open) = file(&bytes);
        for in_memory in [false, true] {
            let open = OpenFile { in_memory, ..open.clone() };
            let mut seen = vec![0; 90_000];
            read_all(&open, 10_000, &mut seen).unwrap();
            assert!(seen == bytes[10_000..]);
            let mut some = [0; 10];
            assert_eq!(open.read_blocking(99_995, &mut some).unwrap(), 5);
            assert_eq!(some[..5], bytes[99_995..]);
            assert_eq!(open.read_now(0, &mut []).unwrap(), ReadNow::Read(0));
        }
    }

    #[test]
    fn a_file_that_shrinks_is_an_unexpected_end() {
        let (file, open) = file(&[7; 5000]);
        file.set_len(1000).unwrap();
        for in_memory in [false, true] {
            let open = OpenFile { in_memory, ..open.clone() };
            let mut seen = vec![0; 5000];
            let error = read_all(&open, 0, &mut seen).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(open.read_blocking(1000, &mut [0]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_was_just_written_is_in_memory() {
        let (_, open) = file(&[7; 5000]);
        // A file system that cannot say is asked by waiting.
        if open.read_now(0, &mut [0]).unwrap() == ReadNow::WouldBlock {
            assert!(!open.is_cached(0, 5000));
        } else {
            assert!(open.is_cached(0, 5000) && open.is_cached(4999, 1) && open.is_cached(0, 0));
            assert!(!open.is_cached(0, 5001), "it ends before");
        }
        let open = OpenFile { in_memory: true, ..open };
        assert!(open.is_cached(0, 5000));
    }

    #[test]
    fn a_file_system_that_cannot_say_sends_the_reader_to_a_thread() {
        // tmpfs, where the machine has one, does not know RWF_NOWAIT (Linux 6.18).
        let Ok(mut file) = tempfile::tempfile_in("/dev/shm") else { return };
        file.write_all(b"abc").unwrap();
        let open = OpenFile::new(file, false);
        let mut buf = [0; 3];
        match open.read_now(0, &mut buf).unwrap() {
            ReadNow::WouldBlock => assert_eq!(open.read_blocking(0, &mut buf).unwrap(), 3),
            ReadNow::Read(bytes) => assert_eq!(bytes, 3),
        }
        assert_eq!(&buf, b"abc");
    }
}
