//! How a message gets to a peer and from it: as bytes of HTTP/1.1 on a connection of its own, in frames on one
//! that it shares with others, or into the cache.

use crate::cached::Filler;
use crate::io::{Timer, poll_timed_out, write_all};
use crate::message::{Incoming, Message, Outgoing};
use crate::protocol::write_chunk_start;
use crate::stream::{ReadHalf, Stream, WriteHalf};
use files::OpenFile;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The way to a peer.
pub(crate) enum Wire {
    Bytes(Stream),
    Frames(Box<Message>),
    /// What asks for itself is the cache.
    Cache(Box<Filler>),
}

/// The side that is read.
pub(crate) enum Source<'a> {
    Bytes(ReadHalf<'a>),
    Frames(&'a mut Incoming),
    /// The cache sends nothing but a head.
    Nothing,
}

/// The side that is written.
pub(crate) enum Sink<'a> {
    Bytes(WriteHalf<'a>),
    Frames(&'a mut Outgoing),
    Cache(&'a mut Filler),
}

/// How a body is told from what follows it, where it goes as bytes. Frames tell it by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is: its length is known, or the connection's end tells it.
    Identity,
    /// In chunks.
    Chunked,
}

/// A part of a message; each may be empty.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The whole head, with its empty line. It comes once, with the first part.
    pub(crate) head: &'a [u8],
    /// A piece of the body.
    pub(crate) data: &'a [u8],
    /// That this is the end, and the trailer lines.
    pub(crate) end: Option<&'a [u8]>,
}

impl Wire {
    pub(crate) fn split(&mut self) -> (Source<'_>, Sink<'_>) {
        match self {
            Self::Bytes(stream) => {
                let (read, write) = stream.split();
                (Source::Bytes(read), Sink::Bytes(write))
            }
            Self::Frames(message) => {
                let Message { incoming, outgoing } = &mut **message;
                (Source::Frames(incoming), Sink::Frames(outgoing))
            }
            Self::Cache(filler) => (Source::Nothing, Sink::Cache(filler)),
        }
    }
}

impl Source<'_> {
    /// Ready once there are bytes, or the end.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Bytes(half) => half.poll_readable(cx),
            Self::Frames(incoming) => incoming.poll_readable(cx).map(drop),
            Self::Nothing => Poll::Ready(()),
        }
    }

    /// Whether it is known that nothing follows. Bytes do not tell it before they are read.
    pub(crate) fn is_ended(&self) -> bool {
        match self {
            Self::Bytes(_) => false,
            Self::Frames(incoming) => incoming.is_ended(),
            Self::Nothing => true,
        }
    }

    /// Waits for the end of a body in frames that has come whole by its length: trailers may stand before it.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Frames(incoming) => poll_fn(|cx| incoming.poll_readable(cx)).await,
            Self::Bytes(_) | Self::Nothing => Ok(()),
        }
    }

    /// Whether there are bytes, or the end, at this moment.
    pub(crate) fn has_more(&mut self) -> bool {
        self.poll_readable(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// The trailer lines of a body that came in frames and has ended.
    pub(crate) fn trailers(&self) -> &[u8] {
        match self {
            Self::Bytes(_) | Self::Nothing => b"",
            Self::Frames(incoming) => incoming.trailers(),
        }
    }
}

impl AsyncRead for Source<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Bytes(half) => Pin::new(half).poll_read(cx, buf),
            Self::Frames(incoming) => Pin::new(&mut **incoming).poll_read(cx, buf),
            Self::Nothing => Poll::Ready(Ok(())),
        }
    }
}

/// The longest line before a chunk: 16 digits and the line's end.
const CHUNK_START_BYTES: usize = 18;

