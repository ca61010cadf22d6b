//! The request on its way to the endpoint: its head, then its body as the client sends it.

use super::heads::copy_trailers;
use crate::buffer::Buffer;
use crate::error::Refusal;
use crate::io::{Timer, read};
use crate::protocol::Body;
use crate::wire::{Coding, Part, Sink, Source};
use std::io;
use std::time::{Duration, Instant};

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
pub(super) struct Sending<'a> {
    pub(super) client: Source<'a>,
    pub(super) endpoint: Sink<'a>,
    pub(super) down: &'a mut Buffer,
    /// The head, written together with what is there of the body. Empty where it has opened a stream already.
    pub(super) head: &'a [u8],
    pub(super) body: Body,
    pub(super) body_bytes_max: u64,
    pub(super) timer: &'a mut Timer,
    /// How long the client may pause.
    pub(super) client_idle: Duration,
    /// How long the endpoint may stop reading.
    pub(super) endpoint_idle: Duration,
}

impl Sending<'_> {
    /// Sends it all. The client's bytes after the body stay in the buffer.
    pub(super) async fn run(mut self) -> Result<(), SendEnd> {
        let coding = if self.body.has_no_length() { Coding::Chunked } else { Coding::Identity };
        let mut trailers: Vec<u8> = Vec::new();
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
            if is_finished {
                copy_trailers(self.down.at(decoded.trailers), &mut trailers);
                copy_trailers(self.client.trailers(), &mut trailers);
            }
            let part = Part { head, data, end: is_finished.then_some(&trailers) };
            let written = self.endpoint.write(part, coding, self.timer, self.endpoint_idle).await;
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
            // RFC 9113 §8.1.1: less than the head said is malformed; bytes that end early are a client that left.
            Ok(0) => self.body.end_of_connection().map_err(|bad| match self.client {
                Source::Frames(_) => SendEnd::Refused(Refusal::Body(bad)),
                Source::Bytes(_) | Source::Nothing => SendEnd::ClientGone,
            }),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(SendEnd::Refused(Refusal::ClientTimeout))
            }
            Err(_) => Err(SendEnd::ClientGone),
        }
    }
}
