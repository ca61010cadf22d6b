//! Whether a response that is fresh is asked for anew before its time is over, so that nobody waits where it ends.

use super::asked::Asked;
use super::policy::Policy;
use super::serving::if_error_until;
use super::stored::Stored;
use std::time::{Duration, SystemTime};

/// Whatever comes is used for so long before it is asked for again: of what an upstream cache has but for moments, each confirmation
/// would begin the next.
const RESIDENT_MIN: Duration = Duration::from_secs(1);

/// Whether a response that is fresh at `now` is in the last [`Policy::refresh_permille`] of the time that it was fresh for when it
/// came. Whether it is used often enough is for the store to say.
///
/// `Some`: until when it stands in for an origin that fails meanwhile.
pub fn refresh_due(
    stored: &Stored,
    asked: &Asked<'_>,
    policy: &Policy,
    now: SystemTime,
) -> Option<SystemTime> {
    // What a part or an authorized request brings may be less than what is kept (RFC 9111 §3.5).
    if policy.refresh_permille == 0 || stored.range.is_some() || asked.is_authorized {
        return None;
    }
    let resident = now.duration_since(stored.received).ok().filter(|resident| *resident >= RESIDENT_MIN)?;
    let fresh_for = Duration::from_secs(stored.lifetime.saturating_sub(stored.initial_age).into());
    let left = fresh_for.checked_sub(resident).filter(|left| !left.is_zero())?;
    let is_due = left.as_millis() * 1000 <= fresh_for.as_millis() * u128::from(policy.refresh_permille);
    is_due.then(|| if_error_until(stored, i64::try_from(left.as_secs()).unwrap_or(i64::MAX).max(1), now))?
}
