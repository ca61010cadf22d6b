//! What a request that changed something makes invalid (RFC 9111 §4.4).

use super::asked::Asked;
use super::came::Came;
use crate::key::Target;

/// A path and a query on the same origin as a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameOrigin {
    /// The path, without dot segments.
    pub path: Vec<u8>,
    /// The query with its `?`, or empty.
    pub query: Vec<u8>,
}

/// Which URLs a response to an unsafe request makes invalid: the request's own, and those of `Location` and `Content-Location` where they
/// are on the same origin. None where the request was safe or failed (§4.4: a non-error status is 2xx or 3xx).
pub fn invalidated(asked: &Asked<'_>, target: &Target<'_>, came: &Came<'_>) -> Vec<SameOrigin> {
    if !asked.method.is_unsafe() || !(200..400).contains(&came.status) {
        return Vec::new();
    }
    let own = SameOrigin { path: target.path.to_vec(), query: target.query.to_vec() };
    let mut urls = vec![own];
    for reference in [came.location, came.content_location].into_iter().flatten() {
        if let Some(url) = resolved(target, reference).filter(|url| !urls.contains(url)) {
            urls.push(url);
        }
    }
    urls
}

/// Whether `Content-Location` says that this is what GET would give (RFC 9110 §9.3.3).
pub(crate) fn is_own_location(asked: &Asked<'_>, came: &Came<'_>) -> bool {
    let (Some(target), Some(location)) = (&asked.target, came.content_location) else { return false };
    resolved(target, location).is_some_and(|url| url.path == target.path && url.query == target.query)
}

/// A reference as a URL of the same origin (RFC 3986 §5.2); `None` if it is of another one. A fragment is left out.
pub fn resolved(base: &Target<'_>, reference: &[u8]) -> Option<SameOrigin> {
    let reference = reference.split(|byte| *byte == b'#').next().unwrap_or_default();
    let rest = match scheme_len(reference) {
        Some(len) => {
            if !reference[..len].eq_ignore_ascii_case(base.scheme) {
                return None;
            }
            // Without an authority it is no URL of HTTP.
            let rest = &reference[len + 1..];
            rest.starts_with(b"//").then_some(rest)?
        }
        None => reference,
    };
    let rest = match rest.strip_prefix(b"//") {
        Some(rest) => {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            if !is_same_host(base, &rest[..end]) {
                return None;
            }
            if rest[end..].starts_with(b"/") { &rest[end..] } else { &[b"/", &rest[end..]].concat() }
        }
        None => rest,
    };
    Some(on_origin(base, rest))
}

fn on_origin(base: &Target<'_>, rest: &[u8]) -> SameOrigin {
    let question = rest.iter().position(|byte| *byte == b'?').unwrap_or(rest.len());
    let (path, query) = rest.split_at(question);
    if path.is_empty() {
        let query = if query.is_empty() { base.query } else { query };
        return SameOrigin { path: base.path.to_vec(), query: query.to_vec() };
    }
    let folder = match path.first() {
        Some(b'/') => &[],
        _ => {
            &base.path[..=base
                .path
                .iter()
                .rposition(|byte| *byte == b'/')
                .unwrap_or(0)
                .min(base.path.len().saturating_sub(1))]
        }
    };
    SameOrigin { path: without_dots(&[folder, path].concat()), query: query.to_vec() }
}

/// RFC 3986 §3.1: the length of the scheme, if the reference begins with one.
fn scheme_len(reference: &[u8]) -> Option<usize> {
    let colon = reference.iter().position(|byte| matches!(byte, b':' | b'/' | b'?'))?;
    let is_scheme = reference[colon] == b':'
        && reference[..colon].first().is_some_and(u8::is_ascii_alphabetic)
        && reference[..colon].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    is_scheme.then_some(colon)
}

fn is_same_host(base: &Target<'_>, host: &[u8]) -> bool {
    let port: &[u8] = if base.scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    let without = |host: &'_ [u8]| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    without(host) == without(base.host)
}

/// RFC 3986 §5.2.4, for a path that begins with a slash.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                if is_last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() { b"/".to_vec() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Lines, Method};
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    const BASE: Target<'_> = Target { scheme: b"https", host: b"Shop.test", path: b"/a/b", query: b"?q=1" };

    fn url(reference: &str) -> Option<String> {
        let url = resolved(&BASE, reference.as_bytes())?;
        Some(String::from_utf8([url.path, url.query].concat()).unwrap())
    }

    #[test]
    fn references_are_resolved_against_the_target() {
        for (reference, expected) in [
            ("", "/a/b?q=1"),
            ("#top", "/a/b?q=1"),
            ("?r", "/a/b?r"),
            ("c", "/a/c"),
            ("./c/.", "/a/c/"),
            ("../c?x=/../y", "/c?x=/../y"),
            ("../../..", "/"),
            ("/c/../d", "/d"),
            ("//shop.TEST/c", "/c"),
            ("https://shop.test:443/c?d#e", "/c?d"),
            ("https://shop.test?d", "/?d"),
            ("HTTPS://shop.test", "/"),
            ("c:d/e", ""),
            ("./c:d", "/a/c:d"),
            ("http://shop.test/c", ""),
            ("https://other.test/c", ""),
            ("https://shop.test:8443/c", ""),
            ("//other.test/c", ""),
            ("https:/c", ""),
            ("mailto:a@shop.test", ""),
        ] {
            assert_eq!(url(reference).unwrap_or_default(), expected, "{reference}");
        }
    }

    #[test]
    fn what_changed_something_makes_its_urls_invalid() {
        let of = |method: &str, status, lines: &str| {
            let asked = Asked { method: Method::of(method.as_bytes()), ..Asked::default() };
            let came = Came::of(status, Lines::of(lines.as_bytes()), UNIX_EPOCH);
            let urls = invalidated(&asked, &BASE, &came);
            urls.iter().map(|url| String::from_utf8_lossy(&url.path).into_owned()).collect::<Vec<_>>()
        };
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
            assert_eq!(
                of(method, 200, "Location: x\r\nContent-Location: /y\r\n"),
                ["/a/b", "/a/x", "/y"],
                "{method}"
            );
            assert_eq!(of(method, 303, "Location: https://other.test/\r\n"), ["/a/b"], "{method}");
            assert_eq!(of(method, 500, ""), [""; 0], "{method}");
            assert_eq!(of(method, 404, ""), [""; 0], "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert_eq!(of(method, 200, "Location: x\r\n"), [""; 0], "{method}");
        }
    }

    proptest! {
        #[test]
        fn any_reference_gives_a_path_from_the_root_on_without_dots(reference in "[a-z./?#:]{0,24}", path in "/[a-z./]{0,12}") {
            let base = Target { path: path.as_bytes(), ..BASE };
            if let Some(url) = resolved(&base, reference.as_bytes()) {
                prop_assert!(url.path.starts_with(b"/"));
                prop_assert!(url.path == path.as_bytes() || url.path.split(|byte| *byte == b'/').all(|segment| segment != b".."));
            }
        }
    }
}
