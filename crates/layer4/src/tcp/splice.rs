//! Pipes by which bytes pass from one connection to another without leaving the kernel.

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a pipe should hold: four times what it holds unasked, so that one call moves what a fast sender has sent since the
/// last one. A user may have 64 MiB in pipes (`fs.pipe-user-pages-soft`), which is 256 of them.
const PIPE_BYTES: usize = 256 << 10;
/// What a pipe holds that has carried much: the more goes at once, the less each byte costs. The kernel allows no more
/// to an ordinary user (`fs.pipe-max-size`).
const LARGE_PIPE_BYTES: usize = 1 << 20;
/// A pipe becomes large after so many bytes of one connection.
const LARGE_AFTER_BYTES: u64 = 8 << 20;
/// Large pipes of the process: half of what a user may have, so that there is room for those of one that takes over.
const LARGE_PIPES_MAX: usize = 32;
/// Pipes that a core keeps; more are closed.
const SPARE_PIPES_MAX: usize = 64;

/// A pipe for one direction of one connection.
pub(crate) struct Pipe {
    end: OwnedFd,
    start: OwnedFd,
    /// What it holds at most.
    pub(crate) room: usize,
    /// What is in it now.
    pub(crate) held: usize,
    /// What it has carried of this connection.
    carried: u64,
    large: Option<Large>,
}

/// The place of a large pipe among those of the process, until it is dropped.
struct Large;

static LARGE_PIPES: AtomicUsize = AtomicUsize::new(0);

impl Large {
    fn enter() -> Option<Self> {
        let more = |count| (count < LARGE_PIPES_MAX).then_some(count + 1);
        LARGE_PIPES.try_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        LARGE_PIPES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A core's empty pipes.
#[derive(Default)]
pub(crate) struct Pipes(RefCell<Vec<Pipe>>);

impl Pipes {
    /// A pipe that is empty; `None` when the kernel has none.
    pub(crate) fn take(&self) -> Option<Pipe> {
        self.0.borrow_mut().pop().or_else(|| Pipe::new().ok())
    }

    /// Takes back a pipe. One that still holds something is closed.
    pub(crate) fn give_back(&self, mut pipe: Pipe) {
        pipe.carried = 0;
        let mut spare = self.0.borrow_mut();
        if pipe.held == 0 && spare.len() < SPARE_PIPES_MAX {
            spare.push(pipe);
        }
    }

    /// Closes half of the pipes; called now and then, so that a burst is forgotten.
    pub(crate) fn shrink(&self) {
        let mut spare = self.0.borrow_mut();
        let kept = spare.len() / 2;
        spare.truncate(kept);
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (end, start) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user has so much room in pipes and no more; a smaller pipe does as well, only slower.
        let _ = fcntl_setpipe_size(&start, PIPE_BYTES);
        let room = fcntl_getpipe_size(&start)?;
        Ok(Self { end, start, room, held: 0, carried: 0, large: None })
    }

    /// Takes in what has come on a connection, at most `max` bytes; 0 is the end.
    pub(crate) fn fill(&mut self, from: impl AsFd, max: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = splice(from, None, &self.start, None, max.min(self.room), flags)?;
        self.held += count;
        Ok(count)
    }

    /// Gives what it holds to a connection, as far as that takes it.
    pub(crate) fn empty(&mut self, to: impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = splice(&self.end, None, to, None, self.held, flags)?;
        self.held -= count;
        self.carried += count as u64;
        if self.held == 0 && self.carried >= LARGE_AFTER_BYTES && self.large.is_none() {
            self.grow();
        }
        Ok(count)
    }

    /// Makes it large, if there may be one more.
    fn grow(&mut self) {
        // Asked again after as much again: others may have ended by then.
        self.carried = 0;
        let Some(place) = Large::enter() else { return };
        if let Ok(room) = fcntl_setpipe_size(&self.start, LARGE_PIPE_BYTES) {
            self.room = room;
            self.large = Some(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_pass_from_one_connection_to_another() {
        let ((mut client, server), (to, mut endpoint)) = (connection(), connection());
        client.write_all(b"hello").unwrap();
        server.peek(&mut [0]).unwrap();
        let mut pipe = Pipe::new().unwrap();
        assert_eq!(pipe.fill(&server, 3).unwrap(), 3);
        assert_eq!(pipe.fill(&server, pipe.room).unwrap(), 2);
        assert_eq!(pipe.held, 5);
        assert_eq!(pipe.empty(&to).unwrap(), 5);
        let mut got = [0; 5];
        endpoint.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        server.set_nonblocking(true).unwrap();
        assert_eq!(pipe.fill(&server, 1).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(client);
        server.peek(&mut [0]).ok();
        server.set_nonblocking(false).unwrap();
        assert_eq!(pipe.fill(&server, 1).unwrap(), 0, "the end");
    }

    #[test]
    fn a_pipe_that_carries_much_becomes_large_while_there_are_few_of_them() {
        let ((mut client, server), (to, mut endpoint)) = (connection(), connection());
        let sink = std::thread::spawn(move || std::io::copy(&mut endpoint, &mut std::io::sink()).unwrap());
        let mut carry = |pipe: &mut Pipe, bytes: u64| {
            let mut left = bytes;
            while left > 0 {
                client.write_all(&[0; 16 << 10]).unwrap();
                let read = pipe.fill(&server, pipe.room).unwrap();
                while pipe.held > 0 {
                    pipe.empty(&to).unwrap();
                }
                left = left.saturating_sub(read as u64);
            }
        };
        let mut pipe = Pipe::new().unwrap();
        let room = pipe.room;
        carry(&mut pipe, LARGE_AFTER_BYTES - (1 << 20));
        assert_eq!(pipe.room, room);
        // All places are taken: it stays as it is, and asks again later.
        let taken: Vec<Large> = std::iter::from_fn(Large::enter).collect();
        assert!(!taken.is_empty() && taken.len() <= LARGE_PIPES_MAX);
        carry(&mut pipe, 2 << 20);
        assert_eq!(pipe.room, room);
        drop(taken);
        carry(&mut pipe, LARGE_AFTER_BYTES);
        let is_allowed = fcntl_setpipe_size(&Pipe::new().unwrap().start, LARGE_PIPE_BYTES).is_ok();
        assert_eq!(pipe.room, if is_allowed { LARGE_PIPE_BYTES } else { room });
        drop((client, server, to));
        sink.join().unwrap();
    }

    #[test]
    fn a_pipe_that_holds_something_is_not_used_again() {
        let (mut client, server) = connection();
        client.write_all(b"x").unwrap();
        server.peek(&mut [0]).unwrap();
        let pipes = Pipes::default();
        let mut pipe = pipes.take().unwrap();
        pipe.fill(&server, 1).unwrap();
        pipes.give_back(pipe);
        assert!(pipes.0.borrow().is_empty());
        pipes.give_back(Pipe::new().unwrap());
        assert_eq!(pipes.0.borrow().len(), 1);
    }
}
