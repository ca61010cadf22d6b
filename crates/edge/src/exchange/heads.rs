//! The heads that are passed on: what came in, less what was meant for this hop, plus what a proxy adds.

use crate::compress;
use crate::core::{Core, Snapshot};
use crate::forwarding::{ClientLines, RequestIds, Said};
use crate::protocol::{
    FieldKind, RequestHead, ResponseHead, Version, copy_kept_lines, is_nominated, write_status_line,
};
use crate::sites::{Route, Site};
use crate::wire::Coding;
use cdn::rules::{CAPABILITY_LINE, is_for_caches};
use encoding::Plan;
use std::net::{IpAddr, SocketAddr};

/// What a request's head is written from.
pub(super) struct RequestParts<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) route: &'a Route,
    pub(super) client: &'a ClientLines,
    pub(super) request: &'a RequestHead,
    /// The head as it was received.
    pub(super) head: &'a [u8],
    /// The normalised path.
    pub(super) path: &'a [u8],
    pub(super) ids: &'a RequestIds,
    pub(super) endpoint: SocketAddr,
    /// The client is a proxy whose word is believed.
    pub(super) is_trusted: bool,
    /// Whom it names, where that is not itself.
    pub(super) named_client: Option<IpAddr>,
}

/// Writes the head for the endpoint to `out`.
pub(super) fn write_request(parts: &RequestParts<'_>, out: &mut Vec<u8>) {
    let RequestParts { snapshot, route, request, head, .. } = parts;
    out.clear();
    out.extend_from_slice(request.method_name.of_head(head));
    out.push(b' ');
    route.write_path(parts.path, out);
    out.extend_from_slice(request.query.of_head(head));
    out.extend_from_slice(b" HTTP/1.1\r\n");

    let trusted = parts.is_trusted;
    let edits = &route.request_edits;
    let nominates = request.connection.nominates;
    copy_kept_lines(head, &request.fields, request.len - 2, out, |field| {
        let name = field.name.of_head(head);
        let passes = match field.kind {
            FieldKind::Connection
            | FieldKind::HopByHop
            | FieldKind::Te
            | FieldKind::TransferEncoding
            | FieldKind::Upgrade
            | FieldKind::RequestId
            | FieldKind::TraceParent => false,
            // Kept lists are written again below, extended; what is only ours to say is replaced.
            FieldKind::ForwardedFor => trusted && keeps_forwarded_line(name),
            // RFC 9440 §2.4.
            FieldKind::ClientCert => trusted && !parts.client.shows_certificate(),
            // RFC 9110 §10.1.1: an HTTP/1.0 client's expectation is ignored.
            FieldKind::Expect => request.version >= Version::Http11,
            // What frames the body and says whom it is for cannot be nominated away.
            FieldKind::Host | FieldKind::ContentLength => true,
            _ => !nominates || !is_nominated(head, &request.fields, name),
        };
        passes && !edits.drops(name)
    });

    if request.value(head, FieldKind::Host).is_none() && !edits.drops(b"host") {
        write_host(request, head, parts.endpoint, out);
    }
    if request.body.has_no_length() {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    match request.upgrade {
        Some(protocol) => {
            out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
            out.extend_from_slice(protocol.0.of_head(head));
            out.extend_from_slice(b"\r\n");
        }
        None if request.takes_trailers => out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n"),
        None => {}
    }
    let added = out.len();
    let host = request.host.map_or(&b""[..], |host| host.of_head(head));
    let values = |name: &'static [u8]| {
        request.fields.iter().filter(move |field| {
            trusted
                && field.kind == FieldKind::ForwardedFor
                && field.name.of_head(head).eq_ignore_ascii_case(name)
        })
    };
    let has = |name| trusted && values(name).next().is_some();
    // A proxy that names its client by `Forwarded` alone is understood by who reads `X-Forwarded-For` alone, too.
    let named = parts.named_client.map(|client| client.to_string().into_bytes());
    let named_for = named.as_deref().filter(|_| !has(b"x-forwarded-for"));
    let said = Said {
        proto: has(b"x-forwarded-proto"),
        host: has(b"x-forwarded-host"),
        real_ip: has(b"x-real-ip"),
        client: named.as_deref(),
    };
    parts.client.write_lines(
        out,
        host,
        (request.version, snapshot.config.via.as_bytes()),
        said,
        named_for.into_iter().chain(values(b"x-forwarded-for").map(|field| field.value.of_head(head))),
        values(b"forwarded").map(|field| field.value.of_head(head)),
    );
    parts.ids.write_lines(out);
    if route.caching.is_some() {
        // Only who says so is sent `Surrogate-Control` (W3C Edge Architecture §2.2).
        out.extend_from_slice(CAPABILITY_LINE);
    }
    edits.apply_to_added(out, added);
    out.extend_from_slice(b"\r\n");
}

/// Of a trusted proxy's lines: those that we do not extend. What it said of its client, its word is kept.
fn keeps_forwarded_line(name: &[u8]) -> bool {
    !name.eq_ignore_ascii_case(b"x-forwarded-for") && !name.eq_ignore_ascii_case(b"forwarded")
}

