//! A message on its way out in frames.

use super::lines;
use crate::http3;
use crate::wire::Part;
use bytes::Bytes;
use h2::{Reason, SendStream};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// Where a message goes: its head, pieces of its body, its end.
pub(crate) enum Outgoing {
    /// The answer to a client.
    Answer(Answer),
    /// The answer to a client of HTTP/3.
    Answer3(Box<http3::SendAnswer>),
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

impl Answer {
    fn send_head(&mut self, head: &[u8], is_all: bool) -> io::Result<()> {
        let response = response(head)?;
        if response.status().is_informational() {
            return self.respond.send_informational(response).map_err(closed);
        }
        let stream = self.respond.send_response(response, is_all).map_err(closed)?;
        self.is_over = is_all;
        self.body = (!is_all).then_some(stream);
        Ok(())
    }
}

/// A head for frames from its lines.
fn response(head: &[u8]) -> io::Result<http::Response<()>> {
    let mut response = lines::response(head).ok_or(io::ErrorKind::InvalidData)?;
    // RFC 8441 §5: what HTTP/1.1 calls 101, an extended CONNECT is told by 200.
    if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = http::StatusCode::OK;
    }
    Ok(response)
}

impl Outgoing {
    pub(crate) fn answer(respond: h2::server::SendResponse<Bytes>) -> Self {
        Self::Answer(Answer { respond, body: None, is_over: false })
    }

    /// Sends of a part what goes without waiting: in HTTP/2 nearly always all of it. What is left comes back.
    pub(crate) fn send_now<'p>(&mut self, mut part: Part<'p>) -> io::Result<Option<Part<'p>>> {
        let ends_bare = part.end.is_some_and(<[u8]>::is_empty);
        match self {
            Self::Answer3(_) => return Ok(Some(part)),
            Self::Answer(answer) if !part.head.is_empty() => {
                let is_all = ends_bare && part.data.is_empty();
                answer.send_head(part.head, is_all)?;
                if is_all {
                    return Ok(None);
                }
                part.head = b"";
            }
            Self::Answer(_) | Self::Request(_) => {}
        }
        if !part.data.is_empty() {
            let Some(stream) = self.body() else { return Err(io::ErrorKind::BrokenPipe.into()) };
            stream.reserve_capacity(part.data.len());
            if stream.capacity() < part.data.len() {
                return Ok(Some(part));
            }
            stream.send_data(Bytes::copy_from_slice(part.data), ends_bare).map_err(closed)?;
            if ends_bare {
                self.end();
                return Ok(None);
            }
        }
        if let Some(trailers) = part.end {
            self.send_end(trailers)?;
        }
        Ok(None)
    }

    /// Sends the lines of an interim or a final head. `is_all`: nothing follows.
    pub(crate) async fn send_head(&mut self, head: &[u8], is_all: bool) -> io::Result<()> {
        match self {
            Self::Answer(answer) => answer.send_head(head, is_all),
            Self::Answer3(answer) => answer.send_head(response(head)?, is_all).await,
            Self::Request(_) => unreachable!("a request's head opens its stream"),
        }
    }

    /// Sends what the peer's window lets through of a piece. Returns the bytes sent. `is_last`: this is the end, if
    /// all of it goes.
    pub(crate) async fn send_some(&mut self, data: &[u8], is_last: bool) -> io::Result<usize> {
        if let Self::Answer3(answer) = self {
            return answer.send_some(data).await;
        }
        let Some(stream) = self.body() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        stream.reserve_capacity(data.len());
        let mut room = stream.capacity();
        if room == 0 {
            let opened = poll_fn(|cx| stream.poll_capacity(cx)).await;
            room = opened.ok_or(io::ErrorKind::BrokenPipe)?.map_err(closed)?;
        }
        let taken = room.min(data.len());
        let is_all = is_last && taken == data.len();
        stream.send_data(Bytes::copy_from_slice(&data[..taken]), is_all).map_err(closed)?;
        if is_all {
            self.end();
        }
        Ok(taken)
    }

    /// Ends the message with trailer lines, possibly none. Ending twice is once.
    pub(crate) async fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        match self {
            Self::Answer3(answer) => answer.finish(trailers).await,
            Self::Answer(_) | Self::Request(_) => self.send_end(trailers),
        }
    }

    /// The same for HTTP/2, which never waits.
    fn send_end(&mut self, trailers: &[u8]) -> io::Result<()> {
        let Some(stream) = self.body() else { return Ok(()) };
        if trailers.is_empty() {
            stream.send_data(Bytes::new(), true).map_err(closed)?;
        } else {
            let trailers = lines::fields(trailers).ok_or(io::ErrorKind::InvalidData)?;
            stream.send_trailers(trailers).map_err(closed)?;
        }
        self.end();
        Ok(())
    }

    fn body(&mut self) -> Option<&mut SendStream<Bytes>> {
        match self {
            Self::Answer(answer) => answer.body.as_mut(),
            Self::Request(body) => body.as_mut(),
            Self::Answer3(_) => None,
        }
    }

    /// Notes that the end was sent.
    fn end(&mut self) {
        match self {
            Self::Answer(answer) => (answer.body, answer.is_over) = (None, true),
            Self::Request(body) => *body = None,
            Self::Answer3(_) => {}
        }
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
}

fn closed(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
