//! The rules, as people read them.

use super::FieldExplanation;
use cdn::rules::{Serve, Stored, VaryField, write_conditions};
use std::time::SystemTime;

pub(super) const REFRESHED: &str =
    "it is popular and soon over: it is asked for anew beside the answer (`refresh`)";
pub(super) const UNAVAILABLE: &str =
    "504: the request takes nothing but what is kept (`only-if-cached`, RFC 9111 §5.2.1.7)";
pub(super) const INVALIDATES: &str = "where it succeeds, what is kept of this URL is invalid (RFC 9111 §4.4)";
pub(super) const HEAD: &str = "a HEAD that confirms, or has `Authorization`, goes to the origin as HEAD";
pub(super) const JOINS: &str = "a fetch is under way: the request reads from it as it comes";

/// Whether and why a stored response answers.
pub(super) fn serves(served: Serve) -> String {
    match served {
        Serve::Fresh => "it is fresh (RFC 9111 §4.2)".into(),
        Serve::StaleAndRefresh => {
            "it is stale, and served while it is asked for anew (`stale-while-revalidate`, RFC 5861 §3)"
                .into()
        }
        Serve::StaleAsAsked => {
            "it is stale, and the request takes it so (`max-stale`, RFC 9111 §5.2.1.2)".into()
        }
        Serve::Unavailable => UNAVAILABLE.into(),
        Serve::Validate { why, .. } => why.to_string(),
    }
}

/// What the origin is asked.
pub(super) fn asked_for(kept: Option<&Stored>) -> &'static str {
    match kept.map(|kept| write_conditions([kept], &mut Vec::new()).is_conditional()) {
        Some(true) => "the origin is asked whether it is so still",
        Some(false) => "the origin is asked for all of it: what is kept has no validator",
        None => "the origin is asked for it",
    }
}

/// Until when what is kept stands in for the origin.
pub(super) fn stands_in(until: Option<SystemTime>, now: SystemTime) -> Option<String> {
    let left = until?.duration_since(now).ok()?.as_secs();
    let left = notation::Duration::secs(left);
    Some(format!("for {left} more it stands in for an origin that fails (`stale-if-error`, RFC 5861 §4)"))
}

/// A field that a response differs by.
pub(super) fn field((name, value): &VaryField) -> FieldExplanation {
    // What is there, even if it is empty, begins with a mark of that.
    let value = value.strip_prefix(b"=").unwrap_or(value);
    FieldExplanation { name: name.to_string(), value: String::from_utf8_lossy(value).into_owned() }
}
