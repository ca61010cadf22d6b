//! Answers with files: what the crate `files` says about a request, or `push` in its words, put on the wire.

use crate::answer::{Answer, reason};
use crate::compress::{self, Compressor, Wanted};
use crate::core::{Core, Snapshot, Work};
use crate::error::Refusal;
use crate::exchange::Ended;
use crate::io::Timer;
use crate::pacing::Pacing;
use crate::protocol::{Method, Version};
use crate::reply::{connection_option, discard_body};
use crate::request::{After, Client, Report};
use crate::sites::{Route, Site};
use crate::wire::{Coding, Part, Sink};
use encoding::{Action, Plan, ResponseFacts, is_no_transform};
use files::{OpenFile, Piece, Pieces, ReadNow};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bytes that are read and written at once.
pub(crate) const READ_BYTES: usize = 64 << 10;
/// What goes from the page cache to the socket in one call, and is looked for in the cache before.
pub(crate) const SENDFILE_BYTES: usize = 256 << 10;

/// Where files are.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Folder(&'a Arc<files::Root>),
    Pushed(&'a Arc<push::Assets>),
}

impl Source<'_> {
    /// For the log.
    fn name(self) -> String {
        match self {
            Self::Folder(folder) => folder.path().display().to_string(),
            Self::Pushed(assets) => format!("push {}", assets.name()),
        }
    }

    fn answer_now(self, wanted: &files::Request<'_>, core: &Core) -> Option<files::Answer> {
        let now = SystemTime::now();
        match self {
            Self::Folder(folder) => folder.answer_now(wanted, now, &core.recent_files),
            Self::Pushed(assets) => assets.answer_now(wanted, now, &core.recent_files),
        }
    }

    /// The answer of a thread that may wait for the disk. `None`: there is no thread.
    async fn answer(self, wanted: files::Request<'static>) -> Option<files::Answer> {
        let answering = match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                tokio::task::spawn_blocking(move || folder.answer(&wanted, SystemTime::now()))
            }
            Self::Pushed(assets) => {
                let assets = assets.clone();
                tokio::task::spawn_blocking(move || assets.answer(&wanted, SystemTime::now()))
            }
        };
        answering.await.ok()
    }
}

