//! Whether a stored response is served (RFC 9111 §4).

use super::asked::Asked;
use super::cache_status::Forwarded;
use super::policy::Policy;
use super::stored::Stored;
use std::fmt;
use std::time::{Duration, SystemTime};

/// What becomes of a request for which a response is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serve {
    /// It is answered by the stored response.
    Fresh,
    /// It is answered by the stored response, which is stale, and the origin is asked anew beside it (RFC 5861 §3).
    StaleAndRefresh,
    /// It is answered by the stored response, which is stale: the client takes it so (`max-stale`).
    StaleAsAsked,
    /// The origin is asked first. Where it fails (no connection, no answer, 500, 502, 503, 504), the stored response may be served
    /// until then, if there is a time (RFC 5861 §4).
    Validate {
        /// Why it is asked.
        why: Why,
        /// Before this time; `None`: never.
        if_error_until: Option<SystemTime>,
    },
    /// 504: the client wants what is stored, and that may not be served (`only-if-cached`).
    Unavailable,
}

/// Why the origin is asked about a response that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The response says `no-cache` (RFC 9111 §5.2.2.4).
    NoCache,
    /// It is stale.
    Stale,
    /// It is fresh, and the request demands more (§5.2.1).
    Request,
    /// Purges may be missing here that another node knows.
    Unheard,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCache => "the response says `no-cache`",
            Self::Stale => "the response is stale",
            Self::Request => "the request demands a newer response",
            Self::Unheard => "another node may know of a purge that is missing here",
        })
    }
}

impl From<Why> for Forwarded {
    fn from(why: Why) -> Self {
        match why {
            Why::NoCache | Why::Stale | Why::Unheard => Self::Stale,
            Why::Request => Self::Request,
        }
    }
}

/// Decides whether a stored response, which [`matches`](super::matches()) the request, answers it.
///
/// `stale_since`: when a soft purge has made it stale.
pub fn serve(
    stored: &Stored,
    asked: &Asked<'_>,
    policy: &Policy,
    stale_since: Option<SystemTime>,
    now: SystemTime,
) -> Serve {
    let ttl = left(stored, stale_since, now);
    let demands = policy.is_client_heard && is_demanded(stored, asked, ttl, now);
    if !stored.no_cache && !demands {
        if ttl > 0 {
            return Serve::Fresh;
        }
        if is_within(stored.stale_while_revalidate, ttl) {
            return Serve::StaleAndRefresh;
        }
        let max_stale = asked.control.max_stale.filter(|_| policy.is_client_heard && !stored.must_revalidate);
        if max_stale.is_some_and(|seconds| is_within(seconds, ttl)) {
            return Serve::StaleAsAsked;
        }
    }
    if asked.control.only_if_cached {
        return Serve::Unavailable;
    }
    let why = match ttl {
        _ if stored.no_cache => Why::NoCache,
        ..=0 => Why::Stale,
        _ => Why::Request,
    };
    Serve::Validate { why, if_error_until: if_error_until(stored, ttl, now) }
}

/// Decides the same where purges may be missing that are about the response: the origin is asked first, whatever the response says. Where
/// that fails, it may be served as if it had become stale at this moment.
pub fn confirm(
    stored: &Stored,
    asked: &Asked<'_>,
    stale_since: Option<SystemTime>,
    now: SystemTime,
) -> Serve {
    if asked.control.only_if_cached {
        return Serve::Unavailable;
    }
    let ttl = left(stored, stale_since, now);
    let why = if stored.no_cache { Why::NoCache } else { Why::Unheard };
    Serve::Validate { why, if_error_until: if_error_until(stored, ttl, now) }
}

/// Whether the request demands that the origin confirms what might be served otherwise (§5.2.1).
fn is_demanded(stored: &Stored, asked: &Asked<'_>, ttl: i64, now: SystemTime) -> bool {
    let control = &asked.control;
    control.no_cache
        // An age of `max-age` is not more than it; 0 demands in any case, since ages are whole seconds.
        || control.max_age.is_some_and(|max| max == 0 || stored.age(now) > max)
        || control.min_fresh.is_some_and(|min| ttl < i64::from(min))
}

/// For how many seconds it is fresh still, with regard to a soft purge.
fn left(stored: &Stored, stale_since: Option<SystemTime>, now: SystemTime) -> i64 {
    let ttl = stored.ttl(now);
    match stale_since.map(|since| now.duration_since(since).map_or(0, |since| since.as_secs())) {
        Some(stale_for) => ttl.min(-i64::try_from(stale_for).unwrap_or(i64::MAX)),
        None => ttl,
    }
}

/// Whether it is stale for less than these seconds.
fn is_within(seconds: u32, ttl: i64) -> bool {
    -ttl < i64::from(seconds)
}

pub(crate) fn if_error_until(stored: &Stored, ttl: i64, now: SystemTime) -> Option<SystemTime> {
    if stored.no_cache || (stored.must_revalidate && ttl <= 0) {
        return None;
    }
    let left = u64::try_from(ttl + i64::from(stored.stale_if_error)).ok().filter(|left| *left > 0)?;
    now.checked_add(Duration::from_secs(left))
}

/// Until when a stored response stands in for an origin that fails, if it does (RFC 5861 §4); `stale_since` is as for [`serve`].
pub fn stands_in_until(
    stored: &Stored,
    stale_since: Option<SystemTime>,
    now: SystemTime,
) -> Option<SystemTime> {
    if_error_until(stored, left(stored, stale_since, now), now)
}

/// Whether this answer of the origin is a failure that a stale response may stand in for (RFC 5861 §4).
pub fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
