//! The pick as a pure decision: from a snapshot and a wish to a candidate.
//!
//! 1. The endpoint that the client's sticky cookie names, if it may be used.
//! 2. The policy's choice in the first group: those at the node's place, then others, then backups.
//! 3. The next groups, when all of the first have been tried or are full.
//! 4. An endpoint that is being probed though its probe is still under way, rather than nobody.

use crate::picked::Wish;
use crate::policy::Candidate;
use crate::snapshot::{Rank, Snapshot};
use rand::Rng;
use std::time::Instant;

/// A candidate and the rule that chose it.
#[derive(Debug)]
pub(crate) struct Chosen<'s> {
    pub(crate) candidate: &'s Candidate,
    pub(crate) rule: Rule,
    /// Whether the client is to be given this endpoint's cookie.
    pub(crate) issues_cookie: bool,
}

/// Why a candidate was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The client's cookie names it.
    Cookie,
    /// The client's header or address belongs to it.
    Affinity(Rank),
    /// The pool's policy.
    Policy(Rank),
    /// It is being probed, and there is no other.
    OnlyProbing,
}

/// Why nobody was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoEndpoints,
    NoneAvailable,
    AllTried,
    Full,
}

/// Chooses; `turn` gives the number of this pick, for those policies that go by turns.
pub(crate) fn choose<'s>(
    snapshot: &'s Snapshot,
    wish: &Wish<'_>,
    turn: &impl Fn() -> u64,
    now: Instant,
    rng: &mut impl Rng,
) -> Result<Chosen<'s>, Refusal> {
    let has_room = |candidate: &Candidate| {
        snapshot.inflight_max == u64::MAX || candidate.endpoint.inflight() < snapshot.inflight_max
    };
    let is_new = |candidate: &Candidate| !wish.avoid.contains(&candidate.endpoint.id());
    let usable = |candidate: &Candidate| {
        is_new(candidate)
            && has_room(candidate)
            && (!candidate.probing || candidate.endpoint.may_probe(snapshot.probe_patience, now))
    };

    let mut issues_cookie = snapshot.cookie.is_some();
    if snapshot.cookie.is_some()
        && let Some(named) = wish.sticky.and_then(token).and_then(|token| snapshot.named_by(token))
    {
        if usable(named) {
            return Ok(Chosen { candidate: named, rule: Rule::Cookie, issues_cookie: false });
        }
        // A full endpoint will have room again, and a probed one will be back: the client keeps its cookie.
        // One that failed this request loses it.
        issues_cookie = !is_new(named);
    }

    let is_plain = snapshot.is_plain && wish.avoid.is_empty();
    for group in &snapshot.groups {
        let found = if is_plain {
            group.pick(&|_: &Candidate| true, wish.hash, turn, now, rng)
        } else {
            group.pick(&usable, wish.hash, turn, now, rng)
        };
        if let Some(candidate) = found {
            let by_affinity = group.has_affinity() && wish.hash.is_some();
            let rule = if by_affinity { Rule::Affinity(group.rank) } else { Rule::Policy(group.rank) };
            return Ok(Chosen { candidate, rule, issues_cookie });
        }
    }

    let all = || snapshot.groups.iter().flat_map(|group| &group.candidates);
    if let Some(candidate) =
        all().find(|candidate| candidate.probing && is_new(candidate) && has_room(candidate))
    {
        return Ok(Chosen { candidate, rule: Rule::OnlyProbing, issues_cookie });
    }
    Err(match snapshot.groups.is_empty() {
        true if snapshot.endpoints == 0 => Refusal::NoEndpoints,
        true => Refusal::NoneAvailable,
        false if all().all(|candidate| !is_new(candidate)) => Refusal::AllTried,
        false => Refusal::Full,
    })
}

/// The endpoint's token in a cookie's value: 16 hexadecimal digits, as [`Endpoint`](crate::Endpoint) writes them.
fn token(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() == 16)?;
    let is_ours = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}
