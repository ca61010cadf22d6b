//! The request target (RFC 9112 §3.2) and the host (RFC 9110 §7.2).

use super::head::BadHead;
use std::borrow::Cow;

/// The parts of a request target, as slices of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetForm<'a> {
    /// The authority of an absolute-form target.
    pub authority: Option<&'a [u8]>,
    /// The path: starts with `/`, or is `*`. Empty where an absolute-form target has none, which means `/`.
    pub path: &'a [u8],
    /// The query with its `?`, or empty.
    pub query: &'a [u8],
}

impl<'a> TargetForm<'a> {
    /// Takes a target apart. `is_options` allows the asterisk form.
    pub fn parse(target: &'a [u8], is_options: bool) -> Result<Self, BadHead> {
        if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
            return Err(BadHead::TargetCharacter);
        }
        if target.first() == Some(&b'/') {
            let (path, query) = split_query(target);
            return whole_escapes(Self { authority: None, path, query });
        }
        if target == b"*" && is_options {
            return Ok(Self { authority: None, path: target, query: &target[1..] });
        }
        // RFC 9112 §3.2.2: a server must accept the absolute form even though only proxies are sent it.
        let rest = strip_prefix_ignore_case(target, b"http://")
            .or_else(|| strip_prefix_ignore_case(target, b"https://"))
            .ok_or(BadHead::TargetForm)?;
        let authority_len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_len);
        let (path, query) = split_query(rest);
        whole_escapes(Self { authority: Some(authority), path, query })
    }
}

/// RFC 3986 §2.1: a `%` begins an escape. What a path with half an escape means is anyone's guess. (Queries
/// are left to those who read them.)
fn whole_escapes(target: TargetForm<'_>) -> Result<TargetForm<'_>, BadHead> {
    let is_whole = |at: usize| unescaped(&target.path[at..]).is_some();
    if memchr::memchr_iter(b'%', target.path).all(is_whole) {
        Ok(target)
    } else {
        Err(BadHead::TargetCharacter)
    }
}

/// The byte that an escape at the start of `text` stands for.
fn unescaped(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    if text.first() != Some(&b'%') {
        return None;
    }
    Some((digit(1)? << 4 | digit(2)?) as u8)
}

fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()))
}

fn strip_prefix_ignore_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether this is `uri-host [":" port]` (RFC 3986 §3.2.2) with a host that is not empty, and no userinfo.
pub fn is_valid_host(authority: &[u8]) -> bool {
    let (host, port) = split_port(authority);
    let port_is_valid = port.is_none_or(is_port);
    let host_is_valid = match host {
        [b'[', address @ .., b']'] => {
            std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
        }
        // reg-name: unreserved, percent-encoded and sub-delims. An IPv4 address is written with these as well.
        _ => !host.is_empty() && host.len() <= 255 && host.iter().all(|byte| REG_NAME[*byte as usize]),
    };
    port_is_valid && host_is_valid
}

/// RFC 3986 §3.2.3: digits, possibly none; and no port is above 65535.
fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0u32, |number, digit| {
        let number = number * 10 + char::from(*digit).to_digit(10)?;
        (number <= 65_535).then_some(number)
    });
    number.is_some()
}

const REG_NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        allowed[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=%";
    let mut at = 0;
    while at < others.len() {
        allowed[others[at] as usize] = true;
        at += 1;
    }
    allowed
};

/// The host without its port; an IPv6 address keeps its brackets.
pub fn host_without_port(authority: &[u8]) -> &[u8] {
    split_port(authority).0
}

fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    // The colons of an IPv6 address stand before its bracket.
    let from = memchr::memrchr(b']', authority).map_or(0, |bracket| bracket + 1);
    match memchr::memchr(b':', &authority[from..]) {
        Some(colon) => (&authority[..from + colon], Some(&authority[from + colon + 1..])),
        None => (authority, None),
    }
}

/// The path in the form that routes are looked up by and that is passed on, so that a route and the backend
/// mean the same thing by it: escapes that need not be are undone (RFC 3986 §6.2.2.2), dot segments are removed
/// (§5.2.4). `/img/../%61dmin` is `/admin` to both; `%2F` stays as it is. Borrowed when there is nothing to do,
/// which is nearly always.
pub fn normalized_path(path: &[u8]) -> Cow<'_, [u8]> {
    if path.first() != Some(&b'/') {
        return Cow::Borrowed(path);
    }
    let unescaped = match memchr::memchr(b'%', path) {
        Some(_) => Cow::Owned(without_needless_escapes(path)),
        None => Cow::Borrowed(path),
    };
    match memchr::memmem::find(&unescaped, b"/.") {
        Some(_) => Cow::Owned(without_dot_segments(&unescaped)),
        None => unescaped,
    }
}

/// What means the same in a path, escaped or not: the unreserved characters (RFC 3986 §6.2.2.2), and those that no
/// server takes for a delimiter there. `;` is one to many, as `/` is to all.
const NEEDLESSLY_ESCAPED: &[u8] = b"-._~:@!$&'()*+,=";

fn without_needless_escapes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match unescaped(&path[at..]) {
            Some(byte) if byte.is_ascii_alphanumeric() || NEEDLESSLY_ESCAPED.contains(&byte) => {
                out.push(byte);
                at += 3;
            }
            // RFC 3986 §6.2.2.1: the digits of an escape are the same in either case.
            Some(_) => {
                out.extend(path[at..at + 3].iter().map(u8::to_ascii_uppercase));
                at += 3;
            }
            _ => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out
}

fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path[1..].split(|byte| *byte == b'/') {
        ends_in_slash = false;
        match segment {
            b"." => ends_in_slash = true,
            b".." => {
                segments.pop();
                ends_in_slash = true;
            }
            _ => segments.push(segment),
        }
    }
    let mut normal = Vec::with_capacity(path.len());
    for segment in &segments {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    if ends_in_slash || segments.is_empty() {
        normal.push(b'/');
    }
    normal
}
