//! Whether a response is stored (RFC 9111 §3).

use super::asked::{Asked, Method};
use super::cache_status::write_age;
use super::came::{Came, DateField};
use super::freshness::{Basis, explicit, initial_age, lifetime};
use super::invalidation::is_own_location;
use super::kept::Kept;
use super::lines::{members, write_line};
use super::partial::ContentRange;
use super::policy::{Policy, SetCookie};
use super::status;
use super::stored::Stored;
use super::tags;
use super::vary::{self, RequestLines, VARY_MAX};
use std::fmt;
use std::time::SystemTime;

/// When an exchange with the origin took place.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When the request was sent; of one that confirms a stored response, when that was looked up, so that a purge in between is about
    /// what it confirms.
    pub requested: SystemTime,
    /// When the head of the response was there.
    pub received: SystemTime,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// RFC 9110 §9.2.3: only GET, and POST as §9.3.3 has it.
    Method,
    /// It is about this one request, or no final response.
    Status,
    /// `no-store` in the request.
    RequestNoStore,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `must-understand` with a status that is not understood (§5.2.2.3).
    NotUnderstood,
    /// RFC 9111 §3.5: the request was authorized, and the response does not allow to share it.
    Authorized,
    /// It sets a cookie.
    SetCookie,
    /// `Vary: *`.
    VariesByAll,
    /// It varies by more than [`VARY_MAX`] fields.
    VariesByMany,
    /// It varies by a field that differs by client, and that the proxy around this cache writes itself: what a client sends tells nothing.
    VariesByClient,
    /// Its `Content-Range` is missing, does not tell the length of the whole, or contradicts `Content-Length`.
    Partial,
    /// It has more tags, or longer ones, than can be purged by.
    Tags,
    /// Nobody says that it may be used again.
    NoFreshness,
    /// It is stale, and can neither be confirmed nor served so.
    Stale,
}

impl NotStored {
    /// It is about the one request that was asked with, and says nothing of what is stored already.
    pub fn is_of_request(self) -> bool {
        matches!(self, Self::Method | Self::RequestNoStore | Self::Authorized)
    }

    /// A short name, for `Cache-Status` and metrics.
    pub fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::NotUnderstood => "must-understand",
            Self::Authorized => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VariesByAll => "vary-all",
            Self::VariesByMany => "vary-many",
            Self::VariesByClient => "vary-client",
            Self::Partial => "partial",
            Self::Tags => "tags",
            Self::NoFreshness => "no-freshness",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the method's responses are not stored",
            Self::Status => "the status answers this one request alone",
            Self::RequestNoStore => "the request says `no-store`",
            Self::NoStore => "the response says `no-store`",
            Self::Private => "the response says `private`",
            Self::NotUnderstood => "the response says `must-understand`, and its status is not understood",
            Self::Authorized => {
                "the request has `Authorization`, and the response says none of `public`, `s-maxage` and `must-revalidate`"
            }
            Self::SetCookie => "the response sets a cookie, and does not say itself for how long it is fresh",
            Self::VariesByAll => "the response says `Vary: *`",
            Self::VariesByMany => "the response varies by more than 16 fields",
            Self::VariesByClient => "the response varies by a field that is written here for each client",
            Self::Partial => "the part has no `Content-Range` that agrees with its length",
            Self::Tags => "the response has more than 256 tags, or one above 1024 bytes",
            Self::NoFreshness => "neither the response nor the route says for how long it is fresh",
            Self::Stale => "the response is stale as it comes, and has no validator",
        })
    }
}

/// Decides whether the response that `came` to what was `asked` is stored, and as what.
///
/// `request` and `response` are the lines of the two heads, from which `asked` and `came` were taken. The length of the body is what
/// the head says; of a body whose end only the connection tells it is not known before it is there.
pub fn may_store<'a, 'b>(
    asked: &Asked<'_>,
    request: &impl RequestLines<'a>,
    came: &Came<'b>,
    response: impl RequestLines<'b>,
    policy: &Policy,
    times: Times,
) -> Result<Stored, NotStored> {
    check_method(asked, came)?;
    let part = part(came)?;
    decide(asked, request, came, response, policy, times, part)
}