/// Answers from a folder, or with what was pushed.
pub(crate) async fn answer_file(
    core: &Rc<Core>,
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    (site, route): (&Site, &Route),
    from: Source<'_>,
    report: &mut Report,
) -> Ended {
    let answer = match find(core, from, work, route).await {
        Some(answer) => answer,
        None => return Ended::Refused(Refusal::File(503)),
    };
    if let Some(fault) = &answer.fault {
        tracing::warn!(target: "edge", %fault, folder = from.name(), "a file cannot be served");
    }
    if answer.status >= 400 {
        work.extra.extend_from_slice(&answer.lines);
        return Ended::Refused(Refusal::File(answer.status));
    }
    let after = discard_body(work, core);
    let (plan, compressor) = plan(core, site, route, work, &answer);
    let has_no_length = compressor.is_some();
    let version = work.request.version;
    let coding = match version {
        Version::Http11 if has_no_length => Coding::Chunked,
        _ => Coding::Identity,
    };
    // An HTTP/1.0 client knows the end of what has no length by the end of the connection.
    let after = if has_no_length && version == Version::Http10 { After::Close } else { after };
    let mut lines = lines_of(&answer, plan.as_ref());
    if coding == Coding::Chunked {
        lines.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    let is_encoded = plan.is_some_and(|plan| matches!(plan.action, Action::Encode { .. }));
    let head = Answer {
        status: answer.status,
        content_type: "",
        body: b"",
        length: answer.content_length.filter(|_| !is_encoded),
        lines: &lines,
        edits: Some(&route.response_edits),
        head_only: work.request.method == Method::Head,
        connection: connection_option(after, version),
    };
    debug_assert!(!reason(answer.status).is_empty(), "a folder's statuses have names");
    let Work { response_out, extra, ids, .. } = work;
    response_out.clear();
    head.write_head(core, ids, extra, response_out);
    report.status = answer.status;
    report.progress.has_begun.set(true);
    report.progress.status.set(answer.status);
    let (_, sink) = client.wire.split();
    let sending = Sending {
        core,
        sink,
        work,
        coding,
        idle: snapshot.config.timeout.body_idle.get(),
        pacing: Pacing::new(&client.peer, route.gate.bytes_per_second),
        report,
    };
    match sending.run(answer.body.into_pieces(), compressor).await {
        Ok(()) => Ended::Answered(after),
        Err(error) => {
            report.cause = Some(match error.kind() {
                io::ErrorKind::TimedOut => "client stopped reading".into(),
                io::ErrorKind::UnexpectedEof => error.to_string().into(),
                _ => "client left".into(),
            });
            Ended::Answered(After::Close)
        }
    }
}

/// What the folder says: at once if the kernel knows, otherwise on a thread that may wait for the disk. `None`: there
/// is no thread.
async fn find(core: &Core, from: Source<'_>, work: &Work, route: &Route) -> Option<files::Answer> {
    let Work { request, down, path, .. } = work;
    let head = down.held();
    let mut wanted = files::Request {
        method: files::Method::of(request.method_name.of_head(head)),
        path: route.path_in_folder(path).into(),
        url_path: path.as_slice().into(),
        query: request.query.of_head(head).into(),
        fields: files::Fields::default(),
    };
    for field in &request.fields {
        wanted.fields.note(field.name.of_head(head), field.value.of_head(head));
    }
    match from.answer_now(&wanted, core) {
        Some(answer) => Some(answer),
        None => from.answer(wanted.into_owned()).await,
    }
}

/// What compression makes of a file.
fn plan(
    core: &Core,
    site: &Site,
    route: &Route,
    work: &Work,
    answer: &files::Answer,
) -> (Option<Plan>, Option<Compressor>) {
    let (Some(compression), Some(about)) = (site.compression(route), &answer.representation) else {
        return (None, None);
    };
    let wanted = Wanted::new(compression, &work.request, work.down.held());
    let facts = ResponseFacts {
        status: answer.status,
        content_type: Some(about.content_type.as_bytes()),
        content_length: answer.content_length,
        content_encoding: about.coding.map(|coding| coding.token().as_bytes()),
        has_content_range: answer.status == 206,
        is_no_transform: answer.lines.split(|byte| *byte == b'\n').any(says_no_transform),
        etag: about.etag.clone().map(|place| &answer.lines[place]),
        if_none_match: wanted.if_none_match.as_deref(),
    };
    let plan = compression.plan(&facts, [&wanted.accept[..]]);
    let Action::Encode { coding, flushes_each_piece } = plan.action else { return (Some(plan), None) };
    let Ok(encoder) = compression.encoder(coding, answer.content_length) else { return (None, None) };
    core.events.compression.encoded(coding);
    let has_body = !answer.body.is_empty();
    (Some(plan), has_body.then(|| Compressor::new(encoder, flushes_each_piece)))
}

fn says_no_transform(line: &[u8]) -> bool {
    const NAME: &[u8] = b"cache-control:";
    line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
        && is_no_transform(&line[NAME.len()..])
}

/// The folder's lines, with what compression makes of them.
fn lines_of(answer: &files::Answer, plan: Option<&Plan>) -> Vec<u8> {
    let (Some(plan), Some(about)) = (plan, &answer.representation) else { return answer.lines.clone() };
    let mut lines = Vec::with_capacity(answer.lines.len() + 64);
    for line in answer.lines.split_inclusive(|byte| *byte == b'\n') {
        let name = &line[..memchr::memchr(b':', line).unwrap_or(0)];
        if !compress::voids(plan, name) {
            lines.extend_from_slice(line);
        }
    }
    let vary = about.is_vary_said.then_some(&b"accept-encoding"[..]);
    let etag = about.etag.clone().map(|place| &answer.lines[place]);
    compress::write_lines(plan, vary, etag, &mut lines);
    lines
}

/// An answer on its way.
struct Sending<'a> {
    core: &'a Core,
    sink: Sink<'a>,
    work: &'a mut Work,
    coding: Coding,
    idle: Duration,
    pacing: Pacing<'a>,
    report: &'a mut Report,
}

