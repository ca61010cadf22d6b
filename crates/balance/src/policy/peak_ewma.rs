//! The cheaper of two drawn by weight, where the cost is the expected latency times the requests that would
//! be in flight, these counted against the endpoint's weight. Latency is a moving average that takes a peak at once and forgets it over ten seconds
//! (after Finagle's and Linkerd's), so that an endpoint in a pause of its garbage collector is left alone
//! before its queue grows.

use crate::policy::Candidate;
use crate::policy::draw::{Shares, draw_two};
use rand::Rng;
use std::time::Instant;

/// What an endpoint without a measurement is taken to need, once a request is under way that will measure it.
const UNMEASURED_SECS: f64 = 1.0;

pub(crate) fn pick(
    shares: &Shares,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    now: Instant,
    rng: &mut impl Rng,
) -> Option<usize> {
    let (first, second) = draw_two(shares, candidates, usable, rng)?;
    let Some(second) = second else { return Some(first) };
    let cost = |index: usize| cost(&candidates[index], shares.mean(), now);
    Some(if cost(second) < cost(first) { second } else { first })
}

/// What a further request would cost. An endpoint that was never measured costs nothing until it has its
/// first request: so each is tried.
fn cost(candidate: &Candidate, weight_mean: f64, now: Instant) -> f64 {
    let inflight = candidate.endpoint.inflight() as f64 * weight_mean / f64::from(candidate.weight);
    match candidate.endpoint.latency_secs(now) {
        Some(latency_secs) => latency_secs * (inflight + 1.0),
        None => UNMEASURED_SECS * inflight,
    }
}