/// The same of a response whose method and range are not in question.
pub(crate) fn decide<'a, 'b>(
    asked: &Asked<'_>,
    request: &impl RequestLines<'a>,
    came: &Came<'b>,
    response: impl RequestLines<'b>,
    policy: &Policy,
    times: Times,
    part: Part,
) -> Result<Stored, NotStored> {
    check_status(came.status)?;
    check_control(asked, came, policy)?;
    check_vary(came, policy)?;
    let use_for = Use::of(came, policy, times);
    use_for.check(came)?;
    check_cookie(came, policy, times.received)?;
    let tags = tags::tags(response.clone()).ok_or(NotStored::Tags)?;
    let mut kept = Kept::of(came, response, policy);
    if came.date == DateField::Absent {
        // RFC 9110 §6.6.1: who stores a response without a date gives it that of its arrival.
        write_line(&mut kept.lines, b"Date", httpdate::fmt_http_date(times.received).as_bytes());
    }
    let by_route = policy.vary.iter().map(|name| name.as_bytes());
    Ok(Stored {
        status: came.status,
        lines: kept.lines.into(),
        unsent: kept.unsent.into(),
        requested: times.requested,
        received: times.received,
        initial_age: use_for.initial_age,
        lifetime: use_for.lifetime,
        stale_while_revalidate: use_for.stale_while_revalidate,
        stale_if_error: use_for.stale_if_error,
        must_revalidate: use_for.must_revalidate,
        no_cache: came.control.no_cache,
        vary: vary::values(came.vary.iter().copied().chain(by_route), request),
        tags,
        length: part.length,
        range: part.range,
        not_stored: None,
    })
}

/// A response that is not kept, as it is passed on to the one who asked for it.
pub fn passing<'b>(
    came: &Came<'b>,
    response: impl RequestLines<'b>,
    policy: &Policy,
    times: Times,
    reason: NotStored,
) -> Stored {
    let mut lines = Kept::of(came, response, policy).lines;
    // An age is that of a response which was kept somewhere; it is passed on, and so is what a part is of.
    if came.age > 0 {
        write_age(came.age, &mut lines);
    }
    if let (206, Some(range)) = (came.status, came.content_range) {
        write_line(&mut lines, b"Content-Range", range);
    }
    if came.date == super::came::DateField::Absent {
        write_line(&mut lines, b"Date", httpdate::fmt_http_date(times.received).as_bytes());
    }
    Stored {
        status: came.status,
        lines: lines.into(),
        unsent: Box::default(),
        requested: times.requested,
        received: times.received,
        initial_age: came.age,
        lifetime: 0,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        must_revalidate: true,
        no_cache: true,
        vary: Box::default(),
        tags: Box::default(),
        length: came.length,
        range: None,
        not_stored: Some(reason),
    }
}

/// Which bytes of the whole a response has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) length: Option<u64>,
    pub(crate) range: Option<(u64, u64)>,
}

fn part(came: &Came<'_>) -> Result<Part, NotStored> {
    if came.status != 206 {
        return Ok(Part { length: came.length, range: None });
    }
    let range = came.content_range.and_then(ContentRange::parse).ok_or(NotStored::Partial)?;
    if came.length.is_some_and(|length| length != range.end - range.start) {
        return Err(NotStored::Partial);
    }
    Ok(Part { length: Some(range.whole), range: Some((range.start, range.end)) })
}

fn check_method(asked: &Asked<'_>, came: &Came<'_>) -> Result<(), NotStored> {
    match asked.method {
        Method::Get => Ok(()),
        // RFC 9110 §9.3.3: for later GETs, where it says how long it is fresh and that it is what GET would give.
        Method::Post if came.is_explicit() && came.status < 300 && is_own_location(asked, came) => Ok(()),
        _ => Err(NotStored::Method),
    }
}

fn check_status(status: u16) -> Result<(), NotStored> {
    if status < 200 || status::is_of_one_request(status) { Err(NotStored::Status) } else { Ok(()) }
}

