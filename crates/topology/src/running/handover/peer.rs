//! One end of the conversation.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// How long a message that has begun may take. Messages are small and written at once; only a process that
/// was stopped in the middle of one takes longer.
const MESSAGE_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Peer(UnixStream);

impl Peer {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Sends a message with sockets attached.
    pub(super) fn send(&mut self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
        self.blocking(|stream| sys::handover::send(stream, &bytes, fds))
    }

    /// Waits at most `wait` for a message. The end of the other side is `UnexpectedEof`.
    pub(super) async fn receive<T: DeserializeOwned>(
        &mut self,
        wait: Duration,
    ) -> io::Result<(T, Vec<OwnedFd>)> {
        tokio::time::timeout(wait, self.something_to_read()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let mut bytes = Vec::new();
        let fds = self.blocking(|stream| sys::handover::receive(stream, &mut bytes))?;
        let message = serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((message, fds))
    }

    /// tokio takes a socket for readable until a read says otherwise, and the reads here are not its own.
    async fn something_to_read(&self) -> io::Result<()> {
        let look = || match sys::tcp_quiet(self.0.as_fd()) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        };
        self.0.async_io(Interest::READABLE, look).await
    }

    /// Sockets are attached by blocking calls: one end of the conversation waits for the other, and never
    /// longer than [`MESSAGE_WAIT`].
    fn blocking<T>(&mut self, work: impl FnOnce(&StdUnixStream) -> io::Result<T>) -> io::Result<T> {
        let stream = StdUnixStream::from(self.0.as_fd().try_clone_to_owned()?);
        stream.set_read_timeout(Some(MESSAGE_WAIT))?;
        stream.set_write_timeout(Some(MESSAGE_WAIT))?;
        // The flag belongs to the socket, not to the copy: it is set back for tokio.
        stream.set_nonblocking(false)?;
        let result = work(&stream);
        stream.set_nonblocking(true)?;
        result
    }
}
