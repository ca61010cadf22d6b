//! DNS over HTTP (RFC 8484): a message comes in a URL or a body, and goes to whoever answers it.

use crate::answer::Answer;
use crate::core::{Core, Snapshot, Work};
use crate::error::Refusal;
use crate::exchange::Ended;
use crate::io::read;
use crate::protocol::{BadBody, Body, Method};
use crate::reply::{connection_option, discard_body, send_answer};
use crate::request::{Client, Report};
use crate::sites::{Route, Site};
use crate::wire::{Coding, Part, Source};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

/// A message of DNS has a length of 16 bits.
const MESSAGE_BYTES_MAX: usize = 65_535;
/// Room for a piece of a body.
const READ_BYTES: usize = 16 << 10;
/// RFC 8484 §6.
const MEDIA_TYPE: &str = "application/dns-message";
/// RFC 8484 §4.1: without padding; some send it all the same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who answers queries of DNS that come over HTTP.
pub trait DnsAnswers: Send + Sync {
    /// Answers a message. It is asked and awaited on a core, in a task that stays there.
    fn answer<'a>(
        &'a self,
        client: SocketAddr,
        message: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = DnsAnswered> + 'a>>;
}

/// What became of a message of DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsAnswered {
    /// This is the answer.
    Message {
        /// It in wire form.
        message: Vec<u8>,
        /// How long it may be kept, in seconds: the smallest TTL in it. `None` where it has none.
        max_age: Option<u32>,
        /// Another client may be answered otherwise.
        is_private: bool,
    },
    /// It was no query.
    NotAQuery,
    /// Nobody answers at the moment.
    Nobody,
}

/// Answers a request for a route of DNS.
pub(crate) async fn answer_dns(
    core: &Rc<Core>,
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    (site, route): (&Site, &Route),
    report: &mut Report,
) -> Ended {
    let message = match message(snapshot, client, work, site).await {
        Ok(message) => message,
        Err(refusal) => return Ended::Refused(refusal),
    };
    let Some(answers) = &snapshot.dns else { return Ended::Refused(Refusal::Busy("no DNS".into())) };
    let from = source_of(client, work.client);
    let (message, max_age, is_private) = match answers.answer(from, &message).await {
        DnsAnswered::Message { message, max_age, is_private } => (message, max_age, is_private),
        DnsAnswered::NotAQuery => return refused(400, "no query of DNS"),
        DnsAnswered::Nobody => return Ended::Refused(Refusal::Busy("no DNS".into())),
    };
    let after = discard_body(work, core);
    // RFC 8484 §5.1: no longer than the shortest-lived record of it.
    let lines = match (max_age, is_private) {
        (Some(seconds), true) => format!("Cache-Control: private, max-age={seconds}\r\n"),
        (Some(seconds), false) => format!("Cache-Control: max-age={seconds}\r\n"),
        (None, _) => "Cache-Control: no-store\r\n".to_owned(),
    };
    report.status = 200;
    let answer = Answer {
        status: 200,
        content_type: MEDIA_TYPE,
        body: &message,
        length: Some(message.len() as u64),
        lines: lines.as_bytes(),
        edits: Some(&route.response_edits),
        head_only: work.request.method == Method::Head,
        connection: connection_option(after, work.request.version),
    };
    Ended::Answered(send_answer(core, client, work, snapshot, &answer, after, report).await)
}

fn refused(status: u16, cause: &'static str) -> Ended {
    Ended::Refused(Refusal::Dns(status, cause))
}

/// Whom it is answered for; a client that a proxy names has no port that is known.
fn source_of(client: &Client, address: IpAddr) -> SocketAddr {
    let source = client.peer.source;
    if source.ip() == address { source } else { SocketAddr::new(address, 0) }
}

