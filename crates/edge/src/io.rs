//! Reading and writing under a deadline, without a timer operation on the fast path.

use crate::buffer::Buffer;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A deadline that moves with every read and write. The runtime's timer is only touched when the deadline
/// moves closer or the old one has passed: a deadline that moves on, as nearly all do, costs a store.
pub(crate) struct Timer {
    /// Made when it is first waited for.
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Instant,
    wanted: Instant,
}

impl Timer {
    /// A timer that is far from firing.
    pub(crate) fn new(now: Instant) -> Self {
        let far = now + Duration::from_secs(24 * 3600);
        Self { sleep: None, armed: far, wanted: far }
    }

    /// From now on the deadline is `at`.
    pub(crate) fn set(&mut self, at: Instant) {
        self.wanted = at;
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.is_none() || self.wanted < self.armed {
            self.arm();
        }
        while self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
            if self.wanted <= self.armed {
                return Poll::Ready(());
            }
            self.arm();
        }
        Poll::Pending
    }

    fn arm(&mut self) {
        self.armed = self.wanted;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(self.armed.into()),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(self.armed.into()))),
        }
    }
}

/// Reads what there is, at most the buffer's spare room. 0 is the end of the stream.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer,
    timer: &mut Timer,
) -> io::Result<usize> {
    std::future::poll_fn(|cx| match poll_read(stream, buffer, cx) {
        Poll::Pending => poll_timed_out(timer, cx),
        ready => ready,
    })
    .await
}

/// Reads what there is, without a deadline.
pub(crate) fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let spare = buffer.spare();
    assert!(!spare.is_empty(), "a read into a full buffer would look like the end of the stream");
    let mut into = ReadBuf::new(spare);
    ready!(Pin::new(stream).poll_read(cx, &mut into))?;
    let count = into.filled().len();
    buffer.fill(count);
    Poll::Ready(Ok(count))
}

/// Parts of one write.
const PARTS_MAX: usize = 6;

/// Writes all of the parts in as few calls as the peer takes them. Each call that gets further moves the
/// deadline on by `idle`.
pub(crate) async fn write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    parts: &[&[u8]],
    timer: &mut Timer,
    idle: Duration,
) -> io::Result<()> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut written = 0;
    while written < total {
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let slices = remaining(parts, written, &mut slices);
        let count = std::future::poll_fn(|cx| {
            let attempt = if slices.len() == 1 {
                Pin::new(&mut *stream).poll_write(cx, &slices[0])
            } else {
                Pin::new(&mut *stream).poll_write_vectored(cx, slices)
            };
            match attempt {
                Poll::Pending => poll_timed_out(timer, cx),
                ready => ready,
            }
        })
        .await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        written += count;
        if written < total {
            timer.set(Instant::now() + idle);
        }
    }
    // TLS takes more than it has passed on to the kernel; elsewhere there is nothing to do.
    std::future::poll_fn(|cx| match Pin::new(&mut *stream).poll_flush(cx) {
        Poll::Pending => poll_timed_out(timer, cx),
        ready => ready,
    })
    .await
}

/// The parts without their first `written` bytes.
fn remaining<'s, 'b>(
    parts: &[&'b [u8]],
    mut written: usize,
    slices: &'s mut [IoSlice<'b>; PARTS_MAX],
) -> &'s [IoSlice<'b>] {
    let mut count = 0;
    for part in parts {
        let skipped = written.min(part.len());
        written -= skipped;
        if skipped < part.len() {
            slices[count] = IoSlice::new(&part[skipped..]);
            count += 1;
        }
    }
    &slices[..count]
}

pub(crate) fn poll_timed_out<T>(timer: &mut Timer, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    timer.poll_passed(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_on_fires_at_its_last_place_only() {
        let start = tokio::time::Instant::now();
        let mut timer = Timer::new(start.into_std());
        timer.set((start + Duration::from_secs(1)).into_std());
        let early = std::future::poll_fn(|cx| Poll::Ready(timer.poll_passed(cx).is_ready())).await;
        assert!(!early);
        timer.set((start + Duration::from_secs(5)).into_std());
        std::future::poll_fn(|cx| timer.poll_passed(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test]
    async fn parts_arrive_in_order_however_they_are_cut() {
        let (mut near, mut far) = tokio::io::duplex(3);
        let mut timer = Timer::new(Instant::now());
        let writing = async {
            write_all(&mut near, &[b"ab", b"", b"cdefg", b"h"], &mut timer, Duration::from_secs(5))
                .await
                .unwrap();
            drop(near);
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(writing, far.read_to_end(&mut got));
        read.unwrap();
        assert_eq!(got, b"abcdefgh");
    }
}
