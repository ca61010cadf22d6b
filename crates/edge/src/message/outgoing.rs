//! A message on its way out in frames.

use super::lines;
use crate::http3;
use bytes::Bytes;
use h2::{Reason, SendStream};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// Where a message goes: its head, pieces of its body, its end.
pub(crate) enum Outgoing {
    /// The answer to a client; its body once the head was sent.
    Answer(Answer),
    /// The answer to a client of HTTP/3.
    Answer3(http3::SendAnswer),
    /// The body of a request to an endpoint; `None` once it has ended.
    Request(Option<SendStream<Bytes>>),
}

/// A response in HTTP/2.
pub(crate) struct Answer {
    respond: h2::server::SendResponse<Bytes>,
    /// Once the head was sent, and until the end is.
    body: Option<SendStream<Bytes>>,
    is_over: bool,
}

impl Outgoing {
    pub(crate) fn answer(respond: h2::server::SendResponse<Bytes>) -> Self {
        Self::Answer(Answer { respond, body: None, is_over: false })
    }

    /// Sends the lines of an interim or a final head. `is_all`: nothing follows.
    pub(crate) async fn send_head(&mut self, head: &[u8], is_all: bool) -> io::Result<()> {
        let mut response = lines::response(head).ok_or(io::ErrorKind::InvalidData)?;
        // RFC 8441 §5: what HTTP/1.1 calls 101, an extended CONNECT is told by 200.
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            *response.status_mut() = http::StatusCode::OK;
        }
        match self {
            Self::Answer(answer) if response.status().is_informational() => {
                answer.respond.send_informational(response).map_err(closed)
            }
            Self::Answer(answer) => {
                let stream = answer.respond.send_response(response, is_all).map_err(closed)?;
                answer.is_over = is_all;
                answer.body = (!is_all).then_some(stream);
                Ok(())
            }
            Self::Answer3(answer) => answer.send_head(response, is_all).await,
            Self::Request(_) => unreachable!("a request's head opens its stream"),
        }
    }

    /// Sends what the peer's window lets through of a piece. Returns the bytes sent. `is_last`: this is the end, if
    /// all of it goes.
    pub(crate) async fn send_some(&mut self, data: &[u8], is_last: bool) -> io::Result<usize> {
        let body = match self {
            Self::Answer(answer) => &mut answer.body,
            Self::Answer3(answer) => return answer.send_some(data).await,
            Self::Request(body) => body,
        };
        let Some(stream) = body else { return Err(io::ErrorKind::BrokenPipe.into()) };
        stream.reserve_capacity(data.len());
        let mut room = stream.capacity();
        if room == 0 {
            room = poll_fn(|cx| stream.poll_capacity(cx))
                .await
                .ok_or(io::ErrorKind::BrokenPipe)?
                .map_err(closed)?;
        }
        let taken = room.min(data.len());
        let is_all = is_last && taken == data.len();
        stream.send_data(Bytes::copy_from_slice(&data[..taken]), is_all).map_err(closed)?;
        if is_all {
            *body = None;
            self.is_over();
        }
        Ok(taken)
    }

    /// Ends the message with trailer lines, possibly none. Ending twice is once.
    pub(crate) async fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        let body = match self {
            Self::Answer(answer) => &mut answer.body,
            Self::Answer3(answer) => return answer.finish(trailers).await,
            Self::Request(body) => body,
        };
        let Some(mut stream) = body.take() else { return Ok(()) };
        self.is_over();
        if trailers.is_empty() {
            return stream.send_data(Bytes::new(), true).map_err(closed);
        }
        let trailers = lines::fields(trailers).ok_or(io::ErrorKind::InvalidData)?;
        stream.send_trailers(trailers).map_err(closed)
    }

    /// Ready once the peer wants no more of it.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Answer(answer) => match &mut answer.body {
                Some(stream) => stream.poll_reset(cx).map(drop),
                None => answer.respond.poll_reset(cx).map(drop),
            },
            Self::Answer3(answer) => answer.poll_gone(cx),
            Self::Request(Some(stream)) => stream.poll_reset(cx).map(drop),
            Self::Request(None) => Poll::Pending,
        }
    }

    /// Ends a message that has not ended, so that the peer cannot take it for whole.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Answer(Answer { is_over: true, .. }) | Self::Request(None) => {}
            Self::Answer(answer) => match &mut answer.body {
                Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
                None => answer.respond.send_reset(Reason::INTERNAL_ERROR),
            },
            Self::Answer3(answer) => answer.reset(),
            Self::Request(Some(stream)) => stream.send_reset(Reason::CANCEL),
        }
    }

    fn is_over(&mut self) {
        if let Self::Answer(answer) = self {
            answer.is_over = true;
        }
    }
}

fn closed(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
