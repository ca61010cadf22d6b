//! What the cache has for a request.

use super::caching::{Caching, target_of};
use crate::core::Work;
use cdn::Key;
use cdn::rules::{Asked, Bypass, CacheStatus, Forwarded, Method, RequestLines, Serve, Stored, matches, serve, variant};
use cdn::store::Object;
use std::sync::Arc;
use std::time::SystemTime;

/// What becomes of a request.
pub(super) enum Looked {
    /// It is answered with this.
    Hit { object: Arc<Object>, status: CacheStatus },
    /// It is answered with this, which is stale, and the origin is asked anew.
    Stale { object: Arc<Object>, status: CacheStatus, wanted: Wanted },
    /// The origin is asked.
    Missing(Wanted),
    /// The client takes only what is kept, and nothing is.
    Unavailable,
    /// The cache has no part in it.
    Bypass(Forwarded),
}

/// What is to be fetched.
pub(super) struct Wanted {
    pub(super) key: Key,
    /// Of the values that responses of this key differ by.
    pub(super) variant: u64,
    pub(super) why: Forwarded,
    /// What the origin may confirm.
    pub(super) kept: Option<Arc<Object>>,
    /// Until when that stands in for a failing origin.
    pub(super) if_error_until: Option<SystemTime>,
    /// The request is a HEAD.
    pub(super) is_head: bool,
}

/// The lines of a request.
pub(super) fn lines(work: &Work) -> impl RequestLines<'_> {
    let head = work.down.held();
    work.request.fields.iter().map(move |field| (field.name.of_head(head), field.value.of_head(head)))
}

/// What a request asks.
pub(super) fn asked(work: &Work) -> Asked<'_> {
    Asked::of(Method::of(work.request.method_name.of_head(work.down.held())), lines(work))
}

/// Whether a response is one to this request as well.
pub(super) fn answers(stored: &Stored, work: &Work) -> bool {
    stored.not_stored.is_none() && matches(stored, lines(work))
}

/// Looks a request up.
pub(super) fn look_up(caching: &Caching, work: &Work, now: SystemTime) -> Looked {
    let asked = asked(work);
    let has_body = !work.request.body.is_finished();
    match asked.bypass(&caching.policy) {
        Some(Bypass::Method) => return Looked::Bypass(Forwarded::Method),
        Some(Bypass::NoStore | Bypass::Condition) => return Looked::Bypass(Forwarded::Request),
        // A body may change what the answer is.
        None if has_body || work.request.upgrade.is_some() => return Looked::Bypass(Forwarded::Bypass),
        None => {}
    }
    let key = caching.key(work);
    let lines = lines(work);
    let is_head = asked.method == Method::Head;
    let Some(object) = caching.cache.find(&key, |object| matches(&object.stored, lines.clone())) else {
        if asked.control.only_if_cached {
            return Looked::Unavailable;
        }
        let other = caching.cache.find(&key, |_| true);
        let (variant, why) = match other {
            Some(other) => (variant(&other.stored, lines), Forwarded::VaryMiss),
            None => (0, Forwarded::UriMiss),
        };
        return Looked::Missing(Wanted { key, variant, why, kept: None, if_error_until: None, is_head });
    };
    let stale_since = object.stale_since();
    let ttl = object.stored.ttl(now);
    let wanted = |why, if_error_until| Wanted {
        variant: variant(&object.stored, lines.clone()),
        key,
        why,
        kept: Some(Arc::clone(&object)),
        if_error_until,
        is_head,
    };
    match serve(&object.stored, &asked, &caching.policy, stale_since, now) {
        Serve::Fresh | Serve::StaleAsAsked => Looked::Hit { status: CacheStatus::hit(ttl), object },
        Serve::StaleAndRefresh => {
            let wanted = wanted(Forwarded::Stale, None);
            Looked::Stale { status: CacheStatus::hit(ttl), wanted, object }
        }
        Serve::Validate { if_error_until } => {
            let is_fresh = ttl > 0 && stale_since.is_none() && !object.stored.no_cache;
            let why = if is_fresh { Forwarded::Request } else { Forwarded::Stale };
            Looked::Missing(wanted(why, if_error_until))
        }
        Serve::Unavailable => Looked::Unavailable,
    }
}
