//! `grpc.health.v1.Health/Check` (the gRPC health checking protocol) over HTTP/2.
//! Its two messages have one field each, so that their protobuf is written here by hand.

use super::judge::Found;
use super::{BODY_MAX, Stream, Target, http2};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request, Response};

/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;

/// What the check does, in a few words.
pub(super) fn what(service: &str) -> String {
    if service.is_empty() { "Health/Check".into() } else { format!("Health/Check of {service}") }
}

pub(super) async fn check(target: &Target<'_>, service: &str, stream: Stream) -> Found {
    let fails = |error: &dyn std::fmt::Display| format!("{}: {error}", what(service));
    let uri = format!("{}://{}/grpc.health.v1.Health/Check", target.scheme(), target.authority());
    let request = Request::post(uri)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, "nines-health")
        .body(Full::new(Bytes::from(frame(&request_message(service)))))
        .map_err(|error| fails(&error))?;
    http2::ask(request, stream, fails, |response| judge(service, response)).await
}

async fn judge(service: &str, response: Response<hyper::body::Incoming>) -> Found {
    let what = what(service);
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("{what} answered HTTP status {status}"));
    }
    // An answer without a message carries its status in the head ("Trailers-Only").
    refuse_failed(&what, response.headers())?;
    let (mut body, mut message) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("{what}: its answer broke off: {error}"))?;
        match frame.into_data() {
            Ok(data) if message.len() + data.len() > BODY_MAX => {
                return Err(format!("{what}: its answer is longer than {BODY_MAX} bytes"));
            }
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => refuse_failed(&what, frame.trailers_ref().unwrap_or(&HeaderMap::new()))?,
        }
    }
    match serving_status(&message) {
        Some(SERVING) => Ok(format!("{what} answered SERVING")),
        Some(0) => Err(format!("{what} answered UNKNOWN")),
        Some(2) => Err(format!("{what} answered NOT_SERVING")),
        Some(3) => Err(format!("{what} answered SERVICE_UNKNOWN")),
        Some(other) => Err(format!("{what} answered status {other}")),
        None => Err(format!("{what} answered with a malformed message")),
    }
}

/// `grpc-status` is 0 when the call succeeded.
fn refuse_failed(what: &str, headers: &HeaderMap) -> Result<(), String> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    match text("grpc-status") {
        None => Ok(()),
        Some(status) if status == "0" => Ok(()),
        Some(status) => {
            let message = text("grpc-message").map_or(String::new(), |message| format!(": {message}"));
            Err(format!("{what} failed with gRPC status {status}{message}"))
        }
    }
}

/// `HealthCheckRequest { string service = 1; }`, an empty string being left out.
fn request_message(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    message
}

/// A message with its prefix: not compressed, four bytes of length.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a service's name is shorter than 4 GiB");
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

/// The `status` of a framed `HealthCheckResponse { ServingStatus status = 1; }`; an absent field is 0.
fn serving_status(framed: &[u8]) -> Option<u64> {
    let (prefix, mut message) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    if prefix[0] != 0 || message.len() != length as usize {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_protobuf_in_a_frame() {
        assert_eq!(frame(&request_message("")), [0, 0, 0, 0, 0]);
        assert_eq!(frame(&request_message("shop")), b"\0\0\0\0\x06\x0a\x04shop");
        assert_eq!(request_message(&"x".repeat(300))[..3], [0x0a, 0xac, 0x02]);
    }

    #[test]
    fn a_status_is_found_among_unknown_fields_and_a_broken_message_is_none() {
        assert_eq!(serving_status(&frame(b"\x08\x01")), Some(1));
        assert_eq!(serving_status(&frame(b"")), Some(0));
        assert_eq!(serving_status(&frame(b"\x12\x02hi\x08\x02")), Some(2));
        for broken in [
            &b""[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x02\x08",
            b"\x01\0\0\0\x02\x08\x01",
            b"\0\0\0\0\x01\x08",
            b"\0\0\0\0\x02\x0b\x01",
        ] {
            assert_eq!(serving_status(broken), None, "{broken:?}");
        }
        assert_eq!(serving_status(&frame(&[&[0x08], [0xff; 11].as_slice()].concat())), None);
    }
}