/// An HTTP/1.0 client may leave out `Host`; the absolute form carries it in the target.
fn write_host(request: &RequestHead, head: &[u8], endpoint: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Host: ");
    match request.host {
        Some(host) => out.extend_from_slice(host.of_head(head)),
        None => out.extend_from_slice(endpoint.to_string().as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
}

/// What a response's head is written from.
pub(super) struct ResponseParts<'a> {
    pub(super) core: &'a Core,
    pub(super) site: &'a Site,
    pub(super) route: &'a Route,
    pub(super) response: &'a ResponseHead,
    /// The head as it was received.
    pub(super) head: &'a [u8],
    pub(super) client_version: Version,
    pub(super) coding: Coding,
    pub(super) keeps_connection: bool,
    pub(super) ids: &'a RequestIds,
    /// Lines that this response gets besides its own.
    pub(super) extra: &'a [u8],
    /// The pool's cookie and its value, when it is to be issued.
    pub(super) sticky: Option<(&'a str, &'a str)>,
    /// The client came by TLS.
    pub(super) is_secure: bool,
    /// Another node of the cache asks: it gets what is for caches.
    pub(super) is_for_node: bool,
    /// What compression makes of it.
    pub(super) compressed: Option<&'a Plan>,
}

/// Writes the final head for the client to `out`.
pub(super) fn write_response(parts: &ResponseParts<'_>, out: &mut Vec<u8>) {
    let ResponseParts { response, head, site, route, .. } = parts;
    out.clear();
    write_status_line(out, response.status, response.reason.of_head(head));
    let edits = &route.response_edits;
    let switches = response.status == 101;
    let nominates = response.connection.nominates;
    // RFC 9110 §8.6: no Content-Length in 1xx and 204; with chunks there is none.
    let has_length = response.status >= 200 && response.status != 204 && parts.coding == Coding::Identity;
    let mut said_length = false;
    let strips_control =
        !parts.is_for_node && route.caching.as_ref().is_some_and(|caching| !caching.policy.is_control_passed);
    copy_kept_lines(head, &response.fields, response.len - 2, out, |field| {
        let name = field.name.of_head(head);
        let passes = match field.kind {
            FieldKind::Connection
            | FieldKind::HopByHop
            | FieldKind::TransferEncoding
            | FieldKind::RequestId => false,
            FieldKind::Upgrade => switches,
            // RFC 9110 §8.6: equal lengths are made one.
            FieldKind::ContentLength => has_length && !std::mem::replace(&mut said_length, true),
            _ => !nominates || !is_nominated(head, &response.fields, name),
        };
        let is_void = parts.compressed.is_some_and(|plan| compress::voids(plan, name));
        passes
            && !is_void
            // Another node keeps it as the origin gave it, whatever clients are told here.
            && (parts.is_for_node || !(edits.drops(name) || site.hides(name) || site.says_itself(name)))
            && (!strips_control || !is_for_caches(name))
    });
    let added = out.len();
    if let Some(plan) = parts.compressed {
        let value = |name: &[u8]| response.value_of(head, name);
        compress::write_lines(plan, value(b"vary"), value(b"etag"), out);
    }
    // RFC 9110 §6.6.1: a recipient with a clock adds a missing Date.
    if !response.has_date {
        parts.core.write_date_line(out);
    }
    if parts.coding == Coding::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if parts.client_version.is_framed() {
        // RFC 9113 §8.2.2: nothing is said of a connection that others share.
    } else if switches {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if !parts.keeps_connection {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if parts.client_version == Version::Http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(parts.extra);
    if parts.is_for_node {
        out.extend_from_slice(b"\r\n");
        return;
    }
    parts.ids.write_request_id(out);
    edits.apply_to_added(out, added);
    if let Some((name, value)) = parts.sticky {
        out.extend_from_slice(b"Set-Cookie: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"; Path=/; HttpOnly; SameSite=Lax");
        // RFC 6265 §4.1.2.5: what was issued over TLS stays there.
        out.extend_from_slice(if parts.is_secure { b"; Secure\r\n" } else { b"\r\n" });
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim head (1xx but 101) for the client to `out`: only what is meant for it.
pub(super) fn write_interim(site: &Site, response: &ResponseHead, head: &[u8], out: &mut Vec<u8>) {
    out.clear();
    write_status_line(out, response.status, response.reason.of_head(head));
    copy_kept_lines(head, &response.fields, response.len - 2, out, |field| {
        let is_of_this_hop = matches!(
            field.kind,
            FieldKind::Connection
                | FieldKind::HopByHop
                | FieldKind::TransferEncoding
                | FieldKind::ContentLength
                | FieldKind::Upgrade
        );
        let name = field.name.of_head(head);
        !is_of_this_hop && !is_nominated(head, &response.fields, name) && !site.hides(name)
    });
    out.extend_from_slice(b"\r\n");
}

/// Copies the trailer fields that may be passed on (RFC 9110 §6.5.1): none that frames, routes, or was meant
/// for this hop. `lines` are whole lines, each with its CRLF.
pub(super) fn copy_trailers(lines: &[u8], out: &mut Vec<u8>) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let name = &line[..memchr::memchr(b':', line).unwrap_or(0)];
        if !name.is_empty() && matches!(FieldKind::of(name), FieldKind::Other | FieldKind::Date) {
            out.extend_from_slice(line);
        }
    }
}
