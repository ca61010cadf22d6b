//! Two connections joined: what comes on one goes out on the other, until both have ended.
//!
//! Each direction ends by itself: the end of what one side sends is passed on, and the other side may go on sending. A
//! direction begins with a small buffer, since most connections are short or talk in turns; once it has filled that
//! several times in a row it carries bulk, and is spliced through a pipe until it does no longer.

use super::splice::Pipe;
use super::stream::Stream;
use crate::core::{BUFFER_BYTES, Core};
use crate::snapshot::TcpPart;
use admission::Pace;
use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};
use telemetry::Counter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

/// A direction is spliced after so many bytes that have filled its buffer time after time: a pipe costs two descriptors and
/// four system calls, which is little against the eight copies that show that there is more to come.
const SPLICE_AFTER_BYTES: usize = 128 << 10;
/// A spliced direction that carries less than this at once, several times in a row, is copied again.
const BULK_BYTES: usize = 8 << 10;
const SMALL_ROUNDS_MAX: u32 = 8;
/// With a limited rate so many parts pass in a second, so that a stream flows rather than jerks.
const PARTS_PER_SECOND: u64 = 20;

/// Of a joined pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Endpoint,
}

/// How a pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Each side has said all that it wanted to.
    Both,
    /// Neither said anything for too long.
    Idle,
    /// This side was cut off.
    Broken(Side),
}

/// Joins a client with its endpoint. Tells as well whether the endpoint has sent anything.
pub(super) async fn join(
    core: &Core,
    part: &TcpPart,
    client: &mut Stream,
    endpoint: &mut Stream,
) -> (End, bool) {
    let (last, has_answered) = (Cell::new(Instant::now()), Cell::new(false));
    let events = &part.live.events;
    let bandwidth = part.config.limit.bandwidth.map(notation::Size::get);
    let way = |from, bytes| Way {
        core,
        from,
        bytes,
        spliced: &events.spliced,
        last: &last,
        has_answered: &has_answered,
        pace: bandwidth.map(|rate| (rate, Pace::new(rate, Instant::now()))),
    };
    let (up, down) = (way(Side::Client, &events.received), way(Side::Endpoint, &events.sent));
    let idle = part.config.timeout.idle.get();
    let end = match (&mut *client, &mut *endpoint) {
        (Stream::Plain(client), Stream::Plain(endpoint)) => {
            let (client, endpoint) = (&*client, &*endpoint);
            both(up.pass(client, endpoint), down.pass(endpoint, client), &last, idle).await
        }
        (client, endpoint) => {
            let (from_client, to_client) = tokio::io::split(client);
            let (from_endpoint, to_endpoint) = tokio::io::split(endpoint);
            both(up.copy(from_client, to_endpoint), down.copy(from_endpoint, to_client), &last, idle).await
        }
    };
    (end, has_answered.get())
}

async fn both(
    up: impl Future<Output = Result<(), Side>>,
    down: impl Future<Output = Result<(), Side>>,
    last: &Cell<Instant>,
    idle: Duration,
) -> End {
    tokio::select! {
        ended = async { tokio::try_join!(up, down) } => match ended {
            Ok(_) => End::Both,
            Err(side) => End::Broken(side),
        },
        () = until_idle(last, idle) => End::Idle,
    }
}

async fn until_idle(last: &Cell<Instant>, idle: Duration) {
    loop {
        let due = last.get() + idle;
        tokio::time::sleep_until(due.into()).await;
        if last.get() + idle <= due {
            return;
        }
    }
}

/// One direction.
struct Way<'a> {
    core: &'a Core,
    from: Side,
    bytes: &'a Counter,
    spliced: &'a Counter,
    last: &'a Cell<Instant>,
    has_answered: &'a Cell<bool>,
    pace: Option<(u64, Pace)>,
}

/// What ended a stretch of a direction.
enum Turn {
    /// The side has sent all.
    End,
    /// Now it carries bulk.
    Bulk,
    /// Now it does not.
    Small,
}

