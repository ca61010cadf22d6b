//! A message's body on its way in; from an endpoint, its heads before it.

use super::lines;
use crate::http3;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that come in frames. Flow control is given back as they are taken out.
pub(crate) struct Incoming {
    frames: Frames,
    /// What has come and was not taken yet.
    piece: Bytes,
    /// It counts against the peer's window.
    is_body: bool,
    /// Lines, known once the body has ended.
    trailers: Vec<u8>,
    /// Bytes to come by the head's word, where it has one.
    left: Option<u64>,
}

enum Frames {
    /// The body of a request.
    H2(h2::RecvStream),
    H3(http3::RecvBody),
    /// The answer of an endpoint: its heads come first, as lines.
    Answer(h2::client::ResponseFuture),
    Ended,
}

impl Incoming {
    fn new(frames: Frames) -> Self {
        Self { frames, piece: Bytes::new(), is_body: false, trailers: Vec::new(), left: None }
    }

    /// `length` is what the head says.
    pub(crate) fn h2(body: h2::RecvStream, length: Option<u64>) -> Self {
        Self { left: length, ..Self::new(Frames::H2(body)) }
    }

    pub(crate) fn h3(body: http3::RecvBody) -> Self {
        Self::new(Frames::H3(body))
    }

    pub(crate) fn answer(answer: h2::client::ResponseFuture) -> Self {
        Self::new(Frames::Answer(answer))
    }

    /// A connection that no request was sent on yet.
    pub(crate) fn nothing() -> Self {
        Self::new(Frames::Ended)
    }

    /// The trailer lines, once the end has been read.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Whether it is known that nothing follows.
    pub(crate) fn is_ended(&self) -> bool {
        self.piece.is_empty() && matches!(self.frames, Frames::Ended)
    }

    /// Waits for the end of a body that has come whole but for the word that it has. A stream that is let go of before
    /// that is reset, which some clients take for a failure, though the answer is there.
    pub(crate) async fn end(&mut self) {
        if self.left == Some(0) && !self.is_ended() {
            // What comes instead is for the drop of the stream to answer.
            let _ = std::future::poll_fn(|cx| self.poll_readable(cx)).await;
        }
    }

    /// Ready once there are bytes, or the end.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.piece.is_empty() && !matches!(self.frames, Frames::Ended) {
            ready!(self.poll_frame(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.frames {
            Frames::Ended => {}
            Frames::Answer(answer) => {
                let mut head = Vec::with_capacity(512);
                if let Poll::Ready(Some(interim)) = answer.poll_informational(cx) {
                    lines::write_response(&interim.map_err(broken)?, &mut head);
                } else {
                    let (parts, body) = ready!(Pin::new(answer).poll(cx)).map_err(broken)?.into_parts();
                    lines::write_response(&http::Response::from_parts(parts, ()), &mut head);
                    self.frames = if body.is_end_stream() { Frames::Ended } else { Frames::H2(body) };
                }
                (self.piece, self.is_body) = (head.into(), false);
            }
            Frames::H2(body) => match ready!(body.poll_data(cx)) {
                Some(piece) => (self.piece, self.is_body) = (piece.map_err(broken)?, true),
                None => {
                    if let Some(trailers) = ready!(body.poll_trailers(cx)).map_err(broken)? {
                        lines::write_fields(&trailers, &mut self.trailers);
                    }
                    self.frames = Frames::Ended;
                }
            },
            Frames::H3(body) => match ready!(body.poll_piece(cx))? {
                Some(piece) => (self.piece, self.is_body) = (piece, true),
                None => {
                    if let Some(trailers) = ready!(body.poll_trailers(cx))? {
                        lines::write_fields(&trailers, &mut self.trailers);
                    }
                    self.frames = Frames::Ended;
                }
            },
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let incoming = self.get_mut();
        ready!(incoming.poll_readable(cx))?;
        let taken = incoming.piece.len().min(buf.remaining());
        buf.put_slice(&incoming.piece[..taken]);
        incoming.piece.advance(taken);
        if let (true, Some(left)) = (incoming.is_body, &mut incoming.left) {
            *left = left.saturating_sub(taken as u64);
        }
        if let (true, Frames::H2(body)) = (incoming.is_body, &mut incoming.frames) {
            // A stream that was reset has no window left to give.
            let _ = body.flow_control().release_capacity(taken);
        }
        Poll::Ready(Ok(()))
    }
}

/// A stream or a connection that failed. Two kinds mean that the request was not looked at (RFC 9113 §8.7):
/// `ConnectionRefused`, the connection takes no more, and `ResourceBusy`, the endpoint has too much to do.
fn broken(error: h2::Error) -> io::Error {
    if error.is_remote() && error.is_go_away() {
        return io::Error::new(io::ErrorKind::ConnectionRefused, error);
    }
    if error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        return io::Error::new(io::ErrorKind::ResourceBusy, error);
    }
    match error.get_io() {
        Some(source) => source.kind().into(),
        None => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}
