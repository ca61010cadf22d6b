//! The request on its way to the endpoint: its head, then its body as the client sends it.

use super::heads::copy_trailers;
use crate::buffer::Buffer;
use crate::error::Refusal;
use crate::io::{Timer, read, write_all};
use crate::protocol::{Body, write_chunk_start};
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// Room for a body in passing, once it proves to be larger than what came with its head.
const BODY_BYTES: usize = 64 << 10;

/// Why a request did not get through whole.
#[derive(Debug)]
pub(super) enum SendEnd {
    /// The client broke a rule or a limit.
    Refused(Refusal),
    /// The client left.
    ClientGone,
    /// The endpoint stopped listening; it may have answered all the same.
    Endpoint,
}

/// How far a request is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sent {
    /// More of it is to come.
    Going,
    /// All of it was written by then.
    Whole(Instant),
    /// The endpoint stopped reading it by then.
    Partly(Instant),
}

/// A request on its way.
pub(super) struct Sending<'a, R, W> {
    pub(super) client: R,
    pub(super) endpoint: W,
    pub(super) down: &'a mut Buffer,
    /// The head, written together with what is there of the body.
    pub(super) head: &'a [u8],
    pub(super) body: Body,
    pub(super) body_bytes_max: u64,
    pub(super) timer: &'a mut Timer,
    /// How long the client may pause.
    pub(super) client_idle: Duration,
    /// How long the endpoint may stop reading.
    pub(super) endpoint_idle: Duration,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Sending<'_, R, W> {
    /// Sends it all. The client's bytes after the body stay in the buffer.
    pub(super) async fn run(mut self) -> Result<(), SendEnd> {
        let is_chunked = self.body.is_chunked();
        let mut before: Vec<u8> = Vec::new();
        let mut after: Vec<u8> = Vec::new();
        let mut passed = 0u64;
        let mut head = self.head;
        loop {
            let (bytes, from) = self.down.filled_in_place();
            let decoded =
                self.body.decode(bytes, from).map_err(|bad| SendEnd::Refused(Refusal::Body(bad)))?;
            let data = self.down.at(decoded.data.clone());
            passed += data.len() as u64;
            if passed > self.body_bytes_max {
                return Err(SendEnd::Refused(Refusal::BodyTooLarge));
            }
            let is_finished = self.body.is_finished();
            if is_chunked {
                before.clear();
                after.clear();
                if !data.is_empty() {
                    write_chunk_start(&mut before, data.len());
                    after.extend_from_slice(b"\r\n");
                }
                if is_finished {
                    after.extend_from_slice(b"0\r\n");
                    copy_trailers(self.down.at(decoded.trailers), &mut after);
                    after.extend_from_slice(b"\r\n");
                }
            }
            self.timer.set(Instant::now() + self.endpoint_idle);
            let parts = [head, &before, data, &after];
            let written = write_all(&mut self.endpoint, &parts, self.timer, self.endpoint_idle).await;
            written.map_err(|_| SendEnd::Endpoint)?;
            head = b"";
            self.down.consume_to(decoded.consumed);
            if is_finished {
                return Ok(());
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), SendEnd> {
        if self.body.bytes_left().is_none_or(|left| left > self.down.spare().len() as u64) {
            self.down.grow(self.down.held().len() + BODY_BYTES);
        }
        self.timer.set(Instant::now() + self.client_idle);
        match read(&mut self.client, self.down, self.timer).await {
            Ok(0) => Err(SendEnd::ClientGone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(SendEnd::Refused(Refusal::ClientTimeout))
            }
            Err(_) => Err(SendEnd::ClientGone),
        }
    }
}
