//! Heads and trailers between frames and lines.

use crate::protocol::{BadHead, write_status_line};
use http::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use http::{Method, Request, Response, StatusCode, Uri, request};
use std::borrow::Cow;

/// Writes a request's head as lines. A wish for another protocol (RFC 8441, RFC 9220) becomes the upgrade that
/// HTTP/1.1 knows.
pub(crate) fn write_request(
    parts: &request::Parts,
    protocol: Option<&str>,
    key: &str,
    out: &mut Vec<u8>,
) -> Result<(), BadHead> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    match protocol {
        Some(_) => out.extend_from_slice(b"GET"),
        None => out.extend_from_slice(parts.method.as_str().as_bytes()),
    }
    out.push(b' ');
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    match (target, authority) {
        ("", Some(authority)) if parts.method == Method::CONNECT => {
            out.extend_from_slice(authority.as_bytes());
        }
        ("", _) => out.push(b'/'),
        (target, _) => out.extend_from_slice(target.as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // RFC 9113 §8.3.1: the authority stands for the Host, and the two must not differ.
    if let Some(authority) = authority {
        let mut hosts = parts.headers.get_all(HOST).iter();
        if hosts.any(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
            return Err(BadHead::HostContradicts);
        }
        write_line(out, "host", authority.as_bytes());
    }
    for (name, value) in &parts.headers {
        // RFC 9113 §8.2.1: blanks around a value are no part of lines, and malformed in frames.
        if value.as_bytes().trim_ascii().len() != value.len() {
            return Err(BadHead::FieldValue);
        }
        // RFC 9113 §8.2.2, RFC 9114 §4.2.
        if is_of_http1(name) || (name == TE && value != "trailers") {
            return Err(BadHead::FieldName);
        }
        if name != COOKIE && !(name == HOST && authority.is_some()) {
            write_line(out, name.as_str(), value.as_bytes());
        }
    }
    write_cookies(&parts.headers, out);
    if let Some(protocol) = protocol {
        write_line(out, "connection", b"upgrade");
        write_line(out, "upgrade", protocol.as_bytes());
        write_line(out, "sec-websocket-key", key.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// RFC 9113 §8.2.3: cookies that were sent apart are one field again.
fn write_cookies(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (index, cookie) in headers.get_all(COOKIE).iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"cookie: " } else { b"; " });
        out.extend_from_slice(cookie.as_bytes());
    }
    if headers.contains_key(COOKIE) {
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes a response's head as lines.
pub(crate) fn write_response(response: &Response<()>, out: &mut Vec<u8>) {
    write_status_line(out, response.status().as_u16(), b"");
    write_fields(response.headers(), out);
    out.extend_from_slice(b"\r\n");
}

/// Writes header or trailer fields as lines.
pub(crate) fn write_fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        write_line(out, name.as_str(), value.as_bytes());
    }
}

fn write_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A response's head from its lines, which are our own. `None` would be a status or a field that no frame can carry.
pub(crate) fn response(lines: &[u8]) -> Option<Response<()>> {
    let (status_line, fields) = lines.split_at(first_line_end(lines));
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_bytes(status_line.get(9..12)?).ok()?;
    *response.headers_mut() = self::fields(fields)?;
    Some(response)
}

/// A request's head from its lines, which are our own.
pub(crate) fn request(lines: &[u8], scheme: &str) -> Option<Request<()>> {
    let (request_line, fields) = lines.split_at(first_line_end(lines));
    let mut words = request_line.split(|byte| *byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = self::fields(fields)?;
    let host = headers.remove(HOST)?;
    let target = escaped(target);
    let uri =
        Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(&target[..]).build().ok()?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    Some(request)
}

/// What lines may carry in a target and frames may not is escaped (RFC 3986 §2.1): it means the same.
fn escaped(target: &[u8]) -> Cow<'_, [u8]> {
    let is_odd = |byte: &u8| b"\"<>\\^`{|}".contains(byte);
    if !target.iter().any(is_odd) {
        return Cow::Borrowed(target);
    }
    let mut escaped = Vec::with_capacity(target.len() + 8);
    for byte in target {
        if is_odd(byte) {
            escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            escaped.push(*byte);
        }
    }
    Cow::Owned(escaped)
}

fn first_line_end(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1)
}

/// Fields from their lines. What belongs to a hop of HTTP/1.1 has no place in frames (RFC 9113 §8.2.2).
pub(crate) fn fields(lines: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(16);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        if is_of_http1(&name) || (name == TE && line[colon + 1..].trim_ascii() != b"trailers") {
            continue;
        }
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        fields.append(name, value);
    }
    Some(fields)
}

fn is_of_http1(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "sec-websocket-accept"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(request: Request<()>) -> Result<String, BadHead> {
        let mut out = Vec::new();
        write_request(&request.into_parts().0, None, "", &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_authority_is_the_host_and_may_not_contradict_one() {
        let request = |host: &str| {
            Request::get("https://shop.test:8443/a?b=c")
                .header("host", host)
                .header("x-a", "1")
                .body(())
                .unwrap()
        };
        let lines = lines_of(request("SHOP.test:8443")).unwrap();
        assert_eq!(lines, "GET /a?b=c HTTP/1.1\r\nhost: shop.test:8443\r\nx-a: 1\r\n\r\n");
        assert_eq!(lines_of(request("evil.test")), Err(BadHead::HostContradicts));
    }

    #[test]
    fn cookies_that_came_apart_are_one_field() {
        let request =
            Request::get("http://a/").header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
        assert!(lines_of(request).unwrap().ends_with("cookie: a=1; b=2\r\n\r\n"));
    }

    #[test]
    fn what_belongs_to_a_hop_of_http1_is_left_out_of_frames() {
        let lines =
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nX-A: 2\r\n\r\n";
        let response = response(lines).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().len(), 2);
        assert_eq!(response.headers().get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn what_frames_cannot_carry_in_a_target_is_escaped_and_a_host_that_is_none_is_no_request() {
        let request = |target: &str, host: &str| {
            request(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), "http")
        };
        let uri = request("/a?q=<b>&`\"{|}^\\", "a").unwrap().uri().to_string();
        assert_eq!(uri, "http://a/a?q=%3Cb%3E&%60%22%7B%7C%7D%5E%5C");
        assert!(request("/", "a%41").is_none());
    }

    #[test]
    fn a_request_takes_its_authority_from_the_host() {
        let lines = b"POST /a?b HTTP/1.1\r\nHost: shop.test:81\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
        let request = request(lines, "http").unwrap();
        assert_eq!(request.uri(), "http://shop.test:81/a?b");
        assert_eq!((request.method().as_str(), request.headers().len()), ("POST", 1));
    }
}
