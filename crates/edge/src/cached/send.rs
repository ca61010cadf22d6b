//! A response from the cache on its way to a client: kept, or still arriving.

mod in_file;

use super::Cached;
use super::head::{Head, value_of};
use super::look_up::asked;
use super::several::Several;
use super::tiers;
use crate::compress::{Compressor, Wanted};
use crate::core::Work;
use crate::exchange::Ended;
use crate::pacing::Pacing;
use crate::protocol::{Method, Version};
use crate::reply::{connection_option, discard_body};
use crate::request::{After, Report};
use crate::wire::{Coding, Part, Sink};
use bytes::Bytes;
use cdn::fill::{Failure, Reader};
use cdn::rules::{
    CacheStatus, ContentRange, Lines, Selected, Stored, is_of_content, select, write_age, write_client_ttl,
    write_not_modified,
};
use cdn::store::{Body, Pieces};
use encoding::{Action, Plan, ResponseFacts, is_no_transform};
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

/// Where the body comes from.
pub(super) enum Content {
    /// It is kept.
    Kept(Body),
    /// It is on its way.
    Arriving(Reader),
}

/// What is sent of a response.
struct Chosen {
    status: u16,
    /// Bytes of the body; `None`: all there are.
    range: Option<Range<u64>>,
    /// Of what is sent, where it is known.
    length: Option<u64>,
    has_body: bool,
    /// Several ranges, in place of one.
    several: Option<Several>,
}

