//! Answers without a file: refusals, redirects, listings.

use crate::answer::{Answer, Body, Representation};
use crate::folder::Failure;
use crate::listing::{ENTRIES_MAX, Listing, prefers_json};
use crate::path::FilePath;
use crate::request::{Method, Request};
use crate::types::MediaType;

/// What may be asked of a file.
const ALLOW: &[u8] = b"GET, HEAD, OPTIONS";

/// What may be asked, as the answer to OPTIONS or to anything else.
pub(crate) fn allow(status: u16) -> Answer {
    let mut answer = Answer::new(status);
    answer.line("Allow", ALLOW);
    answer
}

/// 403 and not 404 for what the file system forbids: who runs the site looks for the mistake in the right place.
pub(crate) fn refusal(failure: Failure) -> Answer {
    let (status, fault) = match failure {
        Failure::Forbidden => (403, None),
        Failure::Missing | Failure::Cold => (404, None),
        Failure::Busy(error) => (503, Some(error)),
        Failure::Disk(error) => (500, Some(error)),
    };
    let mut answer = Answer::new(status);
    if status == 503 {
        answer.line("Retry-After", b"1");
    }
    answer.fault = fault;
    answer
}

/// To the same path with a slash, which relative links of the folder's page need.
pub(crate) fn to_slash(request: &Request<'_>) -> Answer {
    // `//evil.test/` would be another host, and browsers read `\` as `/`.
    let start = request.url_path.iter().position(|byte| !matches!(byte, b'/' | b'\\'));
    let path = start.map_or(&b""[..], |start| &request.url_path[start..]);
    let slash = if path.is_empty() { "" } else { "/" };
    let mut target = b"/".to_vec();
    for byte in path.iter().chain(slash.as_bytes()).chain(request.query.iter()) {
        match byte {
            b'!'..=b'~' => target.push(*byte),
            byte => target.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    let mut answer = Answer::new(308);
    answer.line("Location", &target);
    answer.content_length = Some(0);
    answer
}

/// A folder's entries, as `Accept` wants them. There are no validators: a file that grows leaves no trace in the times
/// of its folder.
pub(crate) fn list(listing: &Listing, path: &FilePath, request: &Request<'_>) -> Answer {
    let (content_type, text) = if prefers_json(request.fields.accept.as_deref()) {
        ("application/json", listing.json())
    } else {
        ("text/html; charset=utf-8", listing.html(&request.url_path, path.name().is_empty()))
    };
    let mut answer = Answer::new(200);
    answer.line("Content-Type", content_type.as_bytes());
    answer.line("Vary", b"Accept");
    if listing.is_cut {
        answer.line("X-Listing-Entries-Max", ENTRIES_MAX.to_string().as_bytes());
    }
    answer.content_length = Some(text.len() as u64);
    answer.representation = Some(Representation {
        content_type: MediaType::known(content_type),
        coding: None,
        etag: None,
        is_vary_said: false,
    });
    if request.method == Method::Get {
        answer.body = Body::Bytes(text.into_bytes());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::io::ErrorKind;

    #[test]
    fn a_failure_is_told_to_the_client_by_its_status_and_to_the_log_by_its_cause() {
        for (failure, status, fault) in [
            (Failure::Missing, 404, None),
            (Failure::Forbidden, 403, None),
            (Failure::Busy(Errno::MFILE.into()), 503, Some("Too many open files")),
            (Failure::Disk(ErrorKind::Other.into()), 500, Some("other error")),
        ] {
            let answer = refusal(failure);
            assert_eq!(answer.status, status);
            let text = answer.fault.map(|fault| fault.to_string()).unwrap_or_default();
            assert!(text.contains(fault.unwrap_or_default()) && text.is_empty() == fault.is_none(), "{text}");
            assert_eq!(answer.lines == b"Retry-After: 1\r\n", status == 503);
        }
    }
}