impl Sink<'_> {
    /// Writes a part. Each step that the peer takes gives it `idle` for the next.
    pub(crate) async fn write(
        &mut self,
        part: Part<'_>,
        coding: Coding,
        timer: &mut Timer,
        idle: Duration,
    ) -> io::Result<()> {
        timer.set(Instant::now() + idle);
        match self {
            Self::Bytes(half) => write_bytes(half, part, coding, timer, idle).await,
            // What is seldom awaited is not kept in the task of every connection that could.
            Self::Frames(outgoing) => match outgoing.send_now(part)? {
                None => Ok(()),
                Some(rest) => Box::pin(write_frames(outgoing, rest, timer, idle)).await,
            },
            Self::Cache(filler) => Box::pin(filler.write(part)).await,
        }
    }

    /// The connection, where bytes go to it as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Bytes(half) => half.plain(),
            Self::Frames(_) | Self::Cache(_) => None,
        }
    }

    /// Sends bytes of a file by the kernel alone. Returns how many; 0 when the file ends before them.
    pub(crate) async fn sendfile(
        &mut self,
        file: &OpenFile,
        offset: u64,
        bytes_max: usize,
        timer: &mut Timer,
        idle: Duration,
    ) -> io::Result<usize> {
        let Some(stream) = self.plain() else { return Err(io::ErrorKind::Unsupported.into()) };
        timer.set(Instant::now() + idle);
        loop {
            let mut from = offset;
            let sent = stream.try_io(Interest::WRITABLE, || {
                Ok(rustix::fs::sendfile(stream, file, Some(&mut from), bytes_max)?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    under(timer, async { stream.writable().await }).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    /// Ready once the peer wants no more, or has left.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Bytes(half) => half.poll_gone(cx),
            Self::Frames(outgoing) => outgoing.poll_gone(cx),
            Self::Cache(filler) => filler.poll_gone(cx),
        }
    }

    /// Ends what is sent: after a protocol's change, half of the way closes before the other.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Bytes(half) => half.shutdown().await,
            Self::Frames(outgoing) => outgoing.finish(b"").await,
            Self::Cache(_) => Ok(()),
        }
    }
}

async fn write_bytes(
    half: &mut WriteHalf<'_>,
    part: Part<'_>,
    coding: Coding,
    timer: &mut Timer,
    idle: Duration,
) -> io::Result<()> {
    let Part { head, data, end } = part;
    if coding == Coding::Identity {
        return write_all(half, &[head, data], timer, idle).await;
    }
    let mut start = Vec::new();
    if !data.is_empty() {
        start.reserve_exact(CHUNK_START_BYTES);
        write_chunk_start(&mut start, data.len());
    }
    let tail: &[&[u8]] = match (data.is_empty(), end) {
        (true, None) => &[],
        (false, None) => &[b"\r\n"],
        (true, Some(trailers)) => &[b"0\r\n", trailers, b"\r\n"],
        (false, Some(trailers)) => &[b"\r\n0\r\n", trailers, b"\r\n"],
    };
    let mut parts: [&[u8]; 6] = [head, &start, data, b"", b"", b""];
    parts[3..3 + tail.len()].copy_from_slice(tail);
    write_all(half, &parts, timer, idle).await
}

async fn write_frames(
    outgoing: &mut Outgoing,
    part: Part<'_>,
    timer: &mut Timer,
    idle: Duration,
) -> io::Result<()> {
    let ends_bare = part.end.is_some_and(<[u8]>::is_empty);
    if !part.head.is_empty() {
        under(timer, outgoing.send_head(part.head, ends_bare && part.data.is_empty())).await?;
    }
    let mut data = part.data;
    while !data.is_empty() {
        let sent = under(timer, outgoing.send_some(data, ends_bare)).await?;
        data = &data[sent..];
        timer.set(Instant::now() + idle);
    }
    match part.end {
        Some(trailers) => under(timer, outgoing.finish(trailers)).await,
        None => Ok(()),
    }
}

/// Waits for something that a peer does, until the deadline.
pub(crate) async fn under<T>(timer: &mut Timer, act: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut act = pin!(act);
    poll_fn(|cx| match act.as_mut().poll(cx) {
        Poll::Pending => poll_timed_out(timer, cx),
        ready => ready,
    })
    .await
}
