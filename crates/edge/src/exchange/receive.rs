//! The endpoint's response on its way to the client: interim heads, the final head, the body.

use super::heads::{ResponseParts, copy_trailers, write_interim, write_response};
use super::send::Sent;
use crate::buffer::Buffer;
use crate::cached::{Aftermath, Wants};
use crate::compress::{Compressor, Wanted};
use crate::core::Core;
use crate::forwarding::RequestIds;
use crate::io::{Timer, poll_read};
use crate::pacing::Pacing;
use crate::protocol::{BadHead, Body, Method, RequestLimits, ResponseHead, Version};
use crate::sites::{Route, Site};
use crate::wire::{Coding, Part, Sink, Source, under};
use encoding::{Action, Plan, ResponseFacts, is_no_transform};
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A response's head, its own limits: backends send larger ones than clients may.
const LIMITS: RequestLimits = RequestLimits { head_bytes_max: 64 << 10, fields_max: 256 };

/// How far a response got.
#[derive(Debug)]
pub(super) enum Received {
    /// All of it reached the client.
    Whole {
        /// The endpoint keeps its connection, and nothing unasked for is in it.
        is_reusable: bool,
        /// The response told the client that the connection goes on.
        keeps_connection: bool,
    },
    /// 101 was passed on: what follows is another protocol.
    Switched,
    /// A final answer in place of 101, which a client of frames could only take for the change of protocol.
    NotSwitched,
    /// The final head has a status that is tried again elsewhere; nothing has been passed on.
    Unwanted,
}

/// Why a response did not get through whole.
#[derive(Debug)]
pub(super) enum ReceiveEnd {
    /// The connection ended, `after_bytes` of a head or none.
    Reset { after_bytes: bool },
    /// The endpoint has said that it did nothing with the request: for this connection ends, or, `is_busy`, for it has
    /// too much to do.
    Unseen { is_busy: bool },
    /// The head did not come in time.
    FirstByteTimeout,
    /// The head is malformed.
    Malformed(BadHead),
    /// The client left.
    ClientGone,
    /// The client stopped reading.
    ClientStalled,
    /// The body broke off after the client was sent the head.
    Broken(&'static str),
    /// The endpoint stalled in its body.
    Stalled,
}

/// A response on its way.
pub(super) struct Receiving<'a> {
    pub(super) core: &'a Core,
    pub(super) site: &'a Site,
    pub(super) route: &'a Route,
    pub(super) endpoint: Source<'a>,
    pub(super) client: Sink<'a>,
    pub(super) up: &'a mut Buffer,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) response: &'a mut ResponseHead,
    pub(super) ids: &'a RequestIds,
    /// Lines that this response gets besides its own.
    pub(super) extra: &'a [u8],
    pub(super) request: RequestFacts<'a>,
    /// How far the request is: the response is due once it has been sent.
    pub(super) sent: &'a Cell<Sent>,
    pub(super) timer: &'a mut Timer,
    pub(super) timeouts: Timeouts,
    /// Statuses that are tried again elsewhere.
    pub(super) unwanted: &'a dyn Fn(u16) -> bool,
    /// What the response means to the cache that it goes by.
    pub(super) aftermath: Option<&'a Aftermath>,
    pub(super) progress: &'a Progress,
    /// How fast the client is written to.
    pub(super) pacing: Pacing<'a>,
}

/// What a response depends on.
#[derive(Clone, Copy)]
pub(super) struct RequestFacts<'a> {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) persists: bool,
    pub(super) wants_upgrade: bool,
    pub(super) expects_continue: bool,
    pub(super) is_secure: bool,
    pub(super) is_for_node: bool,
    /// What compression goes by, where there is any.
    pub(super) compression: Option<&'a Wanted<'a>>,
    pub(super) sticky: Option<(&'a str, &'a str)>,
}

/// How long each side may take.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) first_byte: Duration,
    pub(super) endpoint_idle: Duration,
    pub(super) client_idle: Duration,
}

/// What is known of a response even when it breaks off.
#[derive(Default)]
pub(crate) struct Progress {
    /// The final status, once its head has come.
    pub(crate) status: Cell<u16>,
    /// When it came.
    pub(crate) head_at: Cell<Option<Instant>>,
    /// Some of the final head may have reached the client, or half of an interim one.
    pub(crate) has_begun: Cell<bool>,
    /// Bytes of the body that were sent to the client.
    pub(crate) sent_bytes: Cell<u64>,
}