impl Cached<'_> {
    /// Sends a response, or what the request asks of it.
    pub(super) async fn send(&mut self, stored: &Stored, content: Content, status: CacheStatus) -> Ended {
        let after = discard_body(self.work, self.core);
        let mut own = Vec::with_capacity(96);
        let chosen = choose(stored, &content, self.work, &mut own);
        let mut not_modified = Vec::new();
        let lines: &[u8] = match chosen.status {
            304 if stored.status != 304 => {
                write_not_modified(stored, &mut not_modified);
                &not_modified
            }
            416 => b"",
            _ => chosen.several.as_ref().map_or(&stored.lines[..], |several| &several.lines),
        };
        let of_cut = lines_of_cut(stored, &chosen, lines);
        let lines = of_cut.as_deref().unwrap_or(lines);
        let own_lines = self.lines_for_node(stored, &chosen, lines);
        let own_lines = own_lines.or_else(|| self.lines_for_clients(stored, &chosen, lines));
        let lines = own_lines.as_deref().unwrap_or(lines);
        if chosen.status == 416 {
            self.core.write_date_line(&mut own);
        } else if stored.not_stored.is_none() {
            let age = stored.age(SystemTime::now());
            self.report.cache_age = Some(age);
            // RFC 9111 §5.1: it would say that the origin was not asked for this request.
            if age > 0 || status.forwarded.is_none() || status.collapsed {
                write_age(age, &mut own);
            }
        }
        status.write(&mut own);
        let (plan, compressor) = self.plan_compression(&chosen, lines);
        let version = self.work.request.version;
        let has_no_length = chosen.has_body && (compressor.is_some() || chosen.length.is_none());
        let is_encoded = plan.as_ref().is_some_and(|plan| matches!(plan.action, Action::Encode { .. }));
        let coding = match version {
            Version::Http11 if has_no_length => Coding::Chunked,
            _ => Coding::Identity,
        };
        // An HTTP/1.0 client knows the end of what has no length by the end of the connection.
        let is_head = self.work.request.method == Method::Head;
        let is_ended_by_close = has_no_length && !is_head && version == Version::Http10;
        let after = if is_ended_by_close { After::Close } else { after };
        let Work { response_out, ids, extra, is_for_node, .. } = &mut *self.work;
        let head = Head {
            site: self.site,
            route: self.route,
            status: chosen.status,
            lines,
            own: &own,
            length: chosen.length.filter(|_| !is_encoded && chosen.status != 304 && chosen.status != 204),
            version,
            coding: if chosen.has_body { coding } else { Coding::Identity },
            connection: connection_option(after, version),
            ids,
            extra,
            is_for_node: *is_for_node,
            compressed: plan.as_ref(),
        };
        head.write(response_out);
        self.report.status = chosen.status;
        self.report.progress.has_begun.set(true);
        self.report.progress.status.set(chosen.status);
        let source = match (content, chosen.has_body && !is_head) {
            (_, false) => Source::Nothing,
            (Content::Kept(body), true) => match &chosen.several {
                Some(several) => Source::Several(several.pieces(&body)),
                None => Source::Kept(body.pieces(chosen.range.unwrap_or(0..u64::MAX))),
            },
            (Content::Arriving(reader), true) => {
                let takes_trailers = version.is_framed() || coding == Coding::Chunked;
                let has_end = takes_trailers && chosen.range.is_none();
                Source::Arriving(Arriving::new(reader, chosen.range.as_ref(), chosen.length, has_end))
            }
        };
        let peer = Rc::clone(&self.client.peer);
        let (_, sink) = self.client.wire.split();
        // What has no body has no last chunk, whatever its head says of one (RFC 9112 §6.3).
        let has_none = matches!(source, Source::Nothing);
        let sending = Sending {
            sink,
            work: &mut *self.work,
            coding: if has_none { Coding::Identity } else { coding },
            idle: self.snapshot.config.timeout.body_idle.get(),
            pacing: Pacing::new(&peer, self.route.gate.bytes_per_second),
            report: &mut *self.report,
            compressor,
            trailers: Bytes::new(),
        };
        match sending.run(source).await {
            Ok(()) => Ended::Answered(after),
            Err(error) => {
                self.report.cause = Some(match error.kind() {
                    io::ErrorKind::TimedOut => "client stopped reading".into(),
                    io::ErrorKind::UnexpectedEof => error.to_string().into(),
                    _ => "client left".into(),
                });
                Ended::Answered(After::Close)
            }
        }
    }

    /// The lines for another node: with what is for caches alone.
    fn lines_for_node(&self, stored: &Stored, chosen: &Chosen, lines: &[u8]) -> Option<Vec<u8>> {
        if !self.work.is_for_node || chosen.status == 416 {
            return None;
        }
        let mut told = [lines, &stored.unsent].concat();
        tiers::write_answered(&mut told);
        Some(told)
    }

    /// The lines of what is kept, where clients are told another time than the origin's.
    fn lines_for_clients(&self, stored: &Stored, chosen: &Chosen, lines: &[u8]) -> Option<Vec<u8>> {
        let ttl =
            self.caching.client_ttl_s.filter(|_| stored.not_stored.is_none() && chosen.status != 416)?;
        let mut told = Vec::with_capacity(lines.len() + 32);
        write_client_ttl(lines, stored.age(SystemTime::now()), ttl, &mut told).then_some(told)
    }

    /// What compression makes of it.
    fn plan_compression(&self, chosen: &Chosen, lines: &[u8]) -> (Option<Plan>, Option<Compressor>) {
        let compression = self.site.compression(self.route).filter(|_| !self.work.is_for_node);
        let Some(compression) = compression else { return (None, None) };
        let wanted = Wanted::new(compression, &self.work.request, self.work.down.held());
        let all = |name: &'static [u8]| {
            cdn::rules::Lines::of(lines).filter(move |(known, _)| known.eq_ignore_ascii_case(name))
        };
        let facts = ResponseFacts {
            status: chosen.status,
            content_type: value_of(lines, b"content-type"),
            content_length: chosen.length,
            content_encoding: value_of(lines, b"content-encoding"),
            has_content_range: chosen.status == 206,
            is_no_transform: all(b"cache-control").any(|(_, value)| is_no_transform(value)),
            etag: value_of(lines, b"etag"),
            if_none_match: wanted.if_none_match.as_deref(),
        };
        let plan = compression.plan(&facts, [&wanted.accept[..]]);
        let Action::Encode { coding, flushes_each_piece } = plan.action else { return (Some(plan), None) };
        let Ok(encoder) = compression.encoder(coding, chosen.length) else { return (None, None) };
        self.core.events.compression.encoded(coding);
        (Some(plan), chosen.has_body.then(|| Compressor::new(encoder, flushes_each_piece)))
    }
}

