//! Our own answers: errors, redirects and fixed responses.

use crate::core::Core;
use crate::error::Refusal;
use crate::forwarding::RequestIds;
use crate::protocol::{write_length, write_status_line};
use crate::sites::Edits;

/// The standard reason phrase, or none for a status that has none here.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "",
    }
}

/// A response of ours, without its body.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Empty where there is none.
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    /// Of the whole body; `None` where it is not known before its end.
    pub(crate) length: Option<u64>,
    /// More header lines, each with its CRLF.
    pub(crate) lines: &'a [u8],
    /// The route's edits, which come last.
    pub(crate) edits: Option<&'a Edits>,
    /// The request was HEAD: the head is the same, and no body follows.
    pub(crate) head_only: bool,
    /// `Connection: close`, or what HTTP/1.0 needs to keep it.
    pub(crate) connection: Option<&'static str>,
}

impl Answer<'_> {
    /// Appends the head. `extra` are lines that any answer to this request gets.
    pub(crate) fn write_head(&self, core: &Core, ids: &RequestIds, extra: &[u8], out: &mut Vec<u8>) {
        write_status_line(out, self.status, reason(self.status).as_bytes());
        let added = out.len();
        core.write_date_line(out);
        // RFC 9110 §8.6: a 204 has no Content-Length.
        if self.status != 204 {
            if !self.content_type.is_empty() {
                out.extend_from_slice(b"Content-Type: ");
                out.extend_from_slice(self.content_type.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            if let (Some(length), false) = (self.length, self.status == 304) {
                write_length(out, length);
            }
        }
        ids.write_request_id(out);
        out.extend_from_slice(self.lines);
        out.extend_from_slice(extra);
        if let Some(edits) = self.edits {
            edits.apply_to_added(out, added);
        }
        if let Some(connection) = self.connection {
            out.extend_from_slice(b"Connection: ");
            out.extend_from_slice(connection.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The body that follows the head.
    pub(crate) fn sent_body(&self) -> &[u8] {
        if self.head_only || self.status == 204 || self.status == 304 { b"" } else { self.body }
    }
}

/// An error page: what the status is and which request it was, and nothing about who stands behind.
pub(crate) struct ErrorPage {
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) lines: Vec<u8>,
}

impl ErrorPage {
    pub(crate) fn new(refusal: &Refusal, ids: &RequestIds, accept: Option<&[u8]>) -> Self {
        let status = refusal.status();
        let reason = reason(status);
        let id = String::from_utf8_lossy(&ids.request_id);
        // A head's fault is the client's own, and told, and so is a signature's; a backend's is not for the client to know.
        let detail = match refusal {
            Refusal::Unsigned(_) | Refusal::Head(_) | Refusal::Body(_) | Refusal::Dns(..) => {
                refusal.to_string()
            }
            _ => String::new(),
        };
        let (content_type, body) = if prefers_json(accept) {
            let detail = if detail.is_empty() { detail } else { format!(",\"detail\":\"{detail}\"") };
            let body = format!(
                "{{\"type\":\"about:blank\",\"title\":\"{reason}\",\"status\":{status}{detail},\"request_id\":\"{id}\"}}\n"
            );
            ("application/problem+json", body)
        } else {
            let detail = if detail.is_empty() { detail } else { format!("<p>{detail}</p>\n") };
            let body = format!(
                "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{status} {reason}</title>\n\
                 <h1>{status} {reason}</h1>\n{detail}<p>Request {id}</p>\n</html>\n"
            );
            ("text/html; charset=utf-8", body)
        };
        let mut lines = b"Cache-Control: no-store\r\n".to_vec();
        if let Some(secs) = refusal.retry_after_secs() {
            lines.extend_from_slice(format!("Retry-After: {secs}\r\n").as_bytes());
        }
        if *refusal == Refusal::Method {
            lines.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
        }
        Self { content_type, body: body.into_bytes(), lines }
    }
}

/// Whether an `Accept` names a JSON type and not HTML, which is how programs differ from browsers.
fn prefers_json(accept: Option<&[u8]>) -> bool {
    let Some(accept) = accept else { return false };
    let names =
        |needle: &[u8]| accept.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle));
    (names(b"application/json") || names(b"+json")) && !names(b"text/html")
}

/// The target of a redirect, with `{host}`, `{path}` and `{query}` filled in. The request's own parts hold
/// no control bytes: a head that has any is refused.
pub(crate) fn redirect_target(template: &str, host: &[u8], path: &[u8], query: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.extend_from_slice(&rest.as_bytes()[..open]);
        rest = &rest[open..];
        let known = [("{host}", host), ("{path}", path), ("{query}", query)];
        match known.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                out.extend_from_slice(value);
                rest = &rest[name.len()..];
            }
            None => {
                out.push(b'{');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    // `//evil.test/` as a path is no harm; as a target it is another host, and browsers read `\` as `/`.
    if out.get(start) == Some(&b'/') && !template.starts_with("//") {
        let slashes = out[start..].iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
        out.drain(start + 1..start + slashes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_keeps_what_its_target_names() {
        let target = |template: &str| {
            let mut out = Vec::new();
            redirect_target(template, b"shop.test", b"/a/b", b"?x=1", &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(target("https://{host}{path}{query}"), "https://shop.test/a/b?x=1");
        assert_eq!(target("/new"), "/new");
        assert_eq!(target("/{odd}{path"), "/{odd}{path");
    }

    #[test]
    fn a_path_cannot_make_a_redirect_leave_its_host() {
        for path in ["//evil.test/", "/\\evil.test/", "///\\/evil.test/"] {
            let mut out = b"Location: ".to_vec();
            redirect_target("{path}index.html", b"shop.test", path.as_bytes(), b"", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), "Location: /evil.test/index.html");
        }
    }

    #[test]
    fn programs_hear_json_and_browsers_html() {
        assert!(prefers_json(Some(b"application/json")));
        assert!(prefers_json(Some(b"application/problem+json, */*;q=0.1")));
        assert!(!prefers_json(Some(b"text/html,application/xhtml+xml,application/json;q=0.9")));
        assert!(!prefers_json(Some(b"*/*")));
        assert!(!prefers_json(None));
    }

    #[test]
    fn an_error_page_names_the_request_but_no_endpoint() {
        let ids = RequestIds { request_id: b"abc".to_vec(), ..RequestIds::default() };
        let refusal = Refusal::NoEndpoint("pool web: no healthy endpoint (10.0.0.1:80 ejected)".into());
        for accept in [None, Some(&b"application/json"[..])] {
            let page = ErrorPage::new(&refusal, &ids, accept);
            let body = String::from_utf8(page.body).unwrap();
            assert!(body.contains("503") && body.contains("abc"), "{body}");
            assert!(!body.contains("10.0.0.1") && !body.contains("web"), "{body}");
            assert!(String::from_utf8(page.lines).unwrap().contains("Retry-After: 1\r\n"));
        }
    }
}
