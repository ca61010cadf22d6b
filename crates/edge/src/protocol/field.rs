//! Header fields: where they stand, and the few that a proxy treats by name.

use super::head::Span;

/// One field line of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, as written. The line starts here and ends where the next field starts.
    pub name: Span,
    /// The value, without blanks around it.
    pub value: Span,
    /// What a proxy must know of it.
    pub kind: FieldKind,
}

/// The fields that a proxy treats by name; everything else passes through as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Passed through.
    Other,
    /// Whom the request is for.
    Host,
    /// Options of this hop.
    Connection,
    /// Length of the body.
    ContentLength,
    /// Framing of the body.
    TransferEncoding,
    /// Another protocol is wished for.
    Upgrade,
    /// `Keep-Alive`, `Proxy-Connection`, `HTTP2-Settings`: of this hop, and of no use to the next.
    HopByHop,
    /// Transfer codings and trailers that the client takes.
    Te,
    /// `100-continue`.
    Expect,
    /// What a proxy in front of us said about the client: `Forwarded`, `X-Forwarded-*`, `X-Real-IP`.
    ForwardedFor,
    /// `X-Request-Id`.
    RequestId,
    /// W3C trace context.
    TraceParent,
    /// What the client takes, for the form of our own error pages.
    Accept,
    /// Which codings the client takes.
    AcceptEncoding,
    /// The client's credentials.
    Authorization,
    /// Cookies, for stickiness and routes.
    Cookie,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440): only ours, or a trusted proxy's, to say.
    ClientCert,
    /// When the response was made.
    Date,
}

impl FieldKind {
    /// The kind of a request's field. Gateways to programs (CGI, WSGI) make one name of `X_Forwarded_For` and
    /// `X-Forwarded-For`: what would pass there for a field that we vouch for is dropped like one of this hop.
    pub fn of_request(name: &[u8]) -> Self {
        match Self::of(name) {
            Self::Other if name.len() <= 32 && name.contains(&b'_') => {
                let mut dashed = [0; 32];
                for (to, from) in dashed.iter_mut().zip(name) {
                    *to = if *from == b'_' { b'-' } else { *from };
                }
                match Self::of(&dashed[..name.len()]) {
                    Self::Other => Self::Other,
                    _ => Self::HopByHop,
                }
            }
            kind => kind,
        }
    }

    /// The kind of a field name, whatever its case.
    pub fn of(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            4 if is("date") => Self::Date,
            6 if is("accept") => Self::Accept,
            6 if is("cookie") => Self::Cookie,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            9 if is("forwarded") => Self::ForwardedFor,
            9 if is("x-real-ip") => Self::ForwardedFor,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            11 if is("traceparent") => Self::TraceParent,
            11 if is("client-cert") => Self::ClientCert,
            17 if is("client-cert-chain") => Self::ClientCert,
            12 if is("x-request-id") => Self::RequestId,
            13 if is("authorization") => Self::Authorization,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::HopByHop,
            15 if is("accept-encoding") => Self::AcceptEncoding,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            13..=32 if name[..12].eq_ignore_ascii_case(b"x-forwarded-") => Self::ForwardedFor,
            _ => Self::Other,
        }
    }
}