impl Way<'_> {
    fn to(&self) -> Side {
        match self.from {
            Side::Client => Side::Endpoint,
            Side::Endpoint => Side::Client,
        }
    }

    /// How much may be read at once.
    fn room(&self, room: usize) -> usize {
        match &self.pace {
            None => room,
            Some((rate, _)) => room.min(usize::try_from(rate / PARTS_PER_SECOND).unwrap_or(room).max(1)),
        }
    }

    /// Counts what has passed, and waits where it was too fast.
    async fn passed(&mut self, count: usize) {
        let now = Instant::now();
        self.last.set(now);
        self.bytes.add(count as u64);
        if self.from == Side::Endpoint {
            self.has_answered.set(true);
        }
        if let Some(wait) = self.pace.as_mut().and_then(|(_, pace)| pace.take(count, now)) {
            tokio::time::sleep(wait).await;
            self.last.set(Instant::now());
        }
    }

    /// Passes on all that comes, between connections without TLS.
    async fn pass(mut self, from: &TcpStream, to: &TcpStream) -> Result<(), Side> {
        loop {
            match self.buffered(from, to).await? {
                Turn::End => break,
                Turn::Small => continue,
                Turn::Bulk => {}
            }
            let Some(mut pipe) = self.core.pipes.take() else { continue };
            self.spliced.inc();
            let turn = self.splice(&mut pipe, from, to).await;
            self.core.pipes.give_back(pipe);
            if let Turn::End = turn? {
                break;
            }
        }
        // A side that is gone altogether is noticed by the other direction.
        let _ = rustix::net::shutdown(to, rustix::net::Shutdown::Write);
        Ok(())
    }

    /// Copies through a buffer, which is only held while something is in it.
    async fn buffered(&mut self, from: &TcpStream, to: &TcpStream) -> Result<Turn, Side> {
        let mut in_a_row = 0;
        loop {
            from.readable().await.map_err(|_| self.from)?;
            let mut buffer = self.core.take_buffer();
            let room = self.room(BUFFER_BYTES);
            let read = match from.try_read(&mut buffer[..room]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.core.give_back(buffer);
                    continue;
                }
                Err(_) => return Err(self.from),
            };
            write_all(to, &buffer[..read]).await.map_err(|_| self.to())?;
            self.core.give_back(buffer);
            if read == 0 {
                return Ok(Turn::End);
            }
            self.passed(read).await;
            in_a_row = if read == BUFFER_BYTES { in_a_row + read } else { 0 };
            if in_a_row >= SPLICE_AFTER_BYTES {
                return Ok(Turn::Bulk);
            }
        }
    }

    async fn splice(&mut self, pipe: &mut Pipe, from: &TcpStream, to: &TcpStream) -> Result<Turn, Side> {
        let mut small_rounds = 0;
        loop {
            let room = self.room(pipe.room);
            let read = from.async_io(Interest::READABLE, || pipe.fill(from, room)).await;
            let read = read.map_err(|_| self.from)?;
            if read == 0 {
                return Ok(Turn::End);
            }
            while pipe.held > 0 {
                to.async_io(Interest::WRITABLE, || pipe.empty(to)).await.map_err(|_| self.to())?;
            }
            self.passed(read).await;
            small_rounds = if read < BULK_BYTES { small_rounds + 1 } else { 0 };
            if small_rounds >= SMALL_ROUNDS_MAX {
                return Ok(Turn::Small);
            }
        }
    }

    /// Passes on all that comes where one of the two is within TLS.
    async fn copy(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), Side> {
        let mut buffer = self.core.take_buffer();
        loop {
            let room = self.room(BUFFER_BYTES);
            let read = from.read(&mut buffer[..room]).await.map_err(|_| self.from)?;
            if read == 0 {
                break;
            }
            to.write_all(&buffer[..read]).await.map_err(|_| self.to())?;
            to.flush().await.map_err(|_| self.to())?;
            self.passed(read).await;
        }
        self.core.give_back(buffer);
        let _ = to.shutdown().await;
        Ok(())
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