fn check_control(asked: &Asked<'_>, came: &Came<'_>, policy: &Policy) -> Result<(), NotStored> {
    let control = &came.control;
    if policy.is_client_heard && asked.control.no_store {
        return Err(NotStored::RequestNoStore);
    }
    // §5.2.2.3: who understands the status has no regard for the `no-store` beside `must-understand`.
    if control.must_understand && !status::is_understood(came.status) {
        return Err(NotStored::NotUnderstood);
    }
    if control.no_store && !control.must_understand {
        return Err(NotStored::NoStore);
    }
    if control.private {
        return Err(NotStored::Private);
    }
    let is_shared = control.public || control.must_revalidate || control.s_maxage.is_some();
    if asked.is_authorized && !is_shared { Err(NotStored::Authorized) } else { Ok(()) }
}

fn check_vary(came: &Came<'_>, policy: &Policy) -> Result<(), NotStored> {
    if came.varies_by_all {
        return Err(NotStored::VariesByAll);
    }
    if came.vary.len() + policy.vary.len() > VARY_MAX {
        return Err(NotStored::VariesByMany);
    }
    if came.vary.iter().any(|name| vary::is_written_here(name)) {
        return Err(NotStored::VariesByClient);
    }
    Ok(())
}

fn check_cookie(came: &Came<'_>, policy: &Policy, received: SystemTime) -> Result<(), NotStored> {
    // A cookie that is named by `no-cache` or `private` is not stored with the rest.
    let mut unstored = came.control.unstored.iter().flat_map(|list| members(list));
    let is_kept = came.sets_cookie && !unstored.any(|name| name.eq_ignore_ascii_case(b"set-cookie"));
    let is_refused = match policy.set_cookie {
        // Not where each use is confirmed, either: a 304 confirms the body, and the cookie is another client's.
        SetCookie::Explicit => {
            came.control.no_cache || explicit(came, received).is_none_or(|seconds| seconds == 0)
        }
        SetCookie::Refuse => true,
        SetCookie::Strip => false,
    };
    if is_kept && is_refused { Err(NotStored::SetCookie) } else { Ok(()) }
}

/// For how long a response may be used, and how.
struct Use {
    initial_age: u32,
    lifetime: u32,
    basis: Basis,
    stale_while_revalidate: u32,
    stale_if_error: u32,
    must_revalidate: bool,
}

impl Use {
    fn of(came: &Came<'_>, policy: &Policy, times: Times) -> Self {
        let control = &came.control;
        let (lifetime, basis) = lifetime(came, policy, times.received);
        // §5.2.2.10: `s-maxage` forbids to serve stale, as `proxy-revalidate` does. Where the origin allows it in the same breath, it
        // means that.
        let says_stale = control.stale_while_revalidate.is_some() || control.stale_if_error.is_some();
        let by_s_maxage = control.s_maxage.is_some();
        let must_revalidate =
            control.must_revalidate || control.proxy_revalidate || (by_s_maxage && !says_stale);
        let is_stale_served = !must_revalidate && !control.no_cache;
        // What is stale from the beginning was not meant to be served without the origin, unless it says so.
        let is_route_heard = is_stale_served && !by_s_maxage && lifetime > 0;
        let stale = |said: Option<u32>, route: u32| match said {
            Some(seconds) if is_stale_served => seconds,
            None if is_route_heard => route,
            _ => 0,
        };
        Self {
            initial_age: initial_age(came, times.requested, times.received),
            lifetime,
            basis,
            stale_while_revalidate: stale(control.stale_while_revalidate, policy.stale_while_revalidate),
            stale_if_error: stale(control.stale_if_error, policy.stale_if_error),
            must_revalidate,
        }
    }

    fn check(&self, came: &Came<'_>) -> Result<(), NotStored> {
        let can_be_confirmed = came.etag.is_some() || came.last_modified.at().is_some();
        if self.basis == Basis::Nobody && !(came.control.no_cache && can_be_confirmed) {
            return Err(NotStored::NoFreshness);
        }
        let stale = self.stale_while_revalidate.max(self.stale_if_error);
        let is_served = !came.control.no_cache && self.initial_age < self.lifetime.saturating_add(stale);
        if is_served || can_be_confirmed { Ok(()) } else { Err(NotStored::Stale) }
    }
}