impl Receiving<'_> {
    /// Receives it all.
    pub(super) async fn run(&mut self) -> Result<Received, ReceiveEnd> {
        loop {
            self.read_head().await?;
            let status = self.response.status;
            // RFC 9110 §15.2: any number of interim responses, then the final one.
            match status {
                101 if self.request.wants_upgrade => return self.switch().await,
                101 => return Err(ReceiveEnd::Malformed(BadHead::StatusLine)),
                100..200 => self.pass_interim().await?,
                _ => break,
            }
        }
        // RFC 8441 §5: to a client of frames, any 2xx would say that the protocol was changed.
        let is_success = matches!(self.response.status, 200..300);
        if self.request.wants_upgrade && self.request.version.is_framed() && is_success {
            self.progress.head_at.set(Some(Instant::now()));
            return Ok(Received::NotSwitched);
        }
        self.progress.status.set(self.response.status);
        self.progress.head_at.set(Some(Instant::now()));
        if (self.unwanted)(self.response.status) {
            return Ok(Received::Unwanted);
        }
        self.relay().await
    }

    async fn read_head(&mut self) -> Result<(), ReceiveEnd> {
        let mut searched = 0;
        loop {
            let bytes = self.up.filled();
            if !bytes.is_empty() {
                let is_whole = self.response.parse(bytes, searched, self.request.method, LIMITS);
                if is_whole.map_err(ReceiveEnd::Malformed)? {
                    return Ok(());
                }
                searched = bytes.len();
            }
            std::future::poll_fn(|cx| self.poll_head_bytes(searched > 0, cx)).await?;
        }
    }

    /// Reads into memory that is there only while there is something in it.
    fn poll_endpoint(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.core.lend(self.up);
        let polled = poll_read(&mut self.endpoint, self.up, cx);
        if self.up.filled().is_empty() {
            self.core.take_back(self.up);
        }
        polled
    }

    /// Waits for bytes of the head, for the client to leave, or for the time to run out, once it runs.
    fn poll_head_bytes(&mut self, after_bytes: bool, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveEnd>> {
        match self.poll_endpoint(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(ReceiveEnd::Reset { after_bytes })),
            Poll::Ready(Err(error)) => {
                return Poll::Ready(Err(match error.kind() {
                    io::ErrorKind::ConnectionRefused => ReceiveEnd::Unseen { is_busy: false },
                    io::ErrorKind::ResourceBusy => ReceiveEnd::Unseen { is_busy: true },
                    _ => ReceiveEnd::Reset { after_bytes },
                }));
            }
            Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
        }
        let (Sent::Whole(sent_at) | Sent::Partly(sent_at)) = self.sent.get() else { return Poll::Pending };
        if self.is_client_gone(cx) {
            return Poll::Ready(Err(ReceiveEnd::ClientGone));
        }
        self.timer.set(sent_at + self.timeouts.first_byte);
        self.timer.poll_passed(cx).map(|()| Err(ReceiveEnd::FirstByteTimeout))
    }

    async fn pass_interim(&mut self) -> Result<(), ReceiveEnd> {
        // RFC 9110 §15.2: never to an HTTP/1.0 client; and a 100 only to one that waits for it.
        let is_wanted = self.request.version >= Version::Http11
            && (self.response.status != 100 || self.request.expects_continue);
        let head_len = self.response.len;
        if is_wanted {
            write_interim(self.site, self.response, &self.up.filled()[..head_len], self.out);
        }
        if let (true, Sink::Cache(filler)) = (is_wanted, &self.client) {
            filler.inform(self.out);
            self.out.clear();
        } else if is_wanted {
            // Until it is whole, nothing else can be said.
            self.progress.has_begun.set(true);
            self.write_to_client().await?;
            self.progress.has_begun.set(false);
        }
        self.up.consume(head_len);
        Ok(())
    }

    async fn switch(&mut self) -> Result<Received, ReceiveEnd> {
        self.progress.status.set(101);
        self.progress.head_at.set(Some(Instant::now()));
        self.write_head(Coding::Identity, true, None);
        self.up.consume(self.response.len);
        self.progress.has_begun.set(true);
        self.write_to_client().await?;
        Ok(Received::Switched)
    }

    fn write_head(&mut self, coding: Coding, keeps_connection: bool, compressed: Option<&Plan>) {
        let parts = ResponseParts {
            core: self.core,
            site: self.site,
            route: self.route,
            response: self.response,
            head: &self.up.filled()[..self.response.len],
            client_version: self.request.version,
            coding,
            keeps_connection,
            ids: self.ids,
            extra: self.extra,
            sticky: self.request.sticky,
            is_secure: self.request.is_secure,
            is_for_node: self.request.is_for_node,
            compressed,
        };
        write_response(&parts, self.out);
    }

    /// What compression makes of the response, and the encoder if it is encoded here.
    fn plan_compression(&self, length: Option<u64>) -> (Option<Plan>, Option<Compressor>) {
        let Some(wanted) = self.request.compression else { return (None, None) };
        let head = &self.up.filled()[..self.response.len];
        let value = |name: &[u8]| self.response.value_of(head, name);
        let facts = ResponseFacts {
            status: self.response.status,
            content_type: value(b"content-type"),
            content_length: length,
            content_encoding: value(b"content-encoding"),
            has_content_range: value(b"content-range").is_some(),
            is_no_transform: self.response.values_of(head, b"cache-control").any(is_no_transform),
            etag: value(b"etag"),
            if_none_match: wanted.if_none_match.as_deref(),
        };
        let plan = wanted.compression.plan(&facts, [&wanted.accept[..]]);
        match plan.action {
            Action::Pass(reason) => {
                self.core.events.compression.passed(reason);
                (Some(plan), None)
            }
            Action::Encode { coding, flushes_each_piece } => match wanted.compression.encoder(coding, length)
            {
                Ok(encoder) => {
                    self.core.events.compression.encoded(coding);
                    let has_body = !self.response.body.is_finished();
                    (Some(plan), has_body.then(|| Compressor::new(encoder, flushes_each_piece)))
                }
                // For want of memory it passes as it is.
                Err(_) => (None, None),
            },
        }
    }

    /// Passes on the final head and the body.
    async fn relay(&mut self) -> Result<Received, ReceiveEnd> {
        let head = &self.up.filled()[..self.response.len];
        let said = self
            .response
            .value_of(head, b"content-length")
            .and_then(|said| std::str::from_utf8(said).ok()?.parse().ok());
        if let Some(aftermath) = self.aftermath {
            aftermath.hear(self.response, head);
        }
        if let Sink::Cache(filler) = &mut self.client {
            if filler.take_head(self.response, head) == Wants::Nothing {
                return self.settle();
            }
            self.out.clear();
        }
        let (plan, mut compressor) = self.plan_compression(said);
        let mut body = std::mem::take(&mut self.response.body);
        let endpoint_persists =
            self.response.connection.persists(self.response.version) && !body.ends_with_connection();
        let has_no_length = body.is_chunked() || body.ends_with_connection() || compressor.is_some();
        let coding = match (&self.client, self.request.version) {
            (Sink::Bytes(_), Version::Http11) if has_no_length => Coding::Chunked,
            _ => Coding::Identity,
        };
        // A request that has not come whole by now leaves its rest in the connection.
        let keeps_connection = self.request.persists
            && matches!(self.sent.get(), Sent::Whole(_))
            && !(has_no_length && coding == Coding::Identity)
            && !self.core.is_draining();
        if !matches!(self.client, Sink::Cache(_)) {
            self.write_head(coding, keeps_connection, plan.as_ref());
        }
        self.up.consume(self.response.len);
        self.progress.has_begun.set(true);
        // A head that is all there is stays that: gRPC tells a failure so ("Trailers-Only").
        if self.up.filled().is_empty() && self.endpoint.is_ended() && body.ends_with_connection() {
            let _ = body.end_of_connection();
        }
        self.relay_body(&mut body, coding, &mut compressor).await?;
        let is_reusable =
            endpoint_persists && matches!(self.sent.get(), Sent::Whole(_)) && self.up.filled().is_empty();
        Ok(Received::Whole { is_reusable, keeps_connection })
    }

    /// The cache has all that it wants: the head was news enough. An endpoint whose response has no more keeps its connection.
    fn settle(&mut self) -> Result<Received, ReceiveEnd> {
        let body = std::mem::take(&mut self.response.body);
        self.up.consume(self.response.len);
        let is_reusable = body.is_finished()
            && self.response.connection.persists(self.response.version)
            && matches!(self.sent.get(), Sent::Whole(_))
            && self.up.filled().is_empty();
        Ok(Received::Whole { is_reusable, keeps_connection: true })
    }

    /// Passes on the body, the first of it together with the head that is in `out`.
    async fn relay_body(
        &mut self,
        body: &mut Body,
        coding: Coding,
        compressor: &mut Option<Compressor>,
    ) -> Result<(), ReceiveEnd> {
        let mut trailers: Vec<u8> = Vec::new();
        loop {
            let (bytes, from) = self.up.filled_in_place();
            let decoded =
                body.decode(bytes, from).map_err(|_| ReceiveEnd::Broken("endpoint sent a malformed body"))?;
            let data = self.up.at(decoded.data.clone());
            let is_finished = body.is_finished();
            if is_finished {
                if self.request.version.is_framed() && !self.endpoint.is_ended() {
                    self.timer.set(Instant::now() + self.timeouts.endpoint_idle);
                    // Trailers that do not come are none.
                    let _ = under(self.timer, self.endpoint.end()).await;
                }
                copy_trailers(self.up.at(decoded.trailers), &mut trailers);
                copy_trailers(self.endpoint.trailers(), &mut trailers);
            }
            let data = match compressor {
                None => data,
                Some(compressor) => {
                    // What has a length comes by itself; a stream may pause, and its client waits for what there is.
                    let pauses = !is_finished && body.bytes_left().is_none() && !self.endpoint.has_more();
                    compressor
                        .pass(data, is_finished, pauses)
                        .map_err(|_| ReceiveEnd::Broken("the response could not be compressed"))?;
                    &compressor.ready
                }
            };
            self.progress.sent_bytes.set(self.progress.sent_bytes.get() + data.len() as u64);
            let mut data = data;
            loop {
                let (piece, rest) = data.split_at(data.len().min(self.pacing.piece_bytes_max()));
                let is_last = is_finished && rest.is_empty();
                let part = Part { head: self.out, data: piece, end: is_last.then_some(&trailers) };
                let written = self.client.write(part, coding, self.timer, self.timeouts.client_idle).await;
                written.map_err(|error| client_failed(&error))?;
                self.pacing.wait(piece.len()).await;
                self.out.clear();
                data = rest;
                if data.is_empty() {
                    break;
                }
            }
            self.up.consume_to(decoded.consumed);
            if self.up.filled().is_empty() {
                self.core.take_back(self.up);
            }
            if is_finished {
                return Ok(());
            }
            self.read_body(body).await?;
        }
    }

    async fn read_body(&mut self, body: &mut Body) -> Result<(), ReceiveEnd> {
        self.timer.set(Instant::now() + self.timeouts.endpoint_idle);
        std::future::poll_fn(|cx| self.poll_body_bytes(body, cx)).await
    }

    /// Waits for bytes of the body, for the client to leave, or for the endpoint to have stalled.
    fn poll_body_bytes(&mut self, body: &mut Body, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveEnd>> {
        match self.poll_endpoint(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => {
                let ended = body.end_of_connection();
                return Poll::Ready(ended.map_err(|_| ReceiveEnd::Broken("endpoint ended its body early")));
            }
            Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => {
                return Poll::Ready(Err(ReceiveEnd::Broken("endpoint reset the connection in its body")));
            }
        }
        if self.is_client_gone(cx) {
            return Poll::Ready(Err(ReceiveEnd::ClientGone));
        }
        self.timer.poll_passed(cx).map(|()| Err(ReceiveEnd::Stalled))
    }

    /// Whether the client has left; while its request is on its way, that is for the sending side to notice.
    fn is_client_gone(&mut self, cx: &mut Context<'_>) -> bool {
        !matches!(self.sent.get(), Sent::Going) && self.client.poll_gone(cx).is_ready()
    }

    /// Writes the head that is in `out`.
    async fn write_to_client(&mut self) -> Result<(), ReceiveEnd> {
        let part = Part { head: self.out, data: b"", end: None };
        self.client
            .write(part, Coding::Identity, self.timer, self.timeouts.client_idle)
            .await
            .map_err(|error| client_failed(&error))
    }
}

fn client_failed(error: &io::Error) -> ReceiveEnd {
    match error.kind() {
        io::ErrorKind::TimedOut => ReceiveEnd::ClientStalled,
        _ => ReceiveEnd::ClientGone,
    }
}
