//! What can go wrong, on which side, and the one place that says which status that is.

use crate::protocol::{BadBody, BadHead};
use thiserror::Error;

/// Why an edge could not start or change.
#[derive(Debug, Error)]
pub enum Error {
    /// An address cannot be listened on, or a thread not be made.
    #[error(transparent)]
    Cores(#[from] cores::Error),
    /// The access log cannot be opened.
    #[error("cannot open the access log {path}: {source}")]
    AccessLog {
        /// The path, as in the file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A list of networks or users cannot be used.
    #[error(transparent)]
    Admission(#[from] admission::Error),
    /// A folder cannot be served.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// Certificates cannot be ordered.
    #[error(transparent)]
    Acme(#[from] acme::Error),
    /// A certificate, a key or an authority cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// A route names a pool that was not handed over.
    #[error("unknown pool {0}")]
    UnknownPool(String),
    /// A route names a store that was not handed over.
    #[error("unknown push {0}")]
    UnknownPush(String),
    /// `cores` cannot change while nines runs.
    #[error("[edge] cores cannot change while running: restart with --takeover")]
    CoresChanged,
}

/// Why a request was not served as wished. Each knows its side by its status: 4xx is the client's, 502 and
/// 504 the backend's, 503 is ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// The head breaks the protocol.
    #[error("{0}")]
    Head(#[from] BadHead),
    /// The body breaks the protocol.
    #[error("{0}")]
    Body(#[from] BadBody),
    /// A protocol within HTTP/2 that is not spoken here.
    #[error("unknown protocol")]
    Protocol,
    /// CONNECT or TRACE.
    #[error("method not allowed")]
    Method,
    /// The body exceeds its limit.
    #[error("request body too large")]
    BodyTooLarge,
    /// The head or the body did not come in time.
    #[error("request timed out")]
    ClientTimeout,
    /// The site asks clients for a certificate, and this connection was not asked for it.
    #[error("this connection was not asked for the site's client certificate")]
    Certificate,
    /// The client's address may not come.
    #[error("client {0}")]
    Denied(String),
    /// The client shows no user and password that are known.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The client shows no signature that is good.
    #[error("{0}")]
    Unsigned(admission::Unsigned),
    /// The client has or asks for too much.
    #[error("{cause}")]
    TooMany {
        /// Of what.
        cause: &'static str,
        /// When to come again, where the limit's own lines do not say it.
        retry_after_secs: Option<u32>,
    },
    /// A folder's answer that is no file.
    #[error("no such file: {0}")]
    File(u16),
    /// What came to a route of DNS is no query.
    #[error("{1}")]
    Dns(u16, &'static str),
    /// The site is served by HTTPS alone, at this port.
    #[error("the site is served by HTTPS alone")]
    HttpsOnly(u16),
    /// No site has this host.
    #[error("no site for this host")]
    NoSite,
    /// The site has no route for this request.
    #[error("no route for this request")]
    NoRoute,
    /// The pool's line is full, or the wait in it was too long.
    #[error("{0}")]
    Busy(String),
    /// The pool has nobody to ask.
    #[error("{0}")]
    NoEndpoint(String),
    /// The client takes what is kept alone (RFC 9111 §5.2.1.7), and nothing is.
    #[error("nothing is kept, and the client takes nothing else")]
    NotKept,
    /// The request was here before (RFC 8586 §3).
    #[error("the request was here before")]
    Loop,
    /// The endpoint could not be reached or ended the connection.
    #[error("endpoint failed: {0}")]
    Endpoint(&'static str),
    /// The endpoint answered with a status that was to be tried elsewhere, and nowhere else was left.
    #[error("endpoint answered {0}")]
    EndpointStatus(u16),
    /// The endpoint's response breaks the protocol.
    #[error("endpoint answered with a malformed response: {0}")]
    EndpointHead(BadHead),
    /// The endpoint or the whole request took too long.
    #[error("endpoint timed out")]
    EndpointTimeout,
}

impl Refusal {
    /// The status that the client sees.
    pub(crate) fn status(&self) -> u16 {
        match self {
            // RFC 6585 §5, RFC 9110 §15.5.15, §15.6.6, §15.5.18.
            Self::Head(BadHead::TooLarge | BadHead::TooManyFields) => 431,
            Self::Head(BadHead::TargetTooLong) => 414,
            Self::Head(BadHead::Version) => 505,
            Self::Head(BadHead::Expectation) => 417,
            Self::Head(_) | Self::Body(_) => 400,
            Self::Method => 405,
            Self::Protocol => 501,
            Self::BodyTooLarge => 413,
            Self::ClientTimeout => 408,
            // RFC 9110 §15.5.20: this host is not one that we answer for.
            Self::NoSite | Self::Certificate => 421,
            Self::Denied(_) | Self::Unsigned(_) => 403,
            Self::Unauthorized(_) => 401,
            Self::TooMany { .. } => 429,
            Self::File(status) | Self::Dns(status, _) => *status,
            Self::HttpsOnly(_) => 308,
            Self::NoRoute => 404,
            Self::Busy(_) | Self::NoEndpoint(_) => 503,
            Self::Endpoint(_) | Self::EndpointHead(_) => 502,
            Self::EndpointTimeout | Self::NotKept => 504,
            // RFC 5842 §7.2.
            Self::Loop => 508,
            Self::EndpointStatus(status) => *status,
        }
    }

    /// Seconds for `Retry-After`, where trying again later makes sense.
    pub(crate) fn retry_after_secs(&self) -> Option<u32> {
        match self {
            Self::Busy(_) | Self::NoEndpoint(_) => Some(1),
            Self::TooMany { retry_after_secs, .. } => *retry_after_secs,
            _ => None,
        }
    }
}
