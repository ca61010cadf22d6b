//! What the cache has for a request.

use super::caching::Caching;
use crate::core::Work;
use cdn::Key;
use cdn::rules::{
    Asked, Bypass, CacheStatus, Forwarded, Method, RequestLines, Selected, Serve, Span, Stored, Why, confirm,
    matches, refresh_due, select, serve, variant,
};
use cdn::store::Object;
use std::sync::Arc;
use std::time::SystemTime;

/// What a request is looked up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is served: what is found is used.
    Use,
    /// Somebody asks why: nothing changes by it.
    See,
}

/// What becomes of a request.
pub(super) enum Looked {
    /// It is answered with this; what is popular and soon over is asked for anew.
    Hit { object: Arc<Object>, status: CacheStatus, refresh: Option<Wanted> },
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
    /// What the client asks for, where the origin is asked for no more than that.
    pub(super) part: Option<Span>,
    /// When it was looked up.
    pub(super) at: SystemTime,
}

impl Wanted {
    /// Until when what is kept stands in, if it does.
    pub(super) fn stands_in_until(&self) -> Option<SystemTime> {
        self.kept.as_ref().and(self.if_error_until)
    }

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

/// The same, one after another.
pub(super) fn copied_lines(work: &Work) -> Vec<u8> {
    let mut copied = Vec::new();
    for (name, value) in lines(work) {
        for part in [name, b": ", value, b"\r\n"] {
            copied.extend_from_slice(part);
        }
    }
    copied
}

/// What a request asks.
pub(super) fn asked(work: &Work) -> Asked<'_> {
    Asked::of(Method::of(work.request.method_name.of_head(work.down.held())), lines(work))
}

/// Whether a response is one to this request as well.
pub(super) fn answers(stored: &Stored, work: &Work) -> bool {
    stored.not_stored.is_none() && matches(stored, &lines(work)) && has_enough(stored, &asked(work))
}

/// Whether what was kept before this request came is not new enough for it (RFC 9111 §5.2.1).
pub(super) fn demands_newer(caching: &Caching, object: &Object, work: &Work, at: SystemTime) -> bool {
    let served = || serve(&object.stored, &asked(work), &caching.policy, object.stale_since(), at);
    object.stored.received < at && matches!(served(), Serve::Validate { why: Why::Request, .. })
}

/// Whether a part of a response is not an answer to this request: what is asked for is not in it.
pub(super) fn lacks(stored: &Stored, work: &Work) -> bool {
    !has_enough(stored, &asked(work))
}

/// The part that a request asks for, if that is one of whole blocks.
fn part_of(asked: &Asked<'_>) -> Option<Span> {
    Span::of(asked).filter(|span| span.rounded().is_some())
}

/// Whether all that is asked for is there: of a response that is kept in part.
fn has_enough(stored: &Stored, asked: &Asked<'_>) -> bool {
    stored.range.is_none() || !matches!(select(stored, asked), Selected::NotHere | Selected::Many(_))
}

/// Looks a request up.
pub(super) fn look_up(caching: &Caching, work: &Work, now: SystemTime, how: How) -> Looked {
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
    let found = find(caching, how, &key, |object| fits(object) && has_enough(&object.stored, &asked));
    let Some(object) = found else {
        if asked.control.only_if_cached {
            return Looked::Unavailable;
        }
        return Looked::Missing(missing((caching, how), key, &asked, &lines, now));
    };
    let stale_since = object.stale_since();
    let ttl = object.stored.ttl(now);
    let ttl = if stale_since.is_some() { ttl.min(0) } else { ttl };
    let wanted = |why, if_error_until| Wanted {
        variant: variant(&object.stored, &lines),
        key,
        why,
        kept: Some(Arc::clone(&object)),
        if_error_until,
        is_head: asked.method == Method::Head,
        part: part_of(&asked).filter(|_| object.stored.range.is_some()),
        at: now,
    };
    match served(caching, &object, &asked, stale_since, now) {
        Serve::Fresh => {
            let due = object.is_popular().then(|| refresh_due(&object.stored, &asked, &caching.policy, now));
            let refresh = due.flatten().map(|until| wanted(Forwarded::Stale, Some(until)));
            Looked::Hit { status: CacheStatus::hit(ttl), object, refresh }
        }
        Serve::StaleAsAsked => Looked::Hit { status: CacheStatus::hit(ttl), object, refresh: None },
        Serve::StaleAndRefresh => {
            let wanted = wanted(Forwarded::Stale, None);
            Looked::Stale { status: CacheStatus::hit(ttl), wanted, object }
        }
        Serve::Validate { why, if_error_until } => Looked::Missing(wanted(why.into(), if_error_until)),
        Serve::Unavailable => Looked::Unavailable,
    }
}

/// Whether what is kept is served. As long as purges of other nodes may be missing here, the origin confirms it.
pub(super) fn served(
    caching: &Caching,
    object: &Object,
    asked: &Asked<'_>,
    stale_since: Option<SystemTime>,
    now: SystemTime,
) -> Serve {
    if caching.engine.is_trusted(object, now) {
        serve(&object.stored, asked, &caching.policy, stale_since, now)
    } else {
        confirm(&object.stored, asked, stale_since, now)
    }
}

#[inline]
fn find(caching: &Caching, how: How, key: &Key, choose: impl FnMut(&Object) -> bool) -> Option<Arc<Object>> {
    match how {
        How::Use => caching.engine.find(key, choose),
        How::See => caching.engine.see(key, choose),
    }
}

/// What is to be fetched where nothing fits.
fn missing<'a>(
    (caching, how): (&Caching, How),
    key: Key,
    asked: &Asked<'_>,
    lines: &impl RequestLines<'a>,
    now: SystemTime,
) -> Wanted {
    let mut is_part = false;
    let newest = find(caching, how, &key, |object| {
        is_part |= matches(&object.stored, lines);
        true
    });
    let (variant, why) = match newest {
        Some(other) if is_part => (variant(&other.stored, lines), Forwarded::Partial),
        Some(other) => (variant(&other.stored, lines), Forwarded::VaryMiss),
        None => (0, Forwarded::UriMiss),
    };
    let is_head = asked.method == Method::Head;
    Wanted { key, variant, why, kept: None, if_error_until: None, is_head, part: part_of(asked), at: now }
}