/// The lines of some of a body, where those of all of it have a digest of that.
fn lines_of_cut(stored: &Stored, chosen: &Chosen, lines: &[u8]) -> Option<Vec<u8>> {
    if chosen.status != 206 || stored.not_stored.is_some() {
        return None;
    }
    let has_digest = Lines::of(lines).any(|(name, _)| is_of_content(name));
    has_digest.then(|| {
        let is_kept = |line: &&[u8]| !is_of_content(&line[..memchr::memchr(b':', line).unwrap_or(0)]);
        lines.split_inclusive(|byte| *byte == b'\n').filter(is_kept).collect::<Vec<_>>().concat()
    })
}

/// What the request's conditions and range make of a response; writes the lines that go with it.
fn choose(stored: &Stored, content: &Content, work: &Work, own: &mut Vec<u8>) -> Chosen {
    let has_body = !matches!(stored.status, 204 | 304);
    let first = stored.range.map_or(0, |(start, _)| start);
    let whole = |own: &mut Vec<u8>| {
        let (length, status) =
            (stored.range.map(|(start, end)| end - start).or(stored.length), stored.status);
        if let (Some((start, end)), Some(whole)) = (stored.range, stored.length) {
            ContentRange { start, end, whole }.write(own);
        }
        Chosen { status, range: None, length, has_body, several: None }
    };
    // A part that is not kept is what the origin chose to send.
    if stored.not_stored.is_some() && stored.status == 206 && stored.range.is_none() {
        return whole(own);
    }
    match select(stored, &asked(work)) {
        Selected::NotModified => {
            Chosen { status: 304, range: None, length: None, has_body: false, several: None }
        }
        Selected::One(range) => {
            let length = stored.length.unwrap_or(range.end);
            ContentRange { start: range.start, end: range.end, whole: length }.write(own);
            let length = Some(range.end - range.start);
            // Within the body, which may be a part itself.
            let range = Some(range.start - first..range.end - first);
            Chosen { status: 206, length, range, has_body, several: None }
        }
        Selected::Unsatisfiable(length) => {
            own.extend_from_slice(format!("Content-Range: bytes */{length}\r\n").as_bytes());
            Chosen { status: 416, range: None, length: Some(0), has_body: false, several: None }
        }
        Selected::Many(ranges) if Several::is_possible(stored, content) => {
            let several = Several::of(stored, &ranges);
            let length = Some(several.length());
            own.extend_from_slice(several.content_type().as_bytes());
            Chosen { status: 206, range: None, length, has_body, several: Some(several) }
        }
        // RFC 9110 §14.2: several ranges may be answered with all of it. What of a part is not here was looked for before; the one that
        // it was fetched for gets it as the origin sent it.
        Selected::Whole | Selected::Many(_) | Selected::NotHere => whole(own),
    }
}

/// The pieces of a body.
enum Source {
    Nothing,
    Kept(Pieces),
    Several(std::vec::IntoIter<Bytes>),
    Arriving(Arriving),
}

/// A body that is on its way, or some of it.
struct Arriving {
    reader: Reader,
    /// Bytes that are left out first.
    skip: u64,
    /// Bytes that are sent after those; all where it is not known.
    left: Option<u64>,
    /// Trailers may follow, which the client can be sent.
    has_end: bool,
}

impl Arriving {
    fn new(reader: Reader, range: Option<&Range<u64>>, length: Option<u64>, has_end: bool) -> Self {
        let skip = range.map_or(0, |range| range.start);
        Self { reader, skip, left: length, has_end }
    }

    /// Whether what was sent last is all of it.
    fn is_over(&self) -> bool {
        self.left == Some(0) && !self.has_end
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if self.is_over() {
                return Poll::Ready(Ok(None));
            }
            let piece = match self.reader.poll_piece(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(piece))) => piece,
                Poll::Ready(Ok(None)) if self.left.is_none_or(|left| left == 0) => {
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(broken("the response ended early"))),
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(broken(cause(failure)))),
            };
            let skipped = self.skip.min(piece.len() as u64);
            self.skip -= skipped;
            let mut piece = piece.slice(skipped as usize..);
            if let Some(left) = &mut self.left {
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len()));
                *left -= piece.len() as u64;
            }
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
    }
}

