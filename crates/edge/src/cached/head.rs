//! The head of an answer that comes from the cache.

use crate::answer::reason;
use crate::compress;
use crate::forwarding::RequestIds;
use crate::protocol::{Version, write_length, write_status_line};
use crate::sites::{Route, Site};
use crate::wire::Coding;
use encoding::Plan;

/// What such a head is written from.
pub(super) struct Head<'a> {
    pub(super) site: &'a Site,
    pub(super) route: &'a Route,
    pub(super) status: u16,
    /// The lines that are kept, each with its CRLF.
    pub(super) lines: &'a [u8],
    /// Those that this answer alone has: `Age`, `Content-Range`, `Cache-Status`.
    pub(super) own: &'a [u8],
    /// Of the body that follows, where it is known.
    pub(super) length: Option<u64>,
    pub(super) version: Version,
    pub(super) coding: Coding,
    pub(super) connection: Option<&'static str>,
    pub(super) ids: &'a RequestIds,
    /// Lines that any answer to this request gets.
    pub(super) extra: &'a [u8],
    /// Another node keeps it: as the origin gave it, whatever clients are told here.
    pub(super) is_for_node: bool,
    /// What compression makes of it.
    pub(super) compressed: Option<&'a Plan>,
}

impl Head<'_> {
    /// Writes it to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self { site, route, .. } = self;
        let edits = &route.response_edits;
        out.clear();
        write_status_line(out, self.status, reason(self.status).as_bytes());
        if self.is_for_node || (self.compressed.is_none() && !edits.drops_any() && !site.hides_any()) {
            out.extend_from_slice(self.lines);
        } else {
            for line in self.lines.split_inclusive(|byte| *byte == b'\n') {
                let name = &line[..memchr::memchr(b':', line).unwrap_or(0)];
                let is_void = self.compressed.is_some_and(|plan| compress::voids(plan, name));
                if !is_void && !edits.drops(name) && !site.hides(name) && !site.says_itself(name) {
                    out.extend_from_slice(line);
                }
            }
        }
        let added = out.len();
        if let Some(plan) = self.compressed {
            compress::write_lines(plan, self.value(b"vary"), self.value(b"etag"), out);
        }
        if let (Some(length), Coding::Identity) = (self.length, self.coding) {
            write_length(out, length);
        }
        if self.coding == Coding::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        out.extend_from_slice(self.own);
        if let (Some(connection), false) = (self.connection, self.version.is_framed()) {
            out.extend_from_slice(b"Connection: ");
            out.extend_from_slice(connection.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.extra);
        if !self.is_for_node {
            self.ids.write_request_id(out);
            edits.apply_to_added(out, added);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A field that is kept.
    pub(super) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        value_of(self.lines, name)
    }
}

/// The value of the first field of this name.
pub(super) fn value_of<'a>(lines: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    cdn::rules::Lines::of(lines).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
