//! Where the lifetime of a stored response comes from, in words.

use super::came::{Came, Source};
use super::date;
use super::freshness::{Basis, lifetime, unbounded};
use super::lines::Lines;
use super::policy::Policy;
use super::stored::Stored;
use notation::Duration;

/// What says for how long a stored response is fresh: `Cache-Control: max-age=60`, or the route's `ttl`.
///
/// It is found out by deciding anew, from the lines that are kept and by the route as it is now; where the route has changed since, so that
/// what it says now is another time, that is told too.
pub fn lifetime_by(stored: &Stored, policy: &Policy) -> String {
    let lines = Lines::of(&stored.lines).chain(Lines::of(&stored.unsent));
    let came = Came::of(stored.status, lines, stored.received);
    let (seconds, basis) = lifetime(&came, policy, stored.received);
    let mut said = match basis {
        Basis::Origin => by_origin(&came),
        Basis::Route => by_route(&came, policy).to_owned(),
        Basis::Heuristic => by_heuristic(&came, policy, stored),
        Basis::Nobody => "nobody: each use is confirmed".to_owned(),
    };
    let (before, _) = unbounded(&came, policy, stored.received);
    if basis != Basis::Nobody && before < seconds {
        said += ", raised by the route's `ttl_min`";
    } else if basis != Basis::Nobody && before > seconds {
        said += ", cut by `ttl_max`";
    }
    if seconds != stored.lifetime {
        said = format!("what held when it came; by now it would be {}: {said}", span(seconds));
    }
    said
}

fn by_origin(came: &Came<'_>) -> String {
    let field = match came.source {
        Source::Cdn => "CDN-Cache-Control",
        Source::Surrogate => "Surrogate-Control",
        Source::CacheControl => "Cache-Control",
    };
    match (came.control.s_maxage, came.control.max_age) {
        (Some(seconds), _) => format!("`{field}: s-maxage={seconds}`"),
        (None, Some(seconds)) => format!("`{field}: max-age={seconds}`"),
        (None, None) => "`Expires` (RFC 9111 §5.3)".to_owned(),
    }
}

fn by_route(came: &Came<'_>, policy: &Policy) -> &'static str {
    match came.status {
        400.. => "the route's `negative_ttl`",
        _ if policy.ttl.is_some() => "the route's `ttl`",
        _ => "the route's `ttl_default`",
    }
}

fn by_heuristic(came: &Came<'_>, policy: &Policy, stored: &Stored) -> String {
    let made = came.date.at().unwrap_or(stored.received);
    let unchanged = came.last_modified.at().map_or(0, |at| date::between(at, made));
    let percent = f64::from(policy.heuristic_permille) / 10.0;
    let share = unchanged.saturating_mul(policy.heuristic_permille.into()) / 1000;
    let most = match share > u64::from(policy.heuristic_max) {
        true => format!(", at most {}", span(policy.heuristic_max)),
        false => String::new(),
    };
    let unchanged = Duration::secs(unchanged);
    format!("a guess, {percent}% of the {unchanged} since `Last-Modified`{most} (RFC 9111 §4.2.2)")
}

fn span(seconds: u32) -> Duration {
    Duration::secs(seconds.into())
}
