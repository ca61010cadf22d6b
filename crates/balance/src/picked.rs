//! One request on its endpoint: from the wish to the outcome.

use crate::endpoint::{Endpoint, EndpointId};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a request brings to the choice of its endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// The [`hash_key`](crate::hash_key) of what [`Pool::key_source`](crate::Pool::key_source) asks for, if the
    /// request has it.
    pub hash: Option<u64>,
    /// The value of the cookie [`Pool::sticky_cookie`](crate::Pool::sticky_cookie), as received.
    pub sticky: Option<&'a [u8]>,
    /// The endpoints that this request has been tried on. Empty on a first attempt.
    pub avoid: &'a [EndpointId],
}

/// What the edge must hash for [`Wish::hash`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Nothing.
    None,
    /// The value of this request header.
    Header(Arc<str>),
    /// The value of this cookie.
    Cookie(Arc<str>),
    /// The client's address, IPv6 by /64.
    ClientAddress,
    /// The path without the query.
    Path,
}

/// How a request ended on its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered; 500 and above counts as a failure of the endpoint.
    Answered {
        /// The answer's status.
        status: u16,
    },
    /// No connection could be made.
    ConnectFailed,
    /// The connection ended before an answer began.
    Reset,
    /// The answer did not begin in time.
    FirstByteTimeout,
    /// The answer ended in the middle of its body.
    Broken,
}

impl Outcome {
    /// Whether it speaks against the endpoint.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Answered { status } if status < 500)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status } => write!(f, "answered {status}"),
            Self::ConnectFailed => f.write_str("no connection"),
            Self::Reset => f.write_str("connection reset"),
            Self::FirstByteTimeout => f.write_str("no answer in time"),
            Self::Broken => f.write_str("answer broke off"),
        }
    }
}

/// A request's place on an endpoint, in flight until finished or dropped. Dropping it without
/// [`finish`](Self::finish) means that the client gave up: neither success nor failure.
#[derive(Debug)]
#[must_use = "a pick that is dropped counts as cancelled"]
pub struct Picked {
    endpoint: Arc<Endpoint>,
    issues_cookie: bool,
    is_probe: bool,
    is_finished: bool,
}

impl Picked {
    pub(crate) fn new(endpoint: Arc<Endpoint>, issues_cookie: bool, is_probe: bool) -> Self {
        Self { endpoint, issues_cookie, is_probe, is_finished: false }
    }

    /// Where the request goes.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The sticky cookie's value to issue; `None` when the pool has none, or the client's own still holds.
    pub fn set_cookie(&self) -> Option<&str> {
        self.issues_cookie.then(|| self.endpoint.cookie())
    }

    /// Says how it ended; `latency` is the time to the answer's first byte, or to the failure.
    pub fn finish(mut self, outcome: Outcome, latency: Duration, now: Instant) {
        self.is_finished = true;
        if outcome.is_failure() {
            let failures_in_row = self.endpoint.end_failed(latency, now);
            if let Some(pool) = self.endpoint.pool() {
                pool.request_failed(&self.endpoint, outcome, failures_in_row, self.is_probe, now);
            }
        } else {
            self.endpoint.end_answered(latency, now);
            if self.is_probe
                && let Some(pool) = self.endpoint.pool()
            {
                pool.probe_succeeded(&self.endpoint, now);
            }
        }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if self.is_probe {
            self.endpoint.end_probe();
        }
        if !self.is_finished {
            self.endpoint.end_cancelled();
        }
    }
}