impl Sending<'_> {
    async fn run(mut self, mut pieces: Pieces, mut compressor: Option<Compressor>) -> io::Result<()> {
        if pieces.next().is_none() {
            return self.write(b"", true, &mut compressor).await;
        }
        let may_sendfile = compressor.is_none() && self.sink.plain().is_some();
        while let Some(piece) = pieces.next() {
            let sent = match piece {
                Piece::Bytes(bytes) => {
                    let bytes = bytes.to_vec();
                    let is_last = self.is_last(&mut pieces, bytes.len() as u64);
                    self.write(&bytes, is_last, &mut compressor).await?;
                    continue;
                }
                Piece::File { file, offset, len } if may_sendfile && len > READ_BYTES as u64 => {
                    let file = file.clone();
                    self.sendfile(&file, offset, len).await?
                }
                Piece::File { file, offset, len } => {
                    let file = file.clone();
                    let read = self.read(&file, offset, len).await?;
                    let is_last = self.is_last(&mut pieces, read as u64);
                    let up = std::mem::replace(&mut self.work.up, crate::buffer::Buffer::new(0));
                    let written = self.write(up.filled(), is_last, &mut compressor).await;
                    self.work.up = up;
                    self.core.take_back(&mut self.work.up);
                    written?;
                    continue;
                }
            };
            pieces.advance(sent);
        }
        Ok(())
    }

    /// Moves on, and tells whether that was the end.
    fn is_last(&self, pieces: &mut Pieces, bytes: u64) -> bool {
        pieces.advance(bytes);
        pieces.next().is_none()
    }

    /// Reads the next bytes of a file into the lent buffer.
    async fn read(&mut self, file: &OpenFile, offset: u64, len: u64) -> io::Result<usize> {
        let up = &mut self.work.up;
        self.core.take_back(up);
        self.core.lend(up);
        let most = READ_BYTES.min(self.pacing.piece_bytes_max());
        let wanted = most.min(usize::try_from(len).unwrap_or(most));
        let read = match file.read_now(offset, &mut up.spare()[..wanted])? {
            ReadNow::Read(read) => read,
            ReadNow::WouldBlock => {
                let bytes = read_elsewhere(file.clone(), offset, wanted).await?;
                up.spare()[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            }
        };
        up.fill(read);
        Ok(read)
    }

    async fn write(
        &mut self,
        data: &[u8],
        is_last: bool,
        compressor: &mut Option<Compressor>,
    ) -> io::Result<()> {
        let data = match compressor {
            None => data,
            Some(compressor) => {
                compressor.pass(data, is_last, false).map_err(io::Error::other)?;
                &compressor.ready
            }
        };
        let Work { response_out, timer, .. } = &mut *self.work;
        let part = Part { head: response_out, data, end: is_last.then_some(b"") };
        self.sink.write(part, self.coding, timer, self.idle).await?;
        response_out.clear();
        self.report.sent_bytes += data.len() as u64;
        self.pacing.wait(data.len()).await;
        Ok(())
    }

    /// Sends a piece of a file from the page cache, without a copy. Returns the bytes sent.
    async fn sendfile(&mut self, file: &OpenFile, offset: u64, len: u64) -> io::Result<u64> {
        if !self.work.response_out.is_empty() {
            // The head and the first bytes go in one packet.
            let read = self.read(file, offset, len).await?;
            let Work { response_out, up, timer, .. } = &mut *self.work;
            let part = Part { head: response_out, data: up.filled(), end: None };
            self.sink.write(part, Coding::Identity, timer, self.idle).await?;
            response_out.clear();
            self.core.take_back(up);
            self.report.sent_bytes += read as u64;
            self.pacing.wait(read).await;
            return Ok(read as u64);
        }
        let most = SENDFILE_BYTES.min(self.pacing.piece_bytes_max());
        let wanted = most.min(usize::try_from(len).unwrap_or(most));
        let timer = &mut self.work.timer;
        let sent = sendfile_some(&mut self.sink, file, offset, wanted, timer, self.idle).await?;
        self.report.sent_bytes += sent as u64;
        self.pacing.wait(sent).await;
        Ok(sent as u64)
    }
}

/// Sends some of a file by the kernel alone, from the page cache. Returns how much, which is something.
pub(crate) async fn sendfile_some(
    sink: &mut Sink<'_>,
    file: &OpenFile,
    offset: u64,
    bytes_max: usize,
    timer: &mut Timer,
    idle: Duration,
) -> io::Result<usize> {
    if !file.is_cached(offset, bytes_max as u64) {
        // Read for the cache alone.
        read_elsewhere(file.clone(), offset, bytes_max).await?;
    }
    match sink.sendfile(file, offset, bytes_max, timer, idle).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has shrunk while it was sent")),
        sent => Ok(sent),
    }
}

/// Reads where waiting for a disk holds nobody up.
pub(crate) async fn read_elsewhere(file: OpenFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; len];
        let read = file.read_blocking(offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    });
    reading.await.map_err(io::Error::other)?
}
