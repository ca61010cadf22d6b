//! The endpoint's response on its way to the client: interim heads, the final head, the body.

use super::heads::{Coding, ResponseParts, copy_trailers, write_interim, write_response};
use super::send::Sent;
use crate::buffer::Buffer;
use crate::core::Core;
use crate::forwarding::RequestIds;
use crate::io::{Timer, poll_read, write_all};
use crate::protocol::{BadHead, Body, Method, RequestLimits, ResponseHead, Version, write_chunk_start};
use crate::sites::{Route, Site};
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

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
    /// The final head has a status that is tried again elsewhere; nothing has been passed on.
    Unwanted,
}

/// Why a response did not get through whole.
#[derive(Debug)]
pub(super) enum ReceiveEnd {
    /// The connection ended, `after_bytes` of a head or none.
    Reset { after_bytes: bool },
    /// The head did not come in time.
    FirstByteTimeout,
    /// The head is malformed.
    Malformed(BadHead),
    /// The client left.
    ClientGone,
    /// The client stopped reading.
    ClientStalled,
    /// The body broke off, or the endpoint stalled, after the client was sent the head.
    Broken(&'static str),
}

/// A response on its way.
pub(super) struct Receiving<'a, 's> {
    pub(super) core: &'a Core,
    pub(super) site: &'a Site,
    pub(super) route: &'a Route,
    pub(super) endpoint: ReadHalf<'s>,
    pub(super) client: WriteHalf<'s>,
    pub(super) up: &'a mut Buffer,
    pub(super) out: Vec<u8>,
    pub(super) response: &'a mut ResponseHead,
    pub(super) ids: &'a RequestIds,
    pub(super) request: RequestFacts<'a>,
    /// How far the request is: the response is due once it has been sent.
    pub(super) sent: &'a Cell<Sent>,
    pub(super) timer: &'a mut Timer,
    pub(super) timeouts: Timeouts,
    /// Statuses that are tried again elsewhere.
    pub(super) unwanted: &'a dyn Fn(u16) -> bool,
    pub(super) progress: &'a Progress,
}

/// What a response depends on.
#[derive(Clone, Copy)]
pub(super) struct RequestFacts<'a> {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) persists: bool,
    pub(super) wants_upgrade: bool,
    pub(super) expects_continue: bool,
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

impl Receiving<'_, '_> {
    /// Receives it all. `out` comes back for reuse.
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
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(ReceiveEnd::Reset { after_bytes })),
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
        let is_wanted = self.request.version == Version::Http11
            && (self.response.status != 100 || self.request.expects_continue);
        let head_len = self.response.len;
        if is_wanted {
            write_interim(self.site, self.response, &self.up.filled()[..head_len], &mut self.out);
            // Until it is whole, nothing else can be said.
            self.progress.has_begun.set(true);
            self.write_to_client(&[]).await?;
            self.progress.has_begun.set(false);
        }
        self.up.consume(head_len);
        Ok(())
    }

    async fn switch(&mut self) -> Result<Received, ReceiveEnd> {
        self.progress.status.set(101);
        self.progress.head_at.set(Some(Instant::now()));
        self.write_head(Coding::Identity, true);
        self.up.consume(self.response.len);
        self.progress.has_begun.set(true);
        self.write_to_client(&[]).await?;
        Ok(Received::Switched)
    }

    fn write_head(&mut self, coding: Coding, keeps_connection: bool) {
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
            sticky: self.request.sticky,
        };
        write_response(&parts, &mut self.out);
    }

    /// Passes on the final head and the body.
    async fn relay(&mut self) -> Result<Received, ReceiveEnd> {
        let mut body = std::mem::take(&mut self.response.body);
        let endpoint_persists =
            self.response.connection.persists(self.response.version) && !body.ends_with_connection();
        let has_no_length = body.is_chunked() || body.ends_with_connection();
        let coding = match self.request.version {
            Version::Http11 if has_no_length => Coding::Chunked,
            _ => Coding::Identity,
        };
        // A request that has not come whole by now leaves its rest in the connection.
        let keeps_connection = self.request.persists
            && matches!(self.sent.get(), Sent::Whole(_))
            && !(has_no_length && coding == Coding::Identity)
            && !self.core.is_draining();
        self.write_head(coding, keeps_connection);
        self.up.consume(self.response.len);
        self.progress.has_begun.set(true);
        self.relay_body(&mut body, coding).await?;
        let is_reusable =
            endpoint_persists && matches!(self.sent.get(), Sent::Whole(_)) && self.up.filled().is_empty();
        Ok(Received::Whole { is_reusable, keeps_connection })
    }

    /// Passes on the body, the first of it together with the head that is in `out`.
    async fn relay_body(&mut self, body: &mut Body, coding: Coding) -> Result<(), ReceiveEnd> {
        let mut tail: Vec<u8> = Vec::new();
        loop {
            let (bytes, from) = self.up.filled_in_place();
            let decoded =
                body.decode(bytes, from).map_err(|_| ReceiveEnd::Broken("endpoint sent a malformed body"))?;
            let data = self.up.at(decoded.data.clone());
            tail.clear();
            if coding == Coding::Chunked {
                if !data.is_empty() {
                    write_chunk_start(&mut self.out, data.len());
                    tail.extend_from_slice(b"\r\n");
                }
                if body.is_finished() {
                    tail.extend_from_slice(b"0\r\n");
                    copy_trailers(self.up.at(decoded.trailers), &mut tail);
                    tail.extend_from_slice(b"\r\n");
                }
            }
            self.progress.sent_bytes.set(self.progress.sent_bytes.get() + data.len() as u64);
            let parts = [&self.out[..], data, &tail];
            self.timer.set(Instant::now() + self.timeouts.client_idle);
            let written = write_all(&mut self.client, &parts, self.timer, self.timeouts.client_idle).await;
            written.map_err(|error| client_failed(&error))?;
            self.out.clear();
            self.up.consume_to(decoded.consumed);
            if self.up.filled().is_empty() {
                self.core.take_back(self.up);
            }
            if body.is_finished() {
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
        self.timer.poll_passed(cx).map(|()| Err(ReceiveEnd::Broken("endpoint stalled in its body")))
    }

    /// Whether the client has left; while its request is on its way, that is for the sending side to notice.
    fn is_client_gone(&self, cx: &mut Context<'_>) -> bool {
        !matches!(self.sent.get(), Sent::Going) && poll_client_gone(self.client.as_ref(), cx).is_ready()
    }

    async fn write_to_client(&mut self, rest: &[u8]) -> Result<(), ReceiveEnd> {
        self.timer.set(Instant::now() + self.timeouts.client_idle);
        let parts = [&self.out[..], rest];
        write_all(&mut self.client, &parts, self.timer, self.timeouts.client_idle)
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

/// Ready once the client has closed. Bytes of a next request (pipelining) are left alone, and end the watch.
pub(super) fn poll_client_gone(client: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
    match client.poll_read_ready(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(_)) => Poll::Ready(()),
        Poll::Ready(Ok(())) => {
            let mut byte = [0];
            match client.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => Poll::Ready(()),
                Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
            }
        }
    }
}
