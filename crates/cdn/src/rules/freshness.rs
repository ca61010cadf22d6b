//! How old a response is, and for how long it is fresh (RFC 9111 §4.2).

use super::came::{Came, DateField, Source};
use super::date;
use super::directive::SECONDS_MAX;
use super::policy::Policy;
use super::status;
use super::stored::Stored;
use std::time::SystemTime;

/// Where a lifetime comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The origin says it.
    Origin,
    /// The route says it.
    Route,
    /// It is guessed from `Last-Modified`.
    Heuristic,
    /// Nobody says it.
    Nobody,
}

/// For how long a response is fresh, in seconds of age, and who says so.
pub(crate) fn lifetime(came: &Came<'_>, policy: &Policy, received: SystemTime) -> (u32, Basis) {
    let (lifetime, basis) = unbounded(came, policy, received);
    let lifetime = if basis == Basis::Nobody { 0 } else { lifetime.max(policy.ttl_min).min(policy.ttl_max) };
    (lifetime, basis)
}

/// The same before the route's bounds.
pub(crate) fn unbounded(came: &Came<'_>, policy: &Policy, received: SystemTime) -> (u32, Basis) {
    let is_error = came.status >= 400;
    let is_known = status::is_heuristic(came.status);
    if let Some(ttl) = policy.ttl
        && !is_error
        && (is_known || came.is_explicit())
    {
        return (ttl, Basis::Route);
    }
    if let Some(explicit) = explicit(came, received) {
        return (explicit, Basis::Origin);
    }
    let by_route = if is_error { policy.negative_ttl } else { policy.ttl_default };
    if let Some(ttl) = by_route.filter(|_| is_known) {
        return (ttl, Basis::Route);
    }
    heuristic(came, policy, received).map_or((0, Basis::Nobody), |lifetime| (lifetime, Basis::Heuristic))
}

/// RFC 9111 §4.2.1: `s-maxage`, then `max-age`, then `Expires` from `Date` on. An invalid `Expires` is past (§5.3); without a `Date`
/// that is one, it is when the response came (RFC 9110 §6.6.1).
pub(crate) fn explicit(came: &Came<'_>, received: SystemTime) -> Option<u32> {
    if let Some(lifetime) = came.control.lifetime() {
        return Some(lifetime);
    }
    match came.expires {
        _ if came.source != Source::CacheControl => None,
        DateField::Absent => None,
        DateField::Invalid => Some(0),
        DateField::At(expires) => Some(capped(date::between(came.date.at().unwrap_or(received), expires))),
    }
}

/// RFC 9111 §4.2.2: for statuses that allow it, or any that is said to be public.
fn heuristic(came: &Came<'_>, policy: &Policy, received: SystemTime) -> Option<u32> {
    if policy.heuristic_permille == 0 || !(status::is_heuristic(came.status) || came.control.public) {
        return None;
    }
    let unchanged = date::between(came.last_modified.at()?, came.date.at().unwrap_or(received));
    let share = unchanged.saturating_mul(u64::from(policy.heuristic_permille)) / 1000;
    Some(capped(share).min(policy.heuristic_max))
}

/// RFC 9111 §4.2.3: the age of a response when it came, in seconds: what its `Date` or its `Age` make it, the latter with the time
/// that the exchange took.
pub(crate) fn initial_age(came: &Came<'_>, requested: SystemTime, received: SystemTime) -> u32 {
    let apparent = came.date.at().map_or(0, |date| date::between(date, received));
    let delay = received.duration_since(requested).map_or(0, |delay| delay.as_secs());
    capped(apparent.max(u64::from(came.age) + delay))
}

pub(crate) fn capped(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}

impl Stored {
    /// Its age at `now`, in seconds (RFC 9111 §4.2.3, current_age). A clock that went back makes nothing younger than it came.
    pub fn age(&self, now: SystemTime) -> u32 {
        let resident = now.duration_since(self.received).map_or(0, |resident| resident.as_secs());
        capped(u64::from(self.initial_age) + resident)
    }

    /// For how many seconds it is fresh still; negative: since when it is stale.
    pub fn ttl(&self, now: SystemTime) -> i64 {
        i64::from(self.lifetime) - i64::from(self.age(now))
    }
}
