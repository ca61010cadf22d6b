//! A connection of TCP or TLS (RFC 7766, RFC 7858): questions leave as they are handed in, answers come in any order.

use super::{CHECK_EVERY, Line, frames};
use bytes::BytesMut;
use std::io;
use std::time::Instant;
use telemetry::Counter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval};

/// What is read at once.
const READ_BYTES: usize = 4096;
/// Questions are sent together up to this.
const WRITE_BYTES: usize = 16 << 10;

/// Carries questions and answers until the connection ends, or has no use any more.
pub(super) async fn drive<S: AsyncRead + AsyncWrite>(
    stream: S,
    line: &Line,
    foreign: &Counter,
) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    let (mut received, mut out) = (BytesMut::new(), BytesMut::new());
    let mut is_flushed = true;
    let mut check = interval(CHECK_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if out.is_empty() {
            line.collect(WRITE_BYTES, &mut out);
        }
        received.reserve(READ_BYTES);
        tokio::select! {
            read = from.read_buf(&mut received) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some(message) = frames::next(&mut received).map_err(|_| io::ErrorKind::InvalidData)? {
                    if !line.pipeline().answer(message, Instant::now()) {
                        foreign.inc();
                    }
                }
            }
            written = push(&mut to, &mut out), if !(out.is_empty() && is_flushed) => is_flushed = written?,
            () = line.more.notified(), if out.is_empty() => {}
            _ = check.tick() => {
                if line.pipeline().is_done(Instant::now()) {
                    return Ok(());
                }
            }
        }
    }
}

/// One step of sending, which nothing of is lost when it is not waited for. Whether all has left.
async fn push<W: AsyncWrite + Unpin>(to: &mut W, out: &mut BytesMut) -> io::Result<bool> {
    if out.is_empty() {
        return to.flush().await.map(|()| true);
    }
    match to.write_buf(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(false),
    }
}
