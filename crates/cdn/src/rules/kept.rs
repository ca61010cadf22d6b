//! Which lines of a response are stored, and which of those are sent (RFC 9111 §3.1).

use super::came::Came;
use super::lines::{Lines, members, write_line};
use super::policy::{Policy, SetCookie};
use super::stored::Stored;
use super::tags;

/// What most heads fit into.
const HEAD_BYTES: usize = 1024;

/// The lines of a response in two parts.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What is sent with it.
    pub(crate) lines: Vec<u8>,
    /// What is for this cache alone.
    pub(crate) unsent: Vec<u8>,
}

impl Kept {
    /// Parts the lines of a response; those of its connection, and those it says not to store, are in neither part.
    pub(crate) fn of<'a>(
        came: &Came<'_>,
        lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        policy: &Policy,
    ) -> Self {
        let mut kept = Self { lines: Vec::with_capacity(HEAD_BYTES), unsent: Vec::new() };
        let is_stripped = |name: &[u8]| {
            is_of_connection(name)
                || (came.status == 206
                    && (name.eq_ignore_ascii_case(b"content-range") || is_of_content(name)))
                || (policy.set_cookie == SetCookie::Strip && is_cookie(name))
                || is_listed(&came.connection, name)
                || is_listed(&came.control.unstored, name)
        };
        for (name, value) in lines.filter(|(name, _)| !is_stripped(name)) {
            let is_unsent = !policy.is_control_passed && is_for_caches(name);
            write_line(if is_unsent { &mut kept.unsent } else { &mut kept.lines }, name, value);
        }
        kept
    }
}

/// Whether a line of a response is for caches alone: targeted fields and tags. Clients do not get them, unless these are caches
/// themselves ([`Policy::is_control_passed`]); of a response that is not stored the edge leaves them out as well.
pub fn is_for_caches(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"surrogate-control")
        || name.eq_ignore_ascii_case(b"cdn-cache-control")
        || name.eq_ignore_ascii_case(crate::nodes::ANSWERED.as_bytes())
        || tags::is_tag_field(name)
}

/// Whether a response is not understood without these trailers: gRPC says there how it went. Others are dropped where it is kept, as they
/// may be (RFC 9111 §3, RFC 9110 §6.5.1).
pub fn tells_outcome<'a>(trailers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
    trailers.into_iter().any(|(name, _)| name.eq_ignore_ascii_case(b"grpc-status"))
}

fn is_cookie(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"set-cookie") || name.eq_ignore_ascii_case(b"set-cookie2")
}

/// What belongs to one connection (RFC 9110 §7.6.1), to the proxy it came from (RFC 9111 §3.1), or is made anew with each response: its
/// length and its age. What caches on the way said of it is kept, and this one adds to it (RFC 9211 §2).
fn is_of_connection(name: &[u8]) -> bool {
    const FIELDS: [&str; 12] = [
        "age",
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// Whether a field is a digest of the content of one message (RFC 9530 §2): true of no other bytes.
pub fn is_of_content(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-digest") || name.eq_ignore_ascii_case(b"content-md5")
}

fn is_listed(lists: &[&[u8]], name: &[u8]) -> bool {
    lists.iter().flat_map(|list| members(list)).any(|listed| listed.eq_ignore_ascii_case(name))
}

/// What a 304 or a HEAD does not change (RFC 9111 §3.2): fields that are of the body that is stored. Its tag is the one that was asked
/// about: servers are known to name another one in 304, with or without a suffix for the coding.
fn is_of_body(name: &[u8]) -> bool {
    const FIELDS: [&str; 8] = [
        "content-encoding",
        "content-length",
        "content-md5",
        "content-digest",
        "content-range",
        "digest",
        "etag",
        "repr-digest",
    ];
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// All lines of a stored response after an update by these: each field that the update has replaces the stored ones of its name. Its
/// `Date` goes in any case: it told of the time before (RFC 9110 §6.6.1).
pub(crate) fn merged<'a>(
    stored: &Stored,
    update: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Vec<u8> {
    let replaces = |name: &[u8]| !is_of_connection(name) && !is_of_body(name);
    let mut lines = Vec::with_capacity(stored.lines.len() + stored.unsent.len());
    for (name, value) in Lines::of(&stored.lines).chain(Lines::of(&stored.unsent)) {
        let is_replaced = name.eq_ignore_ascii_case(b"date")
            || (replaces(name) && update.clone().any(|(new, _)| new.eq_ignore_ascii_case(name)));
        if !is_replaced {
            write_line(&mut lines, name, value);
        }
    }
    for (name, value) in update.filter(|(name, _)| replaces(name)) {
        write_line(&mut lines, name, value);
    }
    lines
}