fn broken(cause: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, cause)
}

fn cause(failure: Failure) -> &'static str {
    match failure {
        Failure::Origin(_) => "the origin broke off",
        Failure::Length => "the response was not as long as it said",
        Failure::Dropped => "the fetch was given up",
        Failure::TooSlow => "client held up the others",
    }
}

/// A response on its way.
struct Sending<'a> {
    sink: Sink<'a>,
    work: &'a mut Work,
    coding: Coding,
    idle: Duration,
    pacing: Pacing<'a>,
    report: &'a mut Report,
    compressor: Option<Compressor>,
    /// Lines that follow the body.
    trailers: Bytes,
}

impl Sending<'_> {
    async fn run(mut self, source: Source) -> io::Result<()> {
        match source {
            Source::Nothing => {
                self.compressor = None;
                self.write(b"", true, false).await
            }
            Source::Kept(pieces) if pieces.in_file().is_some() => Box::pin(self.send_file(pieces)).await,
            Source::Kept(pieces) => self.write_all(pieces).await,
            Source::Several(pieces) => Box::pin(self.write_all(pieces)).await,
            Source::Arriving(arriving) => Box::pin(self.relay(arriving)).await,
        }
    }

    async fn write_all(&mut self, mut pieces: impl Iterator<Item = Bytes>) -> io::Result<()> {
        let Some(mut piece) = pieces.next() else { return self.write(b"", true, false).await };
        for next in pieces {
            self.write(&piece, false, false).await?;
            piece = next;
        }
        self.write(&piece, true, false).await
    }

    /// Passes on what arrives; the head does not wait for it.
    async fn relay(&mut self, mut arriving: Arriving) -> io::Result<()> {
        let mut is_first = true;
        loop {
            let Self { sink, .. } = self;
            let ready = poll_fn(|cx| match arriving.poll_next(cx) {
                Poll::Ready(next) => Poll::Ready(Some(next)),
                Poll::Pending if is_first => Poll::Ready(None),
                Poll::Pending => sink.poll_gone(cx).map(|()| Some(Err(io::ErrorKind::BrokenPipe.into()))),
            })
            .await;
            is_first = false;
            match ready {
                None => self.write(b"", false, false).await?,
                Some(next) => match next? {
                    Some(piece) => self.write(&piece, arriving.is_over(), true).await?,
                    None => {
                        if arriving.has_end {
                            self.trailers = arriving.reader.trailers();
                        }
                        return self.write(b"", true, false).await;
                    }
                },
            }
            if arriving.is_over() {
                return Ok(());
            }
        }
    }

    async fn write(&mut self, data: &[u8], is_last: bool, pauses: bool) -> io::Result<()> {
        let mut data = match &mut self.compressor {
            None => data,
            Some(compressor) => {
                compressor.pass(data, is_last, pauses).map_err(io::Error::other)?;
                &compressor.ready
            }
        };
        let Work { response_out, timer, .. } = &mut *self.work;
        loop {
            let (piece, rest) = data.split_at(data.len().min(self.pacing.piece_bytes_max()));
            let is_end = is_last && rest.is_empty();
            let part = Part { head: response_out, data: piece, end: is_end.then_some(&self.trailers[..]) };
            self.sink.write(part, self.coding, timer, self.idle).await?;
            response_out.clear();
            let sent = piece.len();
            data = rest;
            has_sent(sent, self.report, &mut self.pacing).await;
            if data.is_empty() {
                return Ok(());
            }
        }
    }
}

/// So many bytes have gone.
async fn has_sent(bytes: usize, report: &mut Report, pacing: &mut Pacing<'_>) {
    report.sent_bytes += bytes as u64;
    report.progress.sent_bytes.set(report.sent_bytes);
    pacing.wait(bytes).await;
}
