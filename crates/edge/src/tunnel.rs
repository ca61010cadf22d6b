//! Two connections that have become one: bytes pass both ways until both have ended, or nothing passes.

use crate::buffer::Buffer;
use crate::io::{Timer, poll_read};
use crate::wire::{Coding, Part, Sink, Source, Wire};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

const TUNNEL_BYTES: usize = 16 << 10;

/// What a tunnel is made of.
pub(crate) struct Tunnel<'a> {
    pub(crate) client: &'a mut Wire,
    pub(crate) endpoint: &'a mut Wire,
    /// Bytes that the client sent behind its request.
    pub(crate) from_client: &'a [u8],
    /// Bytes that the endpoint sent behind its 101.
    pub(crate) from_endpoint: &'a [u8],
    /// How long both may be silent.
    pub(crate) idle: Duration,
}

impl Tunnel<'_> {
    /// Passes bytes until both sides have ended. Returns the bytes that reached the client.
    pub(crate) async fn run(self) -> u64 {
        let (client_read, client_write) = self.client.split();
        let (endpoint_read, endpoint_write) = self.endpoint.split();
        let last_passed = Cell::new(Instant::now());
        let to_client = Cell::new(0);
        let to_endpoint = Cell::new(0);
        let up = Direction {
            from: client_read,
            to: endpoint_write,
            idle: self.idle,
            last: &last_passed,
            passed: &to_endpoint,
        };
        let down = Direction {
            from: endpoint_read,
            to: client_write,
            idle: self.idle,
            last: &last_passed,
            passed: &to_client,
        };
        let both = async { tokio::try_join!(up.run(self.from_client), down.run(self.from_endpoint)) };
        tokio::select! {
            // An error on one side ends both; there is nobody left to tell.
            _ = both => {}
            () = silence(&last_passed, self.idle) => {}
        }
        to_client.get()
    }
}

/// Ends once nothing has passed for `idle`.
async fn silence(last_passed: &Cell<Instant>, idle: Duration) {
    loop {
        let due = last_passed.get() + idle;
        if due <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(due.into()).await;
    }
}

struct Direction<'a> {
    from: Source<'a>,
    to: Sink<'a>,
    idle: Duration,
    last: &'a Cell<Instant>,
    passed: &'a Cell<u64>,
}

thread_local! {
    /// A tunnel that waits has no buffer; one that passes bytes borrows the core's.
    static SPARE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

impl Direction<'_> {
    /// Passes bytes until their end, then ends the other side's half (half-close is kept).
    async fn run(mut self, first: &[u8]) -> io::Result<()> {
        let mut timer = Timer::new(Instant::now());
        self.write(first, &mut timer).await?;
        loop {
            poll_fn(|cx| self.from.poll_readable(cx)).await;
            let spare = SPARE.with_borrow_mut(Vec::pop);
            let mut buffer = spare.unwrap_or_else(|| Buffer::new(TUNNEL_BYTES));
            let read = self.pass_once(&mut buffer, &mut timer).await?;
            buffer.reset(TUNNEL_BYTES);
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < 64 {
                    spare.push(buffer);
                }
            });
            if read == Some(0) {
                return self.to.shutdown().await;
            }
        }
    }

    /// Passes what can be read now. `Some(0)` is the end; `None` was a false alarm.
    async fn pass_once(&mut self, buffer: &mut Buffer, timer: &mut Timer) -> io::Result<Option<usize>> {
        let read = poll_fn(|cx| match poll_read(&mut self.from, buffer, cx) {
            Poll::Ready(read) => Poll::Ready(read.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        });
        let read = read.await?;
        self.write(buffer.filled(), timer).await?;
        Ok(read)
    }

    async fn write(&mut self, bytes: &[u8], timer: &mut Timer) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let part = Part { head: b"", data: bytes, end: None };
        self.to.write(part, Coding::Identity, timer, self.idle).await?;
        self.last.set(Instant::now());
        self.passed.set(self.passed.get() + bytes.len() as u64);
        Ok(())
    }
}