/// The message within a request (RFC 8484 §4.1).
async fn message(
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    site: &Site,
) -> Result<Vec<u8>, Refusal> {
    match work.request.method {
        Method::Get | Method::Head => of_query(work.request.query.of_head(work.down.held())),
        Method::Post => {
            let is_message = work
                .request
                .value_of(work.down.held(), b"content-type")
                .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()));
            if !is_message {
                return Err(Refusal::Dns(415, "a body that is no message of DNS"));
            }
            let bytes_max = site.body_bytes_max.min(MESSAGE_BYTES_MAX as u64) as usize;
            let mut body = std::mem::replace(&mut work.request.body, Body::none());
            let message = whole_body(snapshot, client, work, &mut body, bytes_max).await;
            if message.is_err() {
                // What is left of it is not the next request.
                work.request.body = body;
            }
            message
        }
        _ => {
            work.extra.extend_from_slice(b"Allow: GET, HEAD, POST\r\n");
            Err(Refusal::Dns(405, "DNS is asked by GET or POST"))
        }
    }
}

/// The value of `dns` in a query, which begins with `?` if there is one.
fn of_query(query: &[u8]) -> Result<Vec<u8>, Refusal> {
    let pairs = query.strip_prefix(b"?").unwrap_or_default().split(|byte| *byte == b'&');
    let value = pairs.filter_map(|pair| pair.strip_prefix(b"dns=")).next();
    let value = value.ok_or(Refusal::Dns(400, "no query of DNS"))?;
    match BASE64URL.decode(value) {
        Ok(message) if message.len() > MESSAGE_BYTES_MAX => {
            Err(Refusal::Dns(413, "more than a message of DNS"))
        }
        Ok(message) => Ok(message),
        Err(_) => Err(Refusal::Dns(400, "a query of DNS that is no base64url")),
    }
}

/// Reads a body to its end.
async fn whole_body(
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    body: &mut Body,
    bytes_max: usize,
) -> Result<Vec<u8>, Refusal> {
    if body.bytes_left().is_some_and(|left| left > bytes_max as u64) {
        return Err(Refusal::BodyTooLarge);
    }
    let idle = snapshot.config.timeout.body_idle.get();
    let mut message = Vec::new();
    loop {
        let (bytes, from) = work.down.filled_in_place();
        let decoded = body.decode(bytes, from)?;
        message.extend_from_slice(work.down.at(decoded.data));
        work.down.consume_to(decoded.consumed);
        if message.len() > bytes_max {
            return Err(Refusal::BodyTooLarge);
        }
        if body.is_finished() {
            return Ok(message);
        }
        if std::mem::take(&mut work.request.expects_continue) {
            let part = Part { head: b"HTTP/1.1 100 Continue\r\n\r\n", data: b"", end: None };
            let (_, mut sink) = client.wire.split();
            let asked = sink.write(part, Coding::Identity, &mut work.timer, idle).await;
            asked.map_err(|_| Refusal::ClientTimeout)?;
        }
        if work.down.spare().is_empty() {
            work.down.grow(work.down.held().len() + READ_BYTES);
        }
        if work.down.spare().is_empty() {
            // Frames of what has come: no chunk's line is this long.
            return Err(Refusal::BodyTooLarge);
        }
        work.timer.set(Instant::now() + idle);
        let (mut source, _) = client.wire.split();
        match read(&mut source, &mut work.down, &mut work.timer).await {
            Ok(0) if matches!(source, Source::Frames(_)) => body.end_of_connection()?,
            Ok(0) => return Err(Refusal::Body(BadBody::Incomplete)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Refusal::ClientTimeout),
            Err(_) => return Err(Refusal::Body(BadBody::Incomplete)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_in_a_query() {
        let found = |query: &str| of_query(query.as_bytes()).map_err(|refusal| refusal.status());
        assert_eq!(found("?dns=AAAB"), Ok(vec![0, 0, 1]));
        assert_eq!(found("?ct&dns=_-8&x=1"), Ok(vec![255, 239]));
        assert_eq!(found("?dns=_-8="), Ok(vec![255, 239]), "padding is not wanted, but meant well");
        assert_eq!(found("?dns="), Ok(vec![]));
        for none in ["", "?", "?dn=AAAB", "?xdns=AAAB", "?dns=a+b", "?dns=%41AAB", "?dns=A"] {
            assert_eq!(found(none), Err(400), "{none}");
        }
        assert_eq!(found(&format!("?dns={}", "A".repeat(87_384))), Err(413));
    }
}
