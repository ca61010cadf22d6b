//! What the cache has for a request.

use super::caching::Caching;
use crate::core::Work;
use cdn::Key;
use cdn::rules::{
    Asked, Bypass, CacheStatus, Forwarded, Method, RequestLines, Selected, Serve, Stored, confirm, matches,
    select, serve, variant,
};
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
#[derive(Clone)]
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
    /// When it was looked up.
    pub(super) at: SystemTime,
}

impl Wanted {
    /// Whether what is kept stands in for an origin that fails.
    pub(super) fn stands_in(&self, now: SystemTime) -> Option<&Arc<Object>> {
        self.kept.as_ref().filter(|_| self.if_error_until.is_some_and(|until| now < until))
    }
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
    stored.not_stored.is_none() && matches(stored, &lines(work)) && has_enough(stored, &asked(work))
}

/// Whether all that is asked for is there: of a response that is kept in part.
fn has_enough(stored: &Stored, asked: &Asked<'_>) -> bool {
    stored.range.is_none() || !matches!(select(stored, asked), Selected::NotHere | Selected::Many(_))
}

/// Looks a request up.
pub(super) fn look_up(caching: &Caching, work: &Work, now: SystemTime) -> Looked {
    let asked = asked(work);
    if let Some(bypass) = asked.bypass(&caching.policy) {
        // Before its conditions or its method matter, a client that wants nothing but what is kept hears that this is nothing.
        return match bypass {
            Bypass::Condition if asked.control.only_if_cached => Looked::Unavailable,
            _ => Looked::Bypass(bypass.into()),
        };
    }
    // A body may change what the answer is.
    if !work.request.body.is_finished() || work.request.upgrade.is_some() {
        return Looked::Bypass(Forwarded::Bypass);
    }
    let key = caching.key(work);
    let lines = lines(work);
    let fits = |object: &Object| matches(&object.stored, &lines);
    let found = caching.engine.find(&key, |object| fits(object) && has_enough(&object.stored, &asked));
    let Some(object) = found else {
        if asked.control.only_if_cached {
            return Looked::Unavailable;
        }
        return Looked::Missing(missing(caching, key, &asked, &lines, now));
    };
    let stale_since = object.is_purged_softly().then_some(now);
    let ttl = object.stored.ttl(now);
    let ttl = if stale_since.is_some() { ttl.min(0) } else { ttl };
    let wanted = |why, if_error_until| Wanted {
        variant: variant(&object.stored, &lines),
        key,
        why,
        kept: Some(Arc::clone(&object)),
        if_error_until,
        is_head: asked.method == Method::Head,
        at: now,
    };
    let served = if caching.engine.is_trusted(&object, now) {
        serve(&object.stored, &asked, &caching.policy, stale_since, now)
    } else {
        confirm(&object.stored, &asked, stale_since, now)
    };
    match served {
        Serve::Fresh | Serve::StaleAsAsked => Looked::Hit { status: CacheStatus::hit(ttl), object },
        Serve::StaleAndRefresh => {
            let wanted = wanted(Forwarded::Stale, None);
            Looked::Stale { status: CacheStatus::hit(ttl), wanted, object }
        }
        Serve::Validate { why, if_error_until } => Looked::Missing(wanted(why.into(), if_error_until)),
        Serve::Unavailable => Looked::Unavailable,
    }
}

/// What is to be fetched where nothing fits.
fn missing<'a>(
    caching: &Caching,
    key: Key,
    asked: &Asked<'_>,
    lines: &impl RequestLines<'a>,
    now: SystemTime,
) -> Wanted {
    let mut is_part = false;
    let newest = caching.engine.find(&key, |object| {
        is_part |= matches(&object.stored, lines);
        true
    });
    let (variant, why) = match newest {
        Some(other) if is_part => (variant(&other.stored, lines), Forwarded::Partial),
        Some(other) => (variant(&other.stored, lines), Forwarded::VaryMiss),
        None => (0, Forwarded::UriMiss),
    };
    let is_head = asked.method == Method::Head;
    Wanted { key, variant, why, kept: None, if_error_until: None, is_head, at: now }
}
