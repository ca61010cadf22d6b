//! A connection of HTTP/2 (RFC 8484): each question is a request of its own, by POST, so that nobody on the way keeps what was asked.

use super::pipeline::Answer;
use super::{Address, CHECK_EVERY, Line, Lost};
use crate::protocol::{HEADER_BYTES, MESSAGE_BYTES_MAX};
use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{Method, Request, Response, StatusCode, Version, header};
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// The type of a message.
const MESSAGE: &str = "application/dns-message";
/// What an upstream may send of one answer before it was read, and of all: an answer is a message at most.
const WINDOW_BYTES: u32 = MESSAGE_BYTES_MAX as u32 + 1;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// One request, whoever waits for it.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Carries questions and answers until the connection ends, or has no use any more.
pub(super) async fn drive<S>(stream: S, line: &Line, address: &Address) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        .enable_push(false);
    let (requests, connection) = builder.handshake::<S, Bytes>(stream).await.map_err(io::Error::other)?;
    let mut connection = pin!(connection);
    let uri = address.uri();
    let mut under_way: JoinSet<(u16, Option<Result<Answer, Lost>>)> = JoinSet::new();
    let mut check = interval(CHECK_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = || line.pipeline().next();
        while let Some((id, message)) = next() {
            let (requests, request) = (requests.clone(), request(&uri, message.len()));
            under_way.spawn_local(async move {
                let asked = tokio::time::timeout(REQUEST_MAX, ask(requests, request, message));
                (id, asked.await.ok())
            });
        }
        tokio::select! {
            ended = &mut connection => return ended.map_err(io::Error::other),
            Some(Ok((id, outcome))) = under_way.join_next() => {
                let mut pipeline = line.pipeline();
                let Some(outcome) = outcome else {
                    pipeline.give_up(id, "no answer in time");
                    continue;
                };
                if matches!(outcome, Err(Lost::Died { .. })) {
                    pipeline.close();
                }
                pipeline.finish(id, outcome, Instant::now());
            }
            () = line.more.notified() => {}
            _ = check.tick() => {
                if line.pipeline().is_done(Instant::now()) {
                    return Ok(());
                }
            }
        }
    }
}

fn request(uri: &str, length: usize) -> Request<()> {
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(uri)
        .header(header::CONTENT_TYPE, MESSAGE)
        .header(header::ACCEPT, MESSAGE)
        .header(header::CONTENT_LENGTH, length);
    request.body(()).expect("an address that was checked")
}

async fn ask(
    requests: SendRequest<Bytes>,
    request: Request<()>,
    mut message: Vec<u8>,
) -> Result<Answer, Lost> {
    // RFC 8484 §4.1: it is the stream that tells answers apart.
    message[..2].fill(0);
    let mut requests = requests.ready().await.map_err(|error| lost(&error))?;
    let (response, mut body) = requests.send_request(request, false).map_err(|error| lost(&error))?;
    body.send_data(message.into(), true).map_err(|error| lost(&error))?;
    let response = response.await.map_err(|error| lost(&error))?;
    let age_s = judged(&response)?;
    let message = read(response.into_body()).await?;
    Ok(Answer { message, age_s })
}

/// What the head says: how long the answer lay in a cache.
fn judged<B>(response: &Response<B>) -> Result<u32, Lost> {
    let unfit = |cause: String| Err(Lost::Unfit(cause.into()));
    if response.status() != StatusCode::OK {
        return unfit(format!("it answers by HTTP {}", response.status().as_u16()));
    }
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let media_type = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case(MESSAGE) {
        return unfit("what it answers by HTTP is no message of DNS".into());
    }
    Ok(text(header::AGE).and_then(|age| age.trim().parse().ok()).unwrap_or(0))
}

async fn read(mut body: h2::RecvStream) -> Result<Vec<u8>, Lost> {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| lost(&error))?;
        if message.len() + data.len() > MESSAGE_BYTES_MAX {
            return Err(Lost::Unfit("it answers with more than a message".into()));
        }
        message.extend_from_slice(&data);
        // A stream that has ended takes no more, and needs no room.
        let _ = body.flow_control().release_capacity(data.len());
    }
    if message.len() < HEADER_BYTES || message[..2] != [0, 0] {
        return Err(Lost::Unfit("what it answers by HTTP is not an answer to what was asked".into()));
    }
    Ok(message)
}

/// Whether it may be asked again: the connection has ended, or has not begun with this request (RFC 9113 §8.7).
fn lost(error: &h2::Error) -> Lost {
    if error.is_io() || error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM) {
        // Whoever speaks HTTP/2 takes more than one.
        return Lost::Died { answered: u64::MAX };
    }
    Lost::Unfit(error.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&str, &str)]) -> Result<u32, Lost> {
        let response = fields
            .iter()
            .fold(Response::builder().status(status), |head, (name, value)| head.header(*name, *value));
        judged(&response.body(()).unwrap())
    }

    #[test]
    fn only_a_message_is_an_answer_and_it_may_be_some_seconds_old() {
        let of_type = ("content-type", "Application/DNS-Message; x=y");
        assert_eq!(head(200, &[of_type]), Ok(0));
        assert_eq!(head(200, &[of_type, ("age", "17")]), Ok(17));
        assert_eq!(head(200, &[of_type, ("age", "soon")]), Ok(0));
        assert_eq!(head(404, &[of_type]), Err(Lost::Unfit("it answers by HTTP 404".into())));
        assert!(head(200, &[("content-type", "text/html")]).is_err());
        assert!(head(200, &[]).is_err());
    }
}
